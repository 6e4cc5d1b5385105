"""What happens to an error: it makes a row in the error log, a mail and a count, and is raised again.

Errors in here are logged and never replace the error that is reported. In a mail, text from outside is one short line
of printable letters, without links.
"""

import re
import shlex
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from callback.clock import Clock
from callback.errors import ContradictionRefused, FollowUpError, OrderContradicted, error_id
from callback.log import by_proof, log
from callback.redact import MASK, MAX_TEXT, redacted_event, redacted_text, scrub
from callback.settings import Settings
from callback.table import AWS_ERRORS, Item, Table, format_utc, parse_utc

RETENTION = timedelta(days=90)
# For each kind, once for proved and once for unproved payments, so that nothing that a stranger sends uses up the mails
# about a proved payment.
MAILS_AN_HOUR = {"failed": 20, "contradicted": 5, "refused": 3, "retried": 3}
# What needs a person.
_COUNTED = {"failed": "Failed", "contradicted": "Contradictions", "refused": "Refused"}
_IDS = {"orderId": "Order", "notificationId": "Notification", "chargeId": "Charge"}
_MAX_ID, _MAX_SHOWN, _MAX_PASTED = 2048, 60, 64
# Where a mail program finds a link: with a blank there it finds none.
_LINK = re.compile(r"(?<=:)(?=//)|(?<=\w\.)(?=[^\W\d]{2})")
# For each kind: the subject's end, the first line, the command to run, and the one that lists what is not mailed.
_KINDS = {
    "failed": ("FAILED", "Nothing tries again. Remove the cause, then run:", "replay", "list --state failed"),
    "unsaved": ("FAILED", "The failure queue keeps it. Remove the cause, then run:", "dead-letters redrive", "list"),
    "contradicted": ("contradicted", "Bank and payment record disagree. To see what was processed:", "show", "list"),
    "refused": ("refused", "No retry helps. Look at what was refused:", "dead-letters list", "dead-letters list"),
    "retried": ("tried again", "Nothing to do: it is tried again. To look at it:", "show", "list"),
}


@dataclass
class Reporter:
    """Reports the errors of one invocation at a time."""

    settings: Settings
    clock: Clock
    table: Table
    ses: Callable[[], Any]
    _function_name: str = ""
    _event: object = None
    _reported: Exception | None = None

    @contextmanager
    def reported(self, function_name: str, message: str, event: object) -> Iterator[None]:
        """Write the line of an invocation; report an error that ends it, and raise it again: Lambda must see it."""
        self._function_name, self._event = function_name, event
        log.begin(self.settings.branch, debug=self.settings.debug_mode)
        try:
            yield
        except Exception as error:
            error.args = (scrub(str(error)),)  # Lambda prints it
            self.report(error)
            log.bind(**getattr(error, "about", {}))
            log.write("failed", errorType=type(error).__name__, error=scrub(str(error)), traceback=_traceback(error))
            raise
        log.write(message)

    def report(self, error: Exception) -> None:
        """Write the row, send the mail and count, once for each error; a failure of one does not stop the others."""
        if error is not self._reported:
            self._reported = error
            self._report(error)

    @log.unimportant("report")
    def _report(self, error: Exception) -> None:
        kind, answer = kind_of(error), getattr(error, "answer", None)
        known = log.fields | dict(getattr(error, "about", {}))
        if kind in _COUNTED:
            log.metric(by_proof(_COUNTED[kind], known.get("checksumStatus")))
        row: Item = {name: scrub(str(known[name]))[:_MAX_ID] for name in (*_IDS, "checksumStatus") if name in known}
        ids = known if known.get("notificationId") else {"notificationId": redacted_event(self._event)}
        row |= {"errorId": error_id(ids, kind, getattr(error, "number", None)), "functionName": self._function_name}
        row |= {"errorType": type(error).__name__, "message": scrub(str(error))}
        row["responseData"] = redacted_text(answer) if answer else None
        logged: Item = {}
        with log.unimportant("log"):
            details = {"traceback": _traceback(error), "event": redacted_event(self._event)}
            logged = log_callback_error(self.table, row | details, self.clock())
        if "mailedAt" not in logged:
            self._mail(kind, row, logged)

    @log.unimportant("mail")
    def _mail(self, kind: str, row: Item, logged: Item) -> None:
        now, limit, budget = self.clock(), MAILS_AN_HOUR[kind], by_proof(kind, row.get("checksumStatus"))
        key = {"errorId": f"mails {budget} {format_utc(now)[:13]}"}
        condition = "attribute_not_exists(#sent) OR #sent < :limit"
        count: Item = {"sent": 0}
        # A mail about a proved payment that waits for a person goes out even if mails cannot be counted.
        with suppress(*(AWS_ERRORS if budget == "failed" else ())):
            count = self.table.update_if(key, {"expiresAt": _expires(now)}, condition, {"limit": limit}, add="sent")
        if not count:
            log.metric("MailsHeld")
            return
        mail = error_mail(self.settings, kind, row, logged, is_last=count["sent"] == limit)
        send_callback_error_email(self.ses(), self.settings, *mail)
        self.table.update({"errorId": row["errorId"]}, {"mailedAt": now, "expiresAt": _expires(now)})


def log_callback_error(table: Table, row: Item, now: datetime) -> Item:
    """Write or count up the row in CallbackErrorLogTable, and return it as it then is. Raises `AWS_ERRORS`."""
    changes = {name: value for name, value in row.items() if value is not None and name != "errorId"}
    changes |= {"firstAt?": now, "lastAt": now, "expiresAt": _expires(now)}
    return table.update({"errorId": row["errorId"]}, changes, add="occurrences")


def send_callback_error_email(ses: Any, settings: Settings, subject: str, text: str) -> None:  # noqa: ANN401 - lazy
    """Send a mail to the people on call, by SES. Raises `AWS_ERRORS`."""
    data, body = ({"Data": part, "Charset": "UTF-8"} for part in (subject, text))
    to = {"ToAddresses": settings.error_mail_to}
    ses.send_email(Source=settings.error_mail_from, Destination=to, Message={"Subject": data, "Body": {"Text": body}})


def kind_of(error: Exception) -> str:
    """Return the kind of mail that an error causes; what is not known to be hopeless is tried again."""
    if not isinstance(error, FollowUpError):
        return "retried"
    if isinstance(error, OrderContradicted) and not isinstance(error, ContradictionRefused):
        return "contradicted"
    return "failed" if error.ends_follow_up else "retried" if error.retryable else "refused"


def error_mail(settings: Settings, kind: str, row: Item, logged: Item, *, is_last: bool) -> tuple[str, str]:
    """Return subject and text: what to do, what failed, for whom; the last of an hour also says where the others are.

    `row` is what is known of the error; `logged` its row of the error log, empty where that could not be written.
    """
    outcome, todo, command, others = _KINDS["unsaved" if row["errorType"] == "RetriesExhausted" else kind]
    stack = f"--stack payment3-follow-up-{settings.branch}"
    known = {label: _shown(row[name]) for name, label in _IDS.items() if name in row}
    about = {"What happened": f"{row['errorType']}: {_shown(row['message'], 300)}"} | known
    about |= {"Answer": _shown(row["responseData"], 300)} if row["responseData"] else {}
    about |= {"Checksum": row.get("checksumStatus", "unknown"), "Function": row["functionName"]}
    about["Error log"] = f"errorId {row['errorId']}"
    if logged:
        times = "once, at" if logged["occurrences"] == 1 else f"{logged['occurrences']} times since"
        about["Seen"] = f"{times} {parse_utc(logged['firstAt']):%Y-%m-%d %H:%M:%S} UTC"
    lines = [todo, "", f"    followups {_with_id(command, row, stack)}", ""]
    lines += [f"{name}: {text}" for name, text in about.items()]
    if is_last:
        lines += ["", "This is the last such mail this hour. To see the others:", "", f"    followups {others} {stack}"]
    whom = next((f"{label.lower()} {text}" for label, text in known.items()), "order unknown")
    return f"[payment3 {settings.branch}] {whom}: {row['errorType']}, {outcome}", "\n".join([*lines, ""])


def _with_id(command: str, row: Item, stack: str) -> str:
    if command not in {"show", "replay"}:
        return f"{command} {stack}"
    # A masked id would find nothing, and an id that is not shown exactly as it is cannot be pasted.
    known = (row[name] for name in _IDS if name in row and MASK not in row[name])
    wanted = next((id_ for id_ in known if _shown(id_, _MAX_PASTED) == id_), None)
    return f"{command} {stack} -- {shlex.quote(wanted)}" if wanted else f"list {stack}"


def _shown(text: str, most: int = _MAX_SHOWN) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _LINK.sub(" ", line)[:most]


def _expires(now: datetime) -> int:
    return int((now + RETENTION).timestamp())


def _traceback(error: Exception) -> str:
    # Masked before it is cut, so that no half of a card number is left.
    text = "".join(traceback.format_exception(error))
    return scrub(text, most=len(text))[-MAX_TEXT:]
