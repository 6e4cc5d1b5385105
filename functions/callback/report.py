"""What happens to an error: a row in the error log, one mail per failing notification, and on it goes."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from callback.clock import stamp
from callback.log import logger
from callback.redact import redacted_event, redacted_text, scrub

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient

    from callback.app import Application
    from callback.clock import Clock
    from callback.settings import Settings
    from callback.table import Item, Table

KEEP = timedelta(days=90)


class Subject(dict[str, str]):
    """Whom the invocation is about, as far as it is known: orderId, chargeId, notificationId."""

    def learn(self, **ids: str | None) -> None:
        """Remember an id, and put it into every log line from here on."""
        known = {name: value for name, value in ids.items() if value}
        self.update(known)
        logger.append_keys(**known)


@contextmanager
def reported(app: Application, function_name: str, event: object) -> Iterator[Subject]:
    """Report what goes wrong inside, then let it go on: Lambda must see it to try again."""
    logger.clear_state()
    logger.setLevel("DEBUG" if app.settings.debug_mode else "INFO")
    subject = Subject()
    try:
        yield subject
    except Exception as error:
        subject.learn(**getattr(error, "about", {}))
        _report(app, Failure(error, function_name, event, subject))
        raise


@dataclass(frozen=True)
class Failure:
    """One error, where it happened and whom it is about."""

    error: Exception
    function_name: str
    event: object
    subject: Subject

    @property
    def id(self) -> str:
        """One per failing notification, whatever its retries meet; without a notification, one per event."""
        canonical = json.dumps(self.event, sort_keys=True, default=str)
        return hashlib.sha256(self.subject.get("notificationId", canonical).encode()).hexdigest()

    @property
    def kind(self) -> str:
        """The error's class."""
        return type(self.error).__name__

    @property
    def message(self) -> str:
        """What happened, safe to show."""
        return scrub(str(self.error))

    @property
    def traceback(self) -> str:
        """Where it happened, with its causes, safe to show."""
        return scrub("".join(traceback.format_exception(self.error)))


def _report(app: Application, failure: Failure) -> None:
    # What fails in here is second to the error that is being reported: logged, and never in its place.
    logger.error(failure.message, extra={"errorType": failure.kind, "traceback": failure.traceback})
    row: Item = {}
    with _never_hiding("the error log"):
        row = app.error_log.log_callback_error(failure, response_data=getattr(failure.error, "answer", None))
    if "mailedAt" not in row:
        with _never_hiding("the error mail"):
            app.error_mail.send_callback_error_email(failure)
            app.error_log.mailed(failure)


@contextmanager
def _never_hiding(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the brief: never hides the first error
        logger.error(f"{what} failed too", extra={"errorType": type(error).__name__, "reason": scrub(str(error))})


class ErrorLog:
    """CallbackErrorLogTable: one row per failing notification."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def log_callback_error(self, failure: Failure, response_data: str | None = None) -> Item:
        """Write or count up the failure's row and return it."""
        now = self._clock()
        row: Item = {
            "functionName": failure.function_name,
            "errorType": failure.kind,
            "message": failure.message,
            "traceback": failure.traceback,
            "event": redacted_event(failure.event),
            "responseData": redacted_text(response_data) if response_data else None,
            "orderId": failure.subject.get("orderId"),
            "chargeId": failure.subject.get("chargeId"),
            "notificationId": failure.subject.get("notificationId"),
            "lastAt": stamp(now),
            "expiresAt": int((now + KEEP).timestamp()),
        }
        known = {name: value for name, value in row.items() if value is not None}
        changes = ", ".join(f"#{name} = :{name}" for name in known)
        update = f"SET {changes}, #firstAt = if_not_exists(#firstAt, :lastAt) ADD #occurrences :one"
        values = {f":{name}": value for name, value in known.items()} | {":one": 1}
        return self._table.update({"errorId": failure.id}, update, values)

    def mailed(self, failure: Failure) -> None:
        """Remember that the mail went out, so that a retry does not send another."""
        values = {":now": stamp(self._clock())}
        self._table.update({"errorId": failure.id}, "SET #mailedAt = :now", values)


class ErrorMail:
    """The mail to the people on call, by SES."""

    def __init__(self, client: SESClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def send_callback_error_email(self, failure: Failure) -> None:
        """Say what failed, for whom, and what happens next."""
        order = failure.subject.get("orderId", "unknown")
        subject = f"[payment3 {self._settings.branch}] {failure.function_name} failed for order {order}"
        self._client.send_email(
            Source=self._settings.error_mail_from,
            Destination={"ToAddresses": list(self._settings.error_mail_to)},
            Message={
                "Subject": {"Data": subject[:200]},
                "Body": {"Text": {"Data": self._text(failure)}},
            },
        )

    def _text(self, failure: Failure) -> str:
        known = failure.subject
        return _MAIL.format(
            kind=failure.kind,
            message=failure.message,
            function=failure.function_name,
            branch=self._settings.branch,
            order=known.get("orderId", "unknown"),
            charge=known.get("chargeId", "unknown"),
            notification=known.get("notificationId", "unknown"),
            table=self._settings.callback_error_log_table,
            id=failure.id,
        )


_MAIL = """{kind}: {message}

Order:         {order}
Charge:        {charge}
Notification:  {notification}
Function:      {function}, branch {branch}

Lambda tries again after about one minute and, if need be, two minutes later. What fails then too is kept in
the function's OnFailure queue. This is the one mail about this notification; further failures are counted in
the error log, table {table}, errorId {id}
"""
