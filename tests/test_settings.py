"""The environment: checked whole at start, each wrong variable named."""

from typing import Any

import boto3
import pytest
from pydantic import ValidationError

from callback.app import Application, application
from callback.errors import SettingsError
from callback.settings import MARGIN_SECONDS, Settings, read_settings
from tests.template import resolved, source
from tests.test_template import FUNCTIONS, RESOURCES, properties
from tests.world import PARAMETERS, SESSION

ENVIRONMENT: dict[str, str] = resolved(**PARAMETERS)["RecheckFunction"]["Properties"]["Environment"]["Variables"]
WITH_DEFAULT = {
    "DEBUG_MODE",
    "PASS_TIMEOUT_SECONDS",
    "RECHECK_DELAYS",
    "MAX_ATTEMPTS",
    "CHECKSUM_POLICY",
    "REDIRECT_ALLOWED_ORIGINS",
    "SETTLED_ORDER_STATUSES",
}


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - WITH_DEFAULT))
def test_missing_variable_fails_at_start_by_name(name: str) -> None:
    """No resource's name has a default: without it nothing starts."""
    environment = {other: value for other, value in ENVIRONMENT.items() if other != name}
    with pytest.raises(SettingsError, match=f"environment: {name}: Field required"):
        read_settings(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRANCH", ""),
        ("BRANCH", "a b"),
        ("DEBUG_MODE", "perhaps"),
        ("CREDIT_CARD_NOTIFY_TABLE", ""),
        ("PASS_TIMEOUT_SECONDS", "soon"),
        ("PASS_TIMEOUT_SECONDS", "0"),
        ("PASS_TIMEOUT_SECONDS", "121"),
        ("RECHECK_DELAYS", ""),
        ("RECHECK_DELAYS", "60,soon"),
        ("RECHECK_DELAYS", "0"),
        ("RECHECK_DELAYS", "100000"),
        ("RECHECK_DELAYS", ",".join(["60"] * 100)),
        ("MAX_ATTEMPTS", "0"),
        ("CHECKSUM_POLICY", "ignore"),
        ("REDIRECT_URL_TEMPLATE", "https://shop.example/orders"),
        ("REDIRECT_URL_TEMPLATE", "https://{orderId}.shop.example/"),
        ("REDIRECT_URL_TEMPLATE", "javascript:{orderId}"),
        ("REDIRECT_ALLOWED_ORIGINS", "https://shop.example/path"),
        ("REDIRECT_ALLOWED_ORIGINS", "shop.example"),
        ("ERROR_MAIL_TO", ""),
        ("ERROR_MAIL_TO", " , "),
    ],
)
def test_malformed_variable_fails_at_start_by_name(name: str, value: str) -> None:
    """A wrong value names its variable, and does not show the value."""
    with pytest.raises(SettingsError, match=f"^environment: {name}: ") as error:
        read_settings(ENVIRONMENT | {name: value})
    assert not value.strip(" ,") or f"'{value}'" not in str(error.value)


def test_every_wrong_variable_is_named_at_once() -> None:
    """Who repairs an environment sees all of it."""
    with pytest.raises(SettingsError, match=r"BRANCH.*MAX_ATTEMPTS"):
        read_settings(ENVIRONMENT | {"BRANCH": "", "MAX_ATTEMPTS": "x"})


def test_defaults_are_the_briefs() -> None:
    """Behaviour has defaults: warn, one recheck after 60 s."""
    settings = read_settings({name: value for name, value in ENVIRONMENT.items() if name not in WITH_DEFAULT})
    assert (settings.recheck_delays, settings.checksum_policy, settings.debug_mode) == ((60,), "warn", False)
    assert settings.redirect_allowed_origins == settings.settled_order_statuses == ()


def test_lists_are_read() -> None:
    """Comma lists may have spaces and a trailing comma."""
    lists = {"RECHECK_DELAYS": "60, 300,", "ERROR_MAIL_TO": "a@example.com, b@example.com"}
    settings = read_settings(ENVIRONMENT | lists)
    assert settings.recheck_delays == (60, 300)
    assert settings.error_mail_to == ("a@example.com", "b@example.com")


def test_settings_cannot_be_changed() -> None:
    """One frozen Settings: what was checked at start stays so."""
    settings: Any = read_settings(ENVIRONMENT)
    with pytest.raises(ValidationError):
        settings.branch = "other"


def test_application_is_composed_once_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start reads the environment; a warm invocation does not."""
    application.cache_clear()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-southeast-1")
    first = application()
    monkeypatch.setenv("BRANCH", "")
    assert application() is first
    application.cache_clear()
    with pytest.raises(SettingsError, match="BRANCH"):
        application()


def test_template_gives_exactly_the_settings() -> None:
    """Every setting comes from the template, and the template gives no variable that nobody reads."""
    assert set(ENVIRONMENT) == {name.upper() for name in Settings.model_fields}


def test_all_functions_have_one_environment() -> None:
    """One set of variables for every function that the template makes: none reads a setting of its own."""
    functions = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Lambda::Function"]
    assert [function["Environment"] for function in functions] == [{"Variables": ENVIRONMENT}] * len(FUNCTIONS)


@pytest.mark.parametrize("limit", source()["Parameters"]["PassTimeoutSeconds"]["AllowedValues"])
def test_function_outlives_its_pass_and_the_lease_outlives_the_function(limit: str) -> None:
    """Timeout = pass limit + margin = lease, and the lease ends before Lambda's second retry, at three minutes."""
    resources = resolved(**PARAMETERS, PassTimeoutSeconds=limit)
    settings = read_settings(resources["RecheckFunction"]["Properties"]["Environment"]["Variables"])
    for function in ("DelayedNotifyFunction", "RecheckFunction"):
        timeout = resources[function]["Properties"]["Timeout"]
        assert timeout == settings.lease_seconds == int(limit) + MARGIN_SECONDS < 180


def test_synchronous_invoke_has_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No retries, a read timeout well under the function's, keep-alive; every other client gives up within seconds."""
    monkeypatch.setattr(boto3, "Session", lambda: SESSION)
    app: Any = Application(read_settings(ENVIRONMENT))
    patient = app.paid_orders._client.meta.config
    assert patient.retries["total_max_attempts"] == 1
    assert patient.tcp_keepalive
    assert patient.read_timeout == app.settings.pass_timeout_seconds <= properties("RecheckFunction")["Timeout"] - 30
    assert patient.connect_timeout <= 5
    others = (app._dynamodb, app.schedules._client, app.secret._client, app.ses)
    for quick in (client.meta.config for client in others):
        worst = (quick.connect_timeout + quick.read_timeout) * quick.retries["total_max_attempts"]
        assert worst < 30


def test_allowed_origin_may_be_configured_in_any_case() -> None:
    """Hosts have no case, in the settings either; a wildcard is no origin."""
    settings = read_settings(ENVIRONMENT | {"REDIRECT_ALLOWED_ORIGINS": "https://Shop.Example"})
    assert settings.redirect_allowed_origins == ("https://shop.example",)
    with pytest.raises(SettingsError):
        read_settings(ENVIRONMENT | {"REDIRECT_ALLOWED_ORIGINS": "https://*.example"})
