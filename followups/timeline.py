"""What became of a notification: one line for each thing that is known, in order of time, then what comes.

The record is the truth and is handed in; the timer and the error log are asked for, and what may not be asked is said.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from callback.clock import parse_utc as moment
from callback.table import Item
from followups.error_log import LoggedError, errors_of
from followups.invocation import printable
from followups.moments import Level, Moment
from followups.notifications import Saved
from followups.outlook import outlook
from followups.stack import Stack
from followups.timers import armed_for
from followups.times import clock_time, relative, span

__all__ = ["Moment", "timeline"]
_CHECKSUMS: dict[str, tuple[str, Level]] = {
    "valid": ("the bank vouches for all but the order id", "ok"),
    "invalid": ("it matches no merchant key", "warn"),
    "missing": ("nothing proves that this came from the bank", "warn"),
    "unverifiable": ("it could not be checked", "warn"),
}


def timeline(stack: Stack, saved: Saved, now: datetime) -> list[Moment]:
    """Tell a notification's story, oldest first; the last lines say where it waits now and what happens next.

    Asks Scheduler for its timer and CallbackErrorLogTable for its errors. Raises `StackError`, and `BotoCoreError` or
    `ClientError` where AWS cannot be reached; a missing permission is a line of the story, and so is a record
    that another hand has spoilt.
    """
    if not saved.state:
        return [Moment(None, "received", "by another function, which shares the table: it has no passes of ours")]
    try:
        return _timeline(stack, saved, now)
    except (KeyError, TypeError, ValueError) as error:
        text = f"the record is not what `save` writes, mend it by hand: {type(error).__name__}: {error}"
        return [Moment(None, "error", printable(text), "bad")]


def _timeline(stack: Stack, saved: Saved, now: datetime) -> list[Moment]:
    armed, timer = _timer(stack, saved, now)
    happened = [*_received(saved), *_passes(saved), *_claim(saved, now), *_ended(saved)]
    logged = list(_errors(stack, saved, now))
    timed = sorted((m for m in (*happened, *timer, *logged) if m.at), key=lambda m: m.at or now)
    untimed = [m for m in (*timer, *logged) if not m.at]
    return [*timed, *untimed, *outlook(stack, saved, armed, now)]


def _received(saved: Saved) -> Iterator[Moment]:
    at, item = moment(saved.time("receivedAt")), saved.item
    said = [f"{name} {item[key]}" for name, key in (("status", "status"), ("state", "transactionState")) if key in item]
    if "amount" in item:
        said.append(f"{item['amount']} {item.get('currency', '')}".strip())
    yield Moment(at, "received", printable(", ".join(said) or "saved"))
    status, form = str(item.get("checksumStatus")), item.get("checksumForm")
    text, level = _CHECKSUMS.get(status, ("", "warn"))
    shown = f"{status} ({form} form)" if form else status
    yield Moment(at, "checksum", printable(f"{shown}: {text}"), level)


def _passes(saved: Saved) -> Iterator[Moment]:
    before = 0
    for done in saved.passes:
        attempts, before = int(done["attempt"]) - before, int(done["attempt"])
        yield Moment(moment(done["at"]), f"pass {done['number']}", _pass(done, attempts), "ok")


def _pass(done: Item, attempts: int) -> str:
    took = timedelta(milliseconds=int(done["durationMs"])).total_seconds()
    tried = f" at attempt {attempts}" if attempts > 1 else ""
    return printable(f"completed{tried} in {took:.1f} s: {done['outcome']}")


def _claim(saved: Saved, now: datetime) -> Iterator[Moment]:
    if not (lease := saved.time("leaseUntil")):
        return
    until = moment(lease)
    if until > now:
        yield Moment(until, "claim", f"somebody runs pass {saved.next_pass}, at the latest until then")
    else:
        yield Moment(until, "claim", f"ran out: who claimed pass {saved.next_pass} died, or could not say", "warn")


def _ended(saved: Saved) -> Iterator[Moment]:
    if not (ended := saved.time("endedAt")):
        return
    if saved.state == "DONE":
        yield Moment(moment(ended), "ended", f"DONE: {saved.passes_done} passes are completed", "ok")
    else:
        yield Moment(moment(ended), "ended", f"FAILED with {saved.passes_done} passes completed", "bad")


def _timer(stack: Stack, saved: Saved, now: datetime) -> tuple[datetime | None, list[Moment]]:
    # Pass 1 is run at once, by nobody's timer; what has ended needs none.
    if saved.state != "PENDING" or not saved.passes_done:
        return None, []
    try:
        armed = armed_for(stack, saved)
    except ClientError as error:
        return None, [_not_told("schedule", error)]
    if armed is None:
        early = saved.time("nextPassDue") and moment(saved.time("nextPassDue")) > now
        text = f"the timer of pass {saved.next_pass} is gone: it fired, or was never armed"
        return None, [Moment(None, "schedule", text, "warn" if early else "info")]
    text = f"the timer of pass {saved.next_pass} is armed for {relative(armed, now)}"
    return armed, [Moment(armed, "schedule", text, "ok")]


def _errors(stack: Stack, saved: Saved, now: datetime) -> Iterator[Moment]:
    texts = []
    try:
        for error in errors_of(stack, saved):
            texts.append(error.text)
            yield Moment(error.last_at, "error", _error(error, now), "bad" if error.final else "warn")
    except ClientError as refused:
        yield _not_told("error", refused)
    last = printable(str(saved.item.get("lastError", "")))
    if last and last not in texts:
        yield Moment(None, "error", f"of the last failed attempt: {last}", "info" if saved.state == "DONE" else "warn")


def _error(error: LoggedError, now: datetime) -> str:
    often = ""
    if error.occurrences > 1:
        often = f"{error.occurrences} times in {span(error.last_at - error.first_at)}, "
    mailed = f"mailed {clock_time(error.mailed_at, now)}" if error.mailed_at else "not mailed"
    return f"{error.text} ({often}{mailed})"


def _not_told(what: str, error: ClientError) -> Moment:
    return Moment(None, what, printable(f"unknown, since it could not be asked for: {error}"), "warn")
