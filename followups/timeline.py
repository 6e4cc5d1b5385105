"""What became of a notification: one line for each thing that is known, in order of time, then what comes.

The record is the truth and is handed in; the timer and the error log are asked for, and what may not be asked is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from botocore.exceptions import ClientError

from callback.clock import parse_utc
from callback.record import Record
from callback.table import Item
from callback.timer import schedule_name
from followups.invocation import printable
from followups.records import Level, Notification, Status, error_rows, status
from followups.stack import Stack
from followups.times import clock_time, relative, span

# Scheduler's precision (docs/decisions/02), and the sweep's rhythm (template.yaml).
TIMER_LATE = timedelta(seconds=60)
_SWEEP_EVERY = timedelta(minutes=1)
_CHECKSUMS: dict[str, tuple[str, Level]] = {
    "valid": ("the bank vouches for all but the order id", "ok"),
    "invalid": ("it matches no merchant key", "warn"),
    "missing": ("nothing proves that this came from the bank", "warn"),
    "unverifiable": ("it could not be checked", "warn"),
}


@dataclass(frozen=True)
class Event:
    """What happened, or will, at a time; `at` is None where that is unknown or none.

    `what` is a word of the field: received, checksum, pass 1, schedule, error, claim, ended, waits, next. `text` is one
    line, scrubbed and fit to print.
    """

    at: datetime | None
    what: str
    text: str
    level: Level = "info"


def timeline(stack: Stack, notification: Notification, now: datetime) -> list[Event]:
    """Tell a notification's story, oldest first; the last lines say what it waits for and what happens next.

    Asks Scheduler for its timer and CallbackErrorLogTable for its errors. Raises `StackError`, and `BotoCoreError` or
    `ClientError` where AWS cannot be reached. A missing permission is a line of the story, and so is a record that
    another hand has spoilt.
    """
    record = notification.record
    if notification.fault or record is None:
        foreign = Event(None, "received", "by another function, which shares the table: it has no passes here")
        return [_spoilt(notification.fault) if notification.fault else foreign]
    timer_at, timer = _timer(stack, record, now)
    known = [*_received(notification), *_passes(record), *_claim(record, now), *_ended(notification)]
    known += [*timer, *_errors(stack, notification, now)]
    timed = sorted((event for event in known if event.at), key=lambda event: event.at or now)
    return [*timed, *(event for event in known if not event.at), *next_steps(stack, notification, timer_at, now)]


def next_steps(stack: Stack, notification: Notification, timer_at: datetime | None, now: datetime) -> Iterator[Event]:
    """Say what it waits for and what happens next, by itself or by whom; `timer_at` is when its timer is to fire."""
    record, current = notification.record, status(notification, now)
    if record is None or current.word == "done":
        yield Event(None, "next", "nothing: no pass is missing", "ok")
        return
    which = f"pass {record.next_pass} of {len(stack.delays) + 1}"
    if stack.settled_statuses:
        which += f" or until the order is {' or '.join(stack.settled_statuses)}"
    yield Event(
        None, "waits", f"{_waits(which, record, current, now)}{_tried(stack, record, current, now)}", current.level
    )
    if current.word == "failed":
        text = f"nothing by itself; once the cause is gone: {_replay(stack, notification)}"
        yield Event(None, "next", text, "bad")
    else:
        yield _next(stack, notification, current, timer_at, now)


def _waits(which: str, record: Record, current: Status, now: datetime) -> str:
    at = current.at or now
    if current.word == "failed":
        return f"for a person: pass {record.next_pass} is missing"
    if current.word == "running":
        return f"for the end of {which}, which is running, until {relative(at, now)}"
    if at <= now:
        return f"for {which}, due since {clock_time(at, now)} ({span(now - at)})"
    return f"for {which}, due {'again ' if current.word == 'retrying' else ''}at {relative(at, now)}"


def _tried(stack: Stack, record: Record, current: Status, now: datetime) -> str:
    if not record.attempts_made or current.word == "running":
        return ""
    tried = f", tried {record.attempts_made} {'time' if record.attempts_made == 1 else 'times'}"
    if not record.first_due:
        return tried
    since = f"{tried} since {clock_time(record.first_due, now)}"
    ends = clock_time(record.first_due + stack.give_up_after, now)
    return since if current.word == "failed" else f"{since}; it is given up at {ends}"


def _next(stack: Stack, notification: Notification, current: Status, timer_at: datetime | None, now: datetime) -> Event:
    record = notification.record
    number = record.next_pass if record else 0
    if timer_at and now <= timer_at + TIMER_LATE:
        text = f"the timer starts pass {number}, by {clock_time(timer_at + TIMER_LATE, now)}"
        return Event(max(timer_at, now), "next", text)
    swept = max(notification.time("sweepAt") or now, now)
    by = clock_time(swept + _SWEEP_EVERY, now)
    if current.word == "running":
        return Event(swept, "next", f"its end is recorded; should it have died, the sweep starts it again, by {by}")
    text = f"the sweep starts pass {number}, by {by}"
    if current.late >= stack.give_up_after:
        return Event(swept, "next", f"{text}, for the last time, or ends it in FAILED", "bad")
    if current.word == "overdue":
        return Event(swept, "next", f"{text}; or now: {_replay(stack, notification)}", "warn")
    return Event(swept, "next", text, "info" if current.word == "retrying" else "warn")


def _replay(stack: Stack, notification: Notification) -> str:
    return stack.command("replay", ids=(notification.order_id,))


def _spoilt(fault: str) -> Event:
    return Event(None, "error", printable(f"the record is not what `save` writes, correct it by hand: {fault}"), "bad")


def _received(notification: Notification) -> Iterator[Event]:
    at, item = notification.time("receivedAt"), notification.item
    said = [f"{name} {item[key]}" for name, key in (("status", "status"), ("state", "transactionState")) if key in item]
    if "amount" in item:
        amount = item["amount"]
        money = f"{amount:.2f}" if isinstance(amount, Decimal) and amount == round(amount, 2) else str(amount)
        said.append(f"{money} {item.get('currency', '')}".strip())
    yield Event(at, "received", printable(", ".join(said) or "saved"))
    checksum, form = str(item.get("checksumStatus")), item.get("checksumForm")
    text, level = _CHECKSUMS.get(checksum, ("", "warn"))
    yield Event(
        at, "checksum", printable(f"{checksum} ({form} form): {text}" if form else f"{checksum}: {text}"), level
    )


def _passes(record: Record) -> Iterator[Event]:
    before = 0
    for done in record.passes:
        try:
            attempts, before = int(done["attempt"]) - before, int(done["attempt"])
            yield Event(parse_utc(done["at"]), f"pass {done['number']}", _pass(done, attempts), "ok")
        except (KeyError, TypeError, ValueError) as error:
            yield _spoilt(f"passes: {type(error).__name__}: {error}")


def _pass(done: Item, attempts: int) -> str:
    took = timedelta(milliseconds=int(done["durationMs"])).total_seconds()
    tried = f" at attempt {attempts}" if attempts > 1 else ""
    return printable(f"completed{tried} in {took:.1f} s: {done['outcome']}")


def _claim(record: Record, now: datetime) -> Iterator[Event]:
    until, number = record.lease_until, record.next_pass
    if record.is_claimed(now):
        yield Event(until, "claim", f"pass {number} is running, at the latest until then")
    elif until:
        yield Event(until, "claim", f"ran out: the run of pass {number} died, or could not record its end", "warn")


def _ended(notification: Notification) -> Iterator[Event]:
    if ended := notification.time("failedAt"):
        done = notification.next_pass - 1
        yield Event(ended, "ended", f"FAILED with {done} {'pass' if done == 1 else 'passes'} completed", "bad")


def _timer(stack: Stack, record: Record, now: datetime) -> tuple[datetime | None, list[Event]]:
    # Only the first attempt at a pass after the first has one.
    if record.state != "PENDING" or not record.passes_done or record.attempts_made:
        return None, []
    try:
        at = _fires_at(stack, record)
    except ClientError as error:
        return None, [_unknown("schedule", error)]
    if at is None:
        level: Level = "warn" if record.next_pass_due and record.next_pass_due > now else "info"
        text = f"the timer of pass {record.next_pass} is gone: it fired, or was never created"
        return None, [Event(None, "schedule", text, level)]
    text = f"the timer of pass {record.next_pass} is set for {relative(at, now)}"
    return at, [Event(at, "schedule", text, "ok")]


def _fires_at(stack: Stack, record: Record) -> datetime | None:
    group, name = stack.output("ScheduleGroup"), schedule_name(record)
    try:
        found = stack.scheduler.get_schedule(GroupName=group, Name=name)
    except stack.scheduler.exceptions.ResourceNotFoundException:
        return None
    return datetime.strptime(found["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)


def _errors(stack: Stack, notification: Notification, now: datetime) -> Iterator[Event]:
    texts, done = [], status(notification, now).word == "done"
    try:
        rows = error_rows(stack, notification.ids["notificationId"], notification.next_pass)
        for kind, row in sorted(rows.items(), key=lambda pair: str(pair[1]["lastAt"])):
            texts.append(printable(f"{row['errorType']}: {row['message']}"))
            level: Level = "bad" if kind.startswith("failed") else "warn"
            yield Event(parse_utc(row["lastAt"]), "error", f"{texts[-1]} ({_how_often(row, now)})", level)
    except ClientError as refused:
        yield _unknown("error", refused)
    if notification.reason and notification.reason not in texts:
        yield Event(None, "error", f"of the last failed attempt: {notification.reason}", "info" if done else "warn")


def _how_often(row: Item, now: datetime) -> str:
    mailed = f"mailed {clock_time(parse_utc(row['mailedAt']), now)}" if "mailedAt" in row else "not mailed"
    if row["occurrences"] == 1:
        return mailed
    return f"{row['occurrences']} times in {span(parse_utc(row['lastAt']) - parse_utc(row['firstAt']))}, {mailed}"


def _unknown(what: str, error: ClientError) -> Event:
    return Event(None, what, printable(f"unknown, since it could not be asked for: {error}"), "warn")
