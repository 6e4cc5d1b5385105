"""What happens to an error: a row in the error log, one mail per failing notification, and on it goes."""

import hashlib
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from callback.app import Application
from callback.clock import stamp
from callback.log import logger
from callback.redact import MAX_TEXT, redacted_event, redacted_text, scrub
from callback.table import Item

KEEP = timedelta(days=90)
_MAIL = """{errorType}: {message}

Order:         {orderId}
Charge:        {chargeId}
Notification:  {notificationId}
Function:      {functionName}, branch {branch}

Lambda tries again after about one minute and, if need be, two minutes later. What fails then too is kept in
the function's OnFailure queue. This is the one mail about this notification; further failures are counted in
the error log, table {table}, errorId {errorId}
"""


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
        _report(app, error, function_name, event, subject)
        raise


def _report(app: Application, error: Exception, function_name: str, event: object, subject: Subject) -> None:
    # What fails in here is second to the error that is being reported: logged, and never in its place.
    answer = getattr(error, "answer", None)
    row: Item = {
        "functionName": function_name,
        "errorType": type(error).__name__,
        "message": scrub(str(error)),
        "traceback": scrub("".join(traceback.format_exception(error))[-MAX_TEXT:]),
        "responseData": redacted_text(answer) if answer else None,
        **subject,
    }
    logger.error(row["message"], extra={"errorType": row["errorType"], "traceback": row["traceback"]})
    # One row for a notification, whatever its retries meet; an event that shows none stands for itself.
    whole = subject.get("notificationId") or json.dumps(event, sort_keys=True, default=str)
    error_id, logged = hashlib.sha256(whole.encode()).hexdigest(), Item()
    with _never_hiding("the error log"):
        logged = log_callback_error(app, error_id, row | {"event": redacted_event(event)})
    if "mailedAt" not in logged:
        with _never_hiding("the error mail"):
            send_callback_error_email(app, error_id, row)
            _remember_mail(app, error_id)


def log_callback_error(app: Application, error_id: str, row: Item) -> Item:
    """Write or count up the row in CallbackErrorLogTable, and return it as it then is."""
    now = app.clock()
    row = row | {"lastAt": stamp(now), "expiresAt": int((now + KEEP).timestamp())}
    known = {name: value for name, value in row.items() if value is not None}
    changes = ", ".join(f"#{name} = :{name}" for name in known)
    update = f"SET {changes}, #firstAt = if_not_exists(#firstAt, :lastAt) ADD #occurrences :one"
    values = {f":{name}": value for name, value in known.items()} | {":one": 1}
    return app.error_log.update({"errorId": error_id}, update, values)


def send_callback_error_email(app: Application, error_id: str, row: Item) -> None:
    """Tell the people on call, by SES, what failed, for whom, and what happens next."""
    settings, unknown = app.settings, dict.fromkeys(("orderId", "chargeId", "notificationId"), "unknown")
    about = unknown | row | {"branch": settings.branch, "table": settings.callback_error_log_table, "errorId": error_id}
    subject = f"[payment3 {settings.branch}] {row['functionName']} failed for order {about['orderId']}"
    text, subject = scrub(_MAIL.format_map(about)), " ".join(scrub(subject).split())[:200]
    app.ses.send_email(
        Source=settings.error_mail_from,
        Destination={"ToAddresses": list(settings.error_mail_to)},
        Message={
            "Subject": {"Data": subject, "Charset": "UTF-8"},
            "Body": {"Text": {"Data": text, "Charset": "UTF-8"}},
        },
    )


def _remember_mail(app: Application, error_id: str) -> None:
    now = app.clock()
    values = {":now": stamp(now), ":expires": int((now + KEEP).timestamp())}
    app.error_log.update({"errorId": error_id}, "SET #mailedAt = :now, #expiresAt = :expires", values)


@contextmanager
def _never_hiding(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the brief: never hides the first error
        logger.error(f"{what} failed too", extra={"errorType": type(error).__name__, "reason": scrub(str(error))})
