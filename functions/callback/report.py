"""What happens to an error: a row in the error log, a mail, a count, and on it goes.

Errors in here are logged and never replace the error that is reported.
"""

import hashlib
import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from callback.clock import Clock, format_utc
from callback.errors import FollowUpError
from callback.log import log
from callback.mail import MAILS_AN_HOUR, Mail, error_mail, kind_of
from callback.redact import MAX_TEXT, redacted_event, redacted_text, scrub
from callback.settings import Settings
from callback.table import AWS_ERRORS, ConditionFailed, Item, Table

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient

RETENTION = timedelta(days=90)
_ABOUT = ("orderId", "chargeId", "notificationId", "checksumStatus")


class Reporter:
    """Reports the errors of one invocation at a time."""

    def __init__(self, settings: Settings, clock: Clock, table: Table, ses: "Callable[[], SESClient]") -> None:
        self._settings = settings
        self._clock = clock
        self._table = table
        self._ses = ses
        self._function_name = ""
        self._event: object = None
        self._blind: set[str] = set()

    @contextmanager
    def reported(self, function_name: str, message: str, event: object) -> Iterator[None]:
        """Write the line of an invocation; report an error that ends it, and let it go on, since Lambda must see it."""
        self._function_name, self._event = function_name, event
        log.begin(self._settings.branch, debug=self._settings.debug_mode)
        try:
            yield
        except Exception as error:
            log.bind(**getattr(error, "ids", {}))
            if not getattr(error, "reported", False):
                self.report(error)
            log.write("failed", errorType=type(error).__name__, error=scrub(str(error)), traceback=_traceback(error))
            raise
        log.write(message)

    def report(self, error: Exception) -> None:
        """Write the row, send the mail, count."""
        about = {name: log.fields[name] for name in _ABOUT if name in log.fields} | getattr(error, "ids", {})
        kind = kind_of(error)
        if kind in _METRICS:
            log.metric(_METRICS[kind])
        answer = getattr(error, "answer", None)
        row: Item = about | {
            "errorId": error_id(about.get("notificationId") or redacted_event(self._event), ending_of(error)),
            "functionName": self._function_name,
            "errorType": type(error).__name__,
            "message": scrub(str(error)),
            "responseData": redacted_text(answer) if answer else None,
        }
        logged: Item = {}
        with log.unimportant("log"):
            details = {"traceback": _traceback(error), "event": redacted_event(self._event)}
            logged = log_callback_error(self._table, row | details, self._clock)
        if "mailedAt" not in logged:
            with log.unimportant("mail"):
                self._mail(error, row, logged)
        if isinstance(error, FollowUpError):
            error.reported = True

    def _mail(self, error: Exception, row: Item, logged: Item) -> None:
        kind = kind_of(error)
        sent = self._take(f"{kind}-{'proved' if row.get('checksumStatus') == 'valid' else 'unproved'}", kind)
        if not sent:
            log.metric("MailsHeld")
            return
        mail = error_mail(self._settings, error, row, logged, is_last=sent == MAILS_AN_HOUR[kind])
        send_callback_error_email(self._ses(), self._settings, mail)
        now = self._clock()
        values = {":now": format_utc(now), ":expires": _expires(now)}
        self._table.update({"errorId": row["errorId"]}, "SET #mailedAt = :now, #expiresAt = :expires", values)

    def _take(self, name: str, kind: str) -> int:
        """Return which mail of this hour's this is, or 0 where its kind has had its number.

        Where the count cannot be reached, each warm function sends one of a kind an hour.
        """
        now = self._clock()
        key = f"mails {name} {format_utc(now)[:13]}"
        values = {":one": 1, ":limit": MAILS_AN_HOUR[kind], ":expires": _expires(now)}
        condition = "attribute_not_exists(#sent) OR #sent < :limit"
        try:
            row = self._table.update({"errorId": key}, "SET #expiresAt = :expires ADD #sent :one", values, condition)
        except ConditionFailed:
            return 0
        except AWS_ERRORS:
            is_first = key not in self._blind
            self._blind.add(key)
            return int(is_first)
        return int(row["sent"])


_METRICS = {"failed": "Failed", "refused": "Refused"}


def log_callback_error(table: Table, row: Item, clock: Clock) -> Item:
    """Write or count up the row in CallbackErrorLogTable, and return it as it then is. Raises `AWS_ERRORS`."""
    now = clock()
    known = row | {"lastAt": format_utc(now), "expiresAt": _expires(now)}
    known = {name: value for name, value in known.items() if value is not None and name != "errorId"}
    changes = ", ".join(f"#{name} = :{name}" for name in known)
    update = f"SET {changes}, #firstAt = if_not_exists(#firstAt, :lastAt) ADD #occurrences :one"
    values = {f":{name}": value for name, value in known.items()} | {":one": 1}
    return table.update({"errorId": row["errorId"]}, update, values)


def send_callback_error_email(ses: "SESClient", settings: Settings, mail: Mail) -> None:
    """Send a mail to the people on call, by SES. Raises `AWS_ERRORS`."""
    ses.send_email(
        Source=settings.error_mail_from,
        Destination={"ToAddresses": list(settings.error_mail_to)},
        Message={
            "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
            "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
        },
    )


def error_id(notification_id: str, ending: str | None = None) -> str:
    """Return the key of a notification's row in CallbackErrorLogTable.

    There is one row for all that is tried again; `ending` is "refused", or "failed" and the pass, for the rows of their
    own (`ending_of`).
    """
    return hashlib.sha256(json.dumps([notification_id, ending]).encode()).hexdigest()


def ending_of(error: Exception) -> str | None:
    """Return what an error ends, for `error_id`."""
    kind = kind_of(error)
    return None if kind == "retried" else f"{kind} {getattr(error, 'number', None) or ''}".strip()


def _expires(now: datetime) -> int:
    return int((now + RETENTION).timestamp())


def _traceback(error: Exception) -> str:
    # Whole lines of its end, so that no card number is cut in two before it is looked for.
    text = "".join(traceback.format_exception(error))
    kept = text[-MAX_TEXT:]
    return scrub(kept if kept == text else kept.partition("\n")[2] or kept)
