"""The timeline of a notification: what is known of it, in order of time, then what happens next."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from botocore.exceptions import ClientError

from callback.log import PROVED
from callback.record import Record
from callback.table import Item, parse_utc
from callback.timer import schedule_name
from followups.records import MOST_PASSES, Level, Notification, Status, status
from followups.stack import Stack
from followups.tables import error_rows
from followups.text import clock_time, error_line, printable, relative, span

# Scheduler's precision (docs/decisions/02), and the sweep's interval (template.yaml).
TIMER_LATE = timedelta(seconds=60)
_SWEEP_EVERY = timedelta(minutes=1)
_MOST_DIGITS = 20
# What reading a spoilt part may raise.
_UNREADABLE = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
_CHECKSUMS: dict[str, tuple[str, Level]] = {
    "valid": ("the bank vouches for all but the order id", "ok"),
    "invalid": ("it matches no merchant key", "warn"),
    "missing": ("nothing proves that this came from the bank", "warn"),
    "unverifiable": ("it could not be checked", "warn"),
}


@dataclass(frozen=True)
class Event:
    """What happened, or will; `at` is None where no time is known.

    `what` is one word: received, checksum, pass 1, schedule, error, claim, ended, resolved, waits, next. `text` is one
    line, scrubbed and fit to print.
    """

    at: datetime | None
    what: str
    text: str
    level: Level = "info"


def timeline(stack: Stack, notification: Notification, now: datetime) -> list[Event]:
    """Return the events of a notification, oldest first.

    It asks Scheduler for the timer and CallbackErrorLogTable for errors; a missing permission is an event. Raises
    `followups.stack.ERRORS` where AWS cannot be reached.
    """
    record = notification.record
    if record is None:
        foreign = Event(None, "received", "by another function, which shares the table: it has no passes here")
        return [_spoilt(notification.fault) if notification.fault else foreign, *_ended(notification)]
    timer_at, timer = _timer(stack, record, now)
    known = [*_received(notification), *_passes(record), *_claim(record, now), *_ended(notification)]
    known += [*timer, *_errors(stack, notification, now)]
    timed = sorted((event for event in known if event.at), key=lambda event: event.at or now)
    untimed = (event for event in known if not event.at)
    return [*timed, *untimed, *_next_steps(stack, notification, record, timer_at, now)]


def _next_steps(
    stack: Stack, one: Notification, record: Record, timer_at: datetime | None, now: datetime
) -> Iterator[Event]:
    """What a notification waits for, and what happens next."""
    current, replay = status(one, now), stack.command("replay", ids=(record.order_id,))
    if current.word in {"done", "resolved"}:
        text = "nothing: no pass is missing" if current.word == "done" else "nothing: it was settled by hand"
        yield Event(None, "next", text, "ok")
        return
    limit = _limit(stack, record)
    yield Event(None, "waits", _waits(stack, record, current, now) + _tried(record, current, limit, now), current.level)
    swept_at = max(one.time("sweepAt") or now, now)
    sweeps, by = f"the sweep starts pass {record.next_pass}", f"by {clock_time(swept_at + _SWEEP_EVERY, now)}"
    if current.word == "failed":
        yield Event(None, "next", f"nothing by itself; once the cause is gone: {replay}", "bad")
    elif timer_at and now <= timer_at + TIMER_LATE:
        text = f"the timer starts pass {record.next_pass}, by {clock_time(timer_at + TIMER_LATE, now)}"
        yield Event(max(timer_at, now), "next", text)
    elif current.word == "running":
        yield Event(swept_at, "next", f"its end is recorded; should it have died, {sweeps} again, {by}")
    elif current.late >= limit:
        yield Event(swept_at, "next", f"{sweeps}, {by}, for the last time, or ends it in FAILED", "bad")
    else:
        text = f"{sweeps}, {by}" + (f"; or now: {replay}" if current.word == "overdue" else "")
        yield Event(swept_at, "next", text, "info" if current.word == "retrying" else "warn")


def _limit(stack: Stack, record: Record) -> timedelta:
    kind = "" if record.checksum_status == PROVED else "Unproved"
    return timedelta(hours=int(stack.parameter(f"{kind}GiveUpAfterHours")))


def _waits(stack: Stack, record: Record, current: Status, now: datetime) -> str:
    which, at = f"pass {record.next_pass} of {len(stack.delays) + 1}", current.at or now
    settled = map(str.strip, stack.parameter("SettledOrderStatuses").split(","))
    if statuses := " or ".join(filter(None, settled)):
        which += f" or until the order is {statuses}"
    if current.word == "failed":
        return f"for a person: pass {record.next_pass} is missing"
    if current.word == "running":
        return f"for the end of {which}, which is running, until {relative(at, now)}"
    if at <= now:
        return f"for {which}, due since {clock_time(at, now)} ({span(now - at)})"
    return f"for {which}, due {'again ' if current.word == 'retrying' else ''}at {relative(at, now)}"


def _tried(record: Record, current: Status, limit: timedelta, now: datetime) -> str:
    made, first_due = record.attempts_made, record.first_due
    if not made or not first_due or current.word == "running":
        return ""
    tried = f", tried {made} {'time' if made == 1 else 'times'} since {clock_time(first_due, now)}"
    return tried + ("" if current.word == "failed" else f"; it is given up at {clock_time(first_due + limit, now)}")


def _spoilt(fault: str) -> Event:
    return Event(None, "error", printable(f"the record is not what `save` writes, correct it by hand: {fault}"), "bad")


def _received(notification: Notification) -> Iterator[Event]:
    at, item = notification.time("receivedAt"), notification.item
    parts = [
        f"{name} {item[key]}" for name, key in (("status", "status"), ("state", "transactionState")) if key in item
    ]
    if "amount" in item:
        parts.append(f"{_money(item['amount'])} {item.get('currency', '')}".strip())
    yield Event(at, "received", printable(", ".join(parts) or "saved"))
    checksum, form = notification.checksum, item.get("checksumForm")
    text, level = _CHECKSUMS.get(checksum, ("the record does not say", "warn"))
    yield Event(
        at, "checksum", printable(f"{checksum} ({form} form): {text}" if form else f"{checksum}: {text}"), level
    )


def _money(amount: object) -> str:
    # Beyond 28 digits, which another hand may have written, a number cannot be rounded.
    is_money = isinstance(amount, Decimal) and amount.adjusted() < _MOST_DIGITS and amount == round(amount, 2)
    return f"{amount:.2f}" if is_money else str(amount)


def _passes(record: Record) -> Iterator[Event]:
    before = 0
    for done in record.passes[:MOST_PASSES]:
        try:
            attempts, before = int(done["attempt"]) - before, int(done["attempt"])
            yield Event(parse_utc(done["at"]), f"pass {int(done['number'])}", _pass(done, attempts), "ok")
        except _UNREADABLE as error:
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
    if resolved := notification.time("resolvedAt"):
        yield Event(resolved, "resolved", printable(f"by hand: {notification.item.get('resolvedReason', '')}"), "ok")


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
    texts = []
    try:
        rows = error_rows(stack, notification.ids["notificationId"], notification.next_pass)
        for kind, row in sorted(rows.items(), key=lambda pair: str(pair[1].get("lastAt"))):
            texts.append(printable(f"{row.get('errorType')}: {row.get('message')}"))
            level: Level = "bad" if kind.startswith("failed") else "warn"
            yield _error(row, texts[-1] + _answered(str(row.get("responseData") or "{}")), level, now)
    except ClientError as refused:
        yield _unknown("error", refused)
    if notification.reason and notification.reason not in texts:
        level = "info" if status(notification, now).word == "done" else "warn"
        yield Event(None, "error", f"of the last failed attempt: {notification.reason}", level)


def _answered(text: str) -> str:
    """What ProcessPaidOrder answered: of an error of Lambda's, type and message alone."""
    if text == "{}":
        return ""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    is_error = isinstance(answer, dict) and "errorMessage" in answer
    return f"; it answered {error_line(answer) if is_error else printable(text)}"


def _error(row: Item, text: str, level: Level, now: datetime) -> Event:
    try:
        return Event(parse_utc(row["lastAt"]), "error", f"{text} ({_how_often(row, now)})", level)
    except _UNREADABLE:
        return Event(None, "error", f"{text} (another hand has spoilt its row of the error log)", level)


def _how_often(row: Item, now: datetime) -> str:
    mailed = f"mailed {clock_time(parse_utc(row['mailedAt']), now)}" if "mailedAt" in row else "not mailed"
    if int(row["occurrences"]) == 1:
        return mailed
    return f"{int(row['occurrences'])} times in {span(parse_utc(row['lastAt']) - parse_utc(row['firstAt']))}, {mailed}"


def _unknown(what: str, error: ClientError) -> Event:
    return Event(None, what, printable(f"unknown, since it could not be asked for: {error}"), "warn")
