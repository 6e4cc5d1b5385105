"""What happens to an error: a row in the error log, one mail per failing notification, and on it goes.

A notification that ends in `FAILED` has a row and a mail of its own: it waits for a person from then on.
"""

import hashlib
import shlex
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from callback.app import Application
from callback.clock import stamp
from callback.errors import FollowUpError
from callback.log import logger
from callback.metric import counted
from callback.redact import MAX_TEXT, redacted_event, redacted_text, scrub
from callback.table import Item

KEEP = timedelta(days=90)
_MAIL = """{errorType}: {message}

Order:         {orderId}
Charge:        {chargeId}
Notification:  {notificationId}
Function:      {functionName}, branch {branch}

{next}
Further failures are counted in the error log, table {table}, errorId {errorId}
{held}"""
_RETRIED = """Lambda tries again after about one minute and, if need be, two minutes later; the sweep looks for what was
saved and did not move on. What fails in all tries is kept in the function's OnFailure queue."""
_FAILED = """The notification is FAILED: nothing tries again by itself. Once the cause is gone, replay it:

    PYTHONPATH=functions .venv/bin/python -m followups replay --stack payment3-follow-up-{branch} -- {quoted}
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
        report(app, error, function_name, event, subject)
        raise


def report(app: Application, error: Exception, function_name: str, event: object, subject: Subject) -> None:
    """Log, keep, count and mail an error. What fails in here is second to it: logged, and never in its place."""
    answer = getattr(error, "answer", None)
    row: Item = {
        "functionName": function_name,
        "errorType": type(error).__name__,
        "message": scrub(str(error)),
        "traceback": scrub(_end_of("".join(traceback.format_exception(error)))),
        "responseData": redacted_text(answer) if answer else None,
        **subject,
    }
    final = counted(app.settings.branch, "Failed", 1, "Count") if _is_final(error) else {}
    logger.error(row["message"], extra={"errorType": row["errorType"], "traceback": row["traceback"]} | final)
    row_id, logged = _row_id(error, event, subject), Item()
    with _never_hiding("the error log"):
        logged = log_callback_error(app, row_id, row | {"event": redacted_event(event)})
    if "mailedAt" not in logged:
        with _never_hiding("the error mail"):
            _mail_once(app, error, row_id, row)


def _end_of(text: str) -> str:
    # Whole lines, so that no card number is cut in two before it is looked for.
    kept = text[-MAX_TEXT:]
    return kept if kept == text else kept.partition("\n")[2] or kept


def _row_id(error: Exception, event: object, subject: Subject) -> str:
    # One row for a notification, whatever its retries meet; an event that shows none stands for itself.
    whole = subject.get("notificationId") or redacted_event(event)
    return error_id(whole, getattr(error, "number", "") if _is_final(error) else None)


def error_id(notification_id: str, final: int | str | None = None) -> str:
    """Return the key of a notification's row in CallbackErrorLogTable.

    `final` asks for the row of its end in `FAILED`: the number of the pass that ended it, or "" where the error had
    none (`InvalidRecord`).
    """
    ending = "" if final is None else f"\nFAILED {final}"
    return hashlib.sha256(f"{notification_id}{ending}".encode()).hexdigest()


def _is_final(error: Exception) -> bool:
    return isinstance(error, FollowUpError) and error.final


def log_callback_error(app: Application, error_id: str, row: Item) -> Item:
    """Write or count up the row in CallbackErrorLogTable, and return it as it then is."""
    now = app.clock()
    row = row | {"lastAt": stamp(now), "expiresAt": int((now + KEEP).timestamp())}
    known = {name: value for name, value in row.items() if value is not None}
    changes = ", ".join(f"#{name} = :{name}" for name in known)
    update = f"SET {changes}, #firstAt = if_not_exists(#firstAt, :lastAt) ADD #occurrences :one"
    values = {f":{name}": value for name, value in known.items()} | {":one": 1}
    return app.error_log.update({"errorId": error_id}, update, values)


def _mail_once(app: Application, error: Exception, error_id: str, row: Item) -> None:
    held = app.mail_limit.take()
    if held is None:
        held_back = counted(app.settings.branch, "MailsHeld", 1, "Count")
        logger.warning("the error mail is held back: this hour has had its number", extra=held_back)
        return
    more = f"\n{held} mails about other failures were held back before this one.\n" if held else ""
    send_callback_error_email(app, error_id, row | {"next": _FAILED if _is_final(error) else _RETRIED, "held": more})
    now = app.clock()
    values = {":now": stamp(now), ":expires": int((now + KEEP).timestamp())}
    app.error_log.update({"errorId": error_id}, "SET #mailedAt = :now, #expiresAt = :expires", values)


def send_callback_error_email(app: Application, error_id: str, row: Item) -> None:
    """Tell the people on call, by SES, what failed, for whom, and what happens next."""
    settings, unknown = app.settings, dict.fromkeys(("orderId", "chargeId", "notificationId"), "unknown")
    about = unknown | row | {"branch": settings.branch, "table": settings.callback_error_log_table, "errorId": error_id}
    about["next"] = about["next"].format(branch=settings.branch, quoted=shlex.quote(about["orderId"]))
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


@contextmanager
def _never_hiding(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the brief: never hides the first error
        logger.error(f"{what} failed too", extra={"errorType": type(error).__name__, "reason": scrub(str(error))})
