"""The environment, read once and checked as a whole."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from callback.errors import SettingsError


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_split)]
Hours = Annotated[int, Field(ge=1, le=24 * 30)]
Delay = Annotated[int, Field(ge=1, le=99_999)]
Origin = Annotated[str, StringConstraints(to_lower=True, pattern=r"^https?://[A-Za-z0-9.-]+(:\d+)?$")]
# The order id may be anywhere after the origin, so that it can never choose the host.
RedirectUrl = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:-]+[/?#][^{}\s]*\{orderId\}[^{}\s]*$")]


class Settings(BaseModel):
    """What the template gives to all functions; names of resources have no default."""

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
    give_up_after_hours: Hours = 72
    unproved_give_up_after_hours: Hours = 48
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 400

    kbank_secret_id: Name
    checksum_policy: Literal["warn", "reject"] = "warn"

    recheck_function_arn: Name
    schedule_group: Name
    scheduler_role_arn: Name
    scheduler_dlq_arn: Name
    refused_queue_url: Name

    redirect_url_template: RedirectUrl
    redirect_allowed_origins: Annotated[tuple[Origin, ...], BeforeValidator(_split)] = ()
    error_mail_from: Name
    error_mail_to: Annotated[Names, Field(min_length=1)]
    settled_order_statuses: Names = ()

    def give_up_after(self, *, proved: bool) -> timedelta:
        """How long a pass is tried again, from when it was first due; anybody can send what no checksum proves."""
        hours = self.give_up_after_hours
        return timedelta(hours=hours if proved else min(hours, self.unproved_give_up_after_hours))


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Build the settings. Raises `SettingsError` that names every wrong variable."""
    try:
        return Settings.model_validate(environ)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"environment: {wrong}") from error
