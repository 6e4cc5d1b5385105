"""What happens to an error: a row in the error log, one mail per failing notification, and on it goes.

A notification that ends in `FAILED` has a row and a mail of its own: it waits for a person from then on.
"""

import hashlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from callback.app import Application
from callback.clock import stamp
from callback.errors import is_final
from callback.log import logger
from callback.mail import Mail, error_mail, held_line, summary_mail
from callback.metric import counted
from callback.redact import MAX_TEXT, redacted_event, redacted_text, scrub
from callback.table import Item

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
    final = counted(app.settings.branch, "Failed", 1, "Count") if is_final(error) else {}
    logger.error(row["message"], extra={"errorType": row["errorType"], "traceback": row["traceback"]} | final)
    row_id, logged = _row_id(error, event, subject), Item()
    with _never_hiding("the error log"):
        logged = log_callback_error(app, row_id, row | {"event": redacted_event(event)})
    if "mailedAt" not in logged:
        with _never_hiding("the error mail"):
            _mail_once(app, error, row | {"errorId": row_id} | _pass_of(app, error), logged)


def _end_of(text: str) -> str:
    # Whole lines, so that no card number is cut in two before it is looked for.
    kept = text[-MAX_TEXT:]
    return kept if kept == text else kept.partition("\n")[2] or kept


def _row_id(error: Exception, event: object, subject: Subject) -> str:
    # One row for a notification, whatever its retries meet; an event that shows none stands for itself.
    whole = subject.get("notificationId") or redacted_event(event)
    return error_id(whole, getattr(error, "number", "") if is_final(error) else None)


def error_id(notification_id: str, final: int | str | None = None) -> str:
    """Return the key of a notification's row in CallbackErrorLogTable.

    `final` asks for the row of its end in `FAILED`: the number of the pass that ended it, or "" where the error had
    none (`InvalidRecord`).
    """
    ending = "" if final is None else f"\nFAILED {final}"
    return hashlib.sha256(f"{notification_id}{ending}".encode()).hexdigest()


def log_callback_error(app: Application, error_id: str, row: Item) -> Item:
    """Write or count up the row in CallbackErrorLogTable, and return it as it then is."""
    now = app.clock()
    row = row | {"lastAt": stamp(now), "expiresAt": int((now + KEEP).timestamp())}
    known = {name: value for name, value in row.items() if value is not None}
    changes = ", ".join(f"#{name} = :{name}" for name in known)
    update = f"SET {changes}, #firstAt = if_not_exists(#firstAt, :lastAt) ADD #occurrences :one"
    values = {f":{name}": value for name, value in known.items()} | {":one": 1}
    return app.error_log.update({"errorId": error_id}, update, values)


def _mail_once(app: Application, error: Exception, row: Item, logged: Item) -> None:
    held = app.mail_limit.take(held_line(row))
    if held is None:
        held_back = counted(app.settings.branch, "MailsHeld", 1, "Count")
        logger.warning("the error mail is held back: this hour has had its number", extra=held_back)
        return
    send_callback_error_email(app, error_mail(app.settings, error, row, logged, held))
    now = app.clock()
    values = {":now": stamp(now), ":expires": int((now + KEEP).timestamp())}
    app.error_log.update({"errorId": row["errorId"]}, "SET #mailedAt = :now, #expiresAt = :expires", values)
    if held.untold:
        app.mail_limit.forget(held)


def _pass_of(app: Application, error: Exception) -> Item:
    # As the log lines have it; the sweep's say nothing of a pass, but its errors do.
    known = {"pass": getattr(error, "number", None)} | logger.get_current_keys()
    attempt = f"{known['attempt']} of {app.settings.max_attempts}" if "attempt" in known else None
    return {name: value for name, value in (("pass", known["pass"]), ("attempt", attempt)) if value}


def tell_of_held_mails(app: Application) -> None:
    """Send one mail about those that were held back in an hour that has ended, if no later mail told of them.

    Told first, forgotten then. What fails in here is logged, and tried again by the next sweep.
    """
    with _never_hiding("the summary of held mails"):
        held = app.mail_limit.untold()
        if held.untold:
            send_callback_error_email(app, summary_mail(app.settings, held))
            app.mail_limit.forget(held)


def send_callback_error_email(app: Application, mail: Mail) -> None:
    """Send a mail to the people on call, by SES."""
    app.ses.send_email(
        Source=app.settings.error_mail_from,
        Destination={"ToAddresses": list(app.settings.error_mail_to)},
        Message={
            "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
            "Body": {
                "Text": {"Data": mail.text, "Charset": "UTF-8"},
                "Html": {"Data": mail.html, "Charset": "UTF-8"},
            },
        },
    )


@contextmanager
def _never_hiding(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the brief: never hides the first error
        logger.error(f"{what} failed too", extra={"errorType": type(error).__name__, "reason": scrub(str(error))})
