"""The environment, read once and checked whole."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from callback.errors import SettingsError

# Room beside the pass for everything else a function does. The function's timeout and the claim's lease
# are both "pass limit + margin": a lease outlives its holder, yet ends before Lambda's second retry, which
# comes three minutes after the first try (docs/decisions/03). template.yaml adds the same margin.
MARGIN_SECONDS = 30

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?")
# The order id may stand anywhere behind the origin, so that it can never choose the host.
_REDIRECT = re.compile(r"https?://[A-Za-z0-9.:-]+[/?#][^{}\s]*\{orderId\}[^{}\s]*")


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("an origin is https://host or https://host:port")
    return text.lower()


def _redirect(text: str) -> str:
    if not _REDIRECT.fullmatch(text):
        raise ValueError("a URL with {orderId} behind its host")
    return text


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_split)]
Delay = Annotated[int, Field(ge=1, le=99_999)]


class Settings(BaseModel):
    """What the template tells both functions and the sweep; names of resources have no default."""

    model_config = ConfigDict(frozen=True, alias_generator=str.upper, hide_input_in_errors=True)

    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    debug_mode: bool = False

    credit_card_notify_table: Name
    card_payment_record_table: Name
    order_table: Name
    callback_error_log_table: Name

    process_paid_order_function: Name
    pass_timeout_seconds: Annotated[int, Field(ge=1, le=120)] = 60
    recheck_delays: Annotated[tuple[Delay, ...], BeforeValidator(_split), Field(min_length=1, max_length=99)] = (60,)
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 30

    kbank_secret_id: Name
    checksum_policy: Literal["warn", "reject"] = "warn"

    recheck_function_arn: Name
    schedule_group: Name
    scheduler_role_arn: Name
    scheduler_dlq_arn: Name

    redirect_url_template: Annotated[str, AfterValidator(_redirect)]
    redirect_allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)
    ] = ()
    error_mail_from: Name
    error_mail_to: Annotated[Names, Field(min_length=1)]
    settled_order_statuses: Names = ()

    @property
    def lease_seconds(self) -> int:
        """How long a claim keeps others out: longer than its holder can live."""
        return self.pass_timeout_seconds + MARGIN_SECONDS


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings, or raise `SettingsError` that names every wrong variable."""
    try:
        return Settings.model_validate(environ)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"environment: {wrong}") from error
