"""The environment: all of it is checked at the start, and each wrong variable is named."""

import re
from datetime import timedelta

import pytest
from pydantic import ValidationError

from callback.app import application
from callback.errors import SettingsError
from callback.record import MARGIN_SECONDS
from callback.settings import Settings, read_settings
from callback.table import parse_utc
from tests.support.aws import PARAMETERS, World
from tests.support.steps import die_in_pass, fails
from tests.support.template import resolved, source
from tests.template.test_template import FUNCTIONS, of_type

ENVIRONMENT: dict[str, str] = resolved(**PARAMETERS)["RecheckFunction"]["Properties"]["Environment"]["Variables"]
WITH_DEFAULT = """DEBUG_MODE PASS_TIMEOUT_SECONDS RECHECK_DELAYS GIVE_UP_AFTER_HOURS UNPROVED_GIVE_UP_AFTER_HOURS
KEEP_DAYS CHECKSUM_POLICY REDIRECT_ALLOWED_ORIGINS SETTLED_ORDER_STATUSES""".split()
MALFORMED = {
    "BRANCH": ["", "a b"],
    "DEBUG_MODE": ["perhaps"],
    "CREDIT_CARD_NOTIFY_TABLE": [""],
    "PASS_TIMEOUT_SECONDS": ["soon", "0", "121"],
    "RECHECK_DELAYS": ["", "60,soon", "0", "100000", ",".join(["60"] * 100)],
    "GIVE_UP_AFTER_HOURS": ["0", "721", "always"],
    "KEEP_DAYS": ["0", "3651"],
    "CHECKSUM_POLICY": ["ignore"],
    "REDIRECT_URL_TEMPLATE": ["https://shop.example/orders", "https://{orderId}.shop.example/", "javascript:{orderId}"],
    "REDIRECT_ALLOWED_ORIGINS": ["https://shop.example/path", "shop.example", "https://*.example"],
    "ERROR_MAIL_TO": ["", " , "],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, all_ in MALFORMED.items() for value in all_])
def test_malformed_variable_fails_at_start_by_name(name: str, value: str) -> None:
    """All wrong variables are named at once, and no value is shown."""
    error = str(fails(SettingsError, read_settings, ENVIRONMENT | {name: value, "SCHEDULE_GROUP": ""}))
    assert error.startswith("environment: ")
    assert all(f"{wrong}: " in error for wrong in (name, "SCHEDULE_GROUP"))
    assert not value.strip(" ,") or f"'{value}'" not in error


def test_behaviour_has_defaults_and_resources_have_none() -> None:
    """Warn, one recheck after 60 s, give up after 72 h, keep for 400 days; MAX_ATTEMPTS is ignored."""
    error = str(fails(SettingsError, read_settings, {}))
    assert set(re.findall(r"(\w+): Field required", error)) == set(ENVIRONMENT) - set(WITH_DEFAULT)
    given = {name: value for name, value in ENVIRONMENT.items() if name not in WITH_DEFAULT}
    settings = read_settings(given | {"MAX_ATTEMPTS": "not even a number"})
    assert (settings.recheck_delays, settings.checksum_policy, settings.debug_mode) == ((60,), "warn", False)
    assert (settings.give_up_after(proved=True), settings.keep_days) == (timedelta(hours=72), 400)
    assert settings.redirect_allowed_origins == settings.settled_order_statuses == ()
    fails(ValidationError, setattr, settings, "branch", "other")


def test_application_is_composed_once_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start reads the environment; a warm invocation does not."""
    application.cache_clear()
    for name, value in (ENVIRONMENT | {"AWS_DEFAULT_REGION": "ap-southeast-1"}).items():
        monkeypatch.setenv(name, value)
    first = application()
    monkeypatch.setenv("BRANCH", "")
    assert application() is first
    application.cache_clear()
    assert "BRANCH" in str(fails(SettingsError, application))


def test_template_gives_every_function_exactly_the_settings() -> None:
    """The template gives all functions the same variables: every setting, and nothing that no code reads."""
    assert set(ENVIRONMENT) == {name.upper() for name in Settings.model_fields}
    functions = of_type("AWS::Lambda::Function").values()
    assert [function["Environment"] for function in functions] == [{"Variables": ENVIRONMENT}] * len(FUNCTIONS)


@pytest.mark.parametrize("limit", source()["Parameters"]["PassTimeoutSeconds"]["AllowedValues"])
def test_lease_is_the_functions_own_timeout(world: World, limit: str) -> None:
    """Timeout = lease = pass limit + margin: a lease outlives its holder, which has time to record the pass."""
    resources = resolved(**PARAMETERS, PassTimeoutSeconds=limit)
    world.cold_start(PASS_TIMEOUT_SECONDS=limit)
    die_in_pass(world)
    lease = parse_utc(world.record()["leaseUntil"]) - parse_utc(world.record()["receivedAt"])
    names = ("DelayedNotifyFunction", "RecheckFunction", "RetryFunction")
    timeouts = {resources[name]["Properties"]["Timeout"] for name in names}
    assert timeouts == {lease.total_seconds()} == {int(limit) + MARGIN_SECONDS}
