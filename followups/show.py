"""`followups show`: what became of an order, a charge or a notification, and what happens next."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import click
from botocore.exceptions import ClientError

from callback.record import Record
from callback.table import parse_utc
from callback.timer import schedule_name
from followups.cli import LETTERS, READ, TIMERS, Operator, manual
from followups.output import STYLES, Column, Row, clock_time, error_line, printable, relative, span, with_command
from followups.records import MOST_PASSES, Level, Notification, Status, status
from followups.stack import Stack
from followups.tables import error_rows, look_up

# How late a timer (docs/decisions/02) or the sweep (template.yaml) may start a pass.
_MOST_DELAY = timedelta(minutes=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_CHECKSUMS = {
    "valid": "the bank vouches for all but the order id",
    "invalid": "it matches no merchant key",
    "missing": "nothing proves that this came from the bank",
    "unverifiable": "it could not be checked",
    "unknown": "the record does not say",
}
_NOTHING = {"done": "no pass is missing", "resolved": "it was settled by hand"}


class Event(NamedTuple):
    """What happened, or will; `at` is None where no time is known.

    `what` is one word: received, checksum, pass 1, schedule, error, claim, ended, resolved, waits, next. `text` is one
    line, scrubbed and fit to print.
    """

    at: datetime | None
    what: str
    text: str
    level: Level = "info"


def timeline(stack: Stack, one: Notification, now: datetime) -> list[Event]:
    """Return the events of a notification, oldest first; a missing permission is one. Raises `stack.ERRORS`."""
    record = one.record
    if record is None:
        foreign = Event(None, "received", "by another function, which shares the table: it has no passes here")
        return [_spoilt(one.fault) if one.fault else foreign, *_ended(one, now)]
    read = {"received": _received(one), "passes": _passes(record), "schedule": _timer(stack, record, now)}
    read["error"] = _errors(stack, one, now)
    known = [*_ended(one, now), *(event for what, part in read.items() for event in _survived(what, part))]
    if one.reason and not any(one.reason in event.text for event in known):
        text = f"of the last failed attempt: {one.reason}"
        known.append(Event(None, "error", text, "info" if record.state == "DONE" else "warn"))
    known.sort(key=lambda event: event.at or _LAST)
    timer = next((event.at for event in known if event.what == "schedule"), None)
    return known + list(_next(stack, one, record, timer, now))


def _next(stack: Stack, one: Notification, record: Record, timer: datetime | None, now: datetime) -> Iterator[Event]:
    """What a notification waits for, and what happens next."""
    current, replay = status(one, now), stack.command("replay", ids=(record.order_id,))
    if current.word in _NOTHING:
        yield Event(None, "next", f"nothing: {_NOTHING[current.word]}", "ok")
        return
    kind = "" if one.checksum == "valid" else "Unproved"
    limit = timedelta(hours=int(stack.value(f"{kind}GiveUpAfterHours")))
    which = f"pass {record.next_pass} of {stack.passes}"
    yield Event(None, "waits", _waits(which, record, current, limit, now), current.level)
    swept_at = max(one.time("sweepAt") or now, now)
    sweep = f"the sweep starts pass {record.next_pass}, by {clock_time(swept_at + _MOST_DELAY, now)}"
    if current.word == "failed":
        yield Event(None, "next", f"nothing by itself; once the cause is gone: {replay}", "bad")
    elif timer and now <= (latest := timer + _MOST_DELAY):
        text = f"the timer starts pass {record.next_pass}, by {clock_time(latest, now)}"
        yield Event(max(timer, now), "next", text)
    elif current.word == "running":
        yield Event(swept_at, "next", f"its end is recorded; should it have died, {sweep}")
    elif current.late >= limit:
        yield Event(swept_at, "next", f"{sweep}, for the last time, or ends it in FAILED", "bad")
    else:
        or_now = f"; or now: {replay}" if current.word == "overdue" else ""
        yield Event(swept_at, "next", f"{sweep}{or_now}", "info" if current.word == "retrying" else "warn")


def _waits(which: str, record: Record, current: Status, limit: timedelta, now: datetime) -> str:
    at, tried, given_up = current.at or now, "", ""
    if current.word == "running":
        return f"for the end of {which}, which is running, until {relative(at, now)}"
    if record.attempts_made and record.first_due:
        tried = f", attempts: {record.attempts_made} since {clock_time(record.first_due, now)}"
        given_up = f"; it is given up at {clock_time(record.first_due + limit, now)}"
    if current.word == "failed":
        return f"for a person: {which} is missing{tried}"
    again = "again " if current.word == "retrying" else ""
    due = f"since {clock_time(at, now)} ({span(now - at)})" if at <= now else f"{again}at {relative(at, now)}"
    return f"for {which}, due {due}{tried}{given_up}"


def _spoilt(fault: str) -> Event:
    return Event(None, "error", printable(f"the record is not what `save` writes, correct it by hand: {fault}"), "bad")


def _survived(what: str, events: Iterator[Event]) -> Iterator[Event]:
    """Yield events; what AWS refuses, or another hand has spoilt, becomes an event, too."""
    try:
        yield from events
    except ClientError as error:
        yield Event(None, what, printable(f"unknown, since it could not be asked for: {error}"), "warn")
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        yield _spoilt(f"{what}: {type(error).__name__}: {error}")


def _received(one: Notification) -> Iterator[Event]:
    item, at = one.item, one.time("receivedAt")
    named = {"status": item.get("status"), "state": item.get("transactionState")}
    parts = [f"{name} {value}" for name, value in named.items() if value is not None]
    if isinstance(amount := item.get("amount"), Decimal):  # with two decimals, and more where there are more
        money = max(f"{amount:.2f}", f"{amount.normalize():f}", key=len)
        parts.append(f"{money} {item.get('currency', '')}".strip())
    yield Event(at, "received", printable(", ".join(parts) or "saved"))
    form = f" ({item['checksumForm']} form)" if item.get("checksumForm") else ""
    text = printable(f"{one.checksum}{form}: {_CHECKSUMS[one.checksum]}")
    yield Event(at, "checksum", text, "ok" if one.checksum == "valid" else "warn")


def _passes(record: Record) -> Iterator[Event]:
    before = 0
    for done in record.passes[:MOST_PASSES]:
        attempts, before = int(done["attempt"]) - before, int(done["attempt"])
        tried = f" at attempt {attempts}" if attempts > 1 else ""
        text = printable(f"completed{tried} in {int(done['durationMs']) / 1000:.1f} s: {done.get('outcome', 'erased')}")
        yield Event(parse_utc(done["at"]), f"pass {int(done['number'])}", text, "ok")


def _ended(one: Notification, now: datetime) -> Iterator[Event]:
    record = one.record
    if record and record.lease_until and not record.is_claimed(now):
        text = f"ran out: the run of pass {record.next_pass} died, or could not record its end"
        yield Event(record.lease_until, "claim", text, "warn")
    if ended := one.time("failedAt"):
        yield Event(ended, "ended", f"FAILED, passes completed: {max(one.next_pass - 1, 0)}", "bad")
    if resolved := one.time("resolvedAt"):
        yield Event(resolved, "resolved", printable(f"by hand: {one.item.get('resolvedReason', 'erased')}"), "ok")


def _timer(stack: Stack, record: Record, now: datetime) -> Iterator[Event]:
    # Only the first attempt at a pass after the first has one.
    if record.state != "PENDING" or not record.passes_done or record.attempts_made:
        return
    timer, client = f"the timer of pass {record.next_pass}", stack.scheduler
    try:
        found = client.get_schedule(GroupName=stack.value("ScheduleGroup"), Name=schedule_name(record))
    except client.exceptions.ResourceNotFoundException:
        level: Level = "warn" if record.next_pass_due and record.next_pass_due > now else "info"
        yield Event(None, "schedule", f"{timer} is gone: it fired, or was never created", level)
    else:
        at = datetime.strptime(found["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        yield Event(at, "schedule", f"{timer} is set for {relative(at, now)}", "ok")


def _errors(stack: Stack, one: Notification, now: datetime) -> Iterator[Event]:
    for kind, row in error_rows(stack, one.ids, one.next_pass).items():
        last, count = parse_utc(row["lastAt"]), int(row["occurrences"])
        often = f"{count} times in {span(last - parse_utc(row['firstAt']))}, " if count > 1 else ""
        mailed = f"mailed {clock_time(parse_utc(row['mailedAt']), now)}" if "mailedAt" in row else "not mailed"
        text = printable(f"{row['errorType']}: {row.get('message', 'erased')}") + _answered(row.get("responseData"))
        yield Event(last, "error", f"{text} ({often}{mailed})", "bad" if kind.startswith("failed") else "warn")


def _answered(kept: object) -> str:
    """What ProcessPaidOrder answered; for an error from Lambda, only its type and message."""
    answer = kept
    with suppress(ValueError, RecursionError):
        answer = json.loads(str(kept))
    is_error = isinstance(answer, dict) and "errorMessage" in answer
    return f"; it answered {error_line(answer) if is_error else printable(str(kept))}" if answer else ""


@manual("show", READ + LETTERS + TIMERS, "followups show ORDER-1001", "followups show chrg_test_2250… --json")
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
def show_command(operator: Operator, word: str) -> int:
    """Answer "this customer paid, where is the order?".

    It prints the timeline of each notification, 20 at most: those with a valid checksum, then the latest. Order and
    charge find all that was saved; a request id, or the first six letters of any id, finds only what waits or failed.
    """
    output, stack, now = operator.output, operator.stack, operator.clock()
    found = look_up(stack, word, now)
    timelines = [(one, timeline(stack, one, now)) for one in found.rows]
    if output.as_json:
        records = [one.as_data(now) | {"timeline": [event._asdict() for event in events]} for one, events in timelines]
        output.document({"stack": stack.name, "asked": word, "more": found.more, "notifications": records})
    else:
        for one, events in timelines:
            _print(operator, one, events)
    if found.more:
        output.warn(f"There are more than these {len(timelines)}: the proved and the latest that were read are shown.")
    for line in stack.about_letters():
        output.warn(line, "bold red")
    if not timelines:
        output.note(f"{word}: no notification was saved in stack {stack.name}.")
        output.note("Check the id and the stack. What is done is found by its whole order or charge id alone.")
        output.note("What could not be saved is in a queue:")
        output.note(f"    {stack.command('dead-letters', 'list')}")
    return 0 if timelines else 1


def _print(operator: Operator, one: Notification, events: list[Event]) -> None:
    output, zone, now, rows = operator.output, operator.zone, operator.clock(), list[Row]()
    current = status(one, now)
    text = f"{current.word}, passes completed: {max(one.next_pass - 1, 0)}, checksum {one.checksum}"
    output.line(f"Order {one.order_id}: {text}", style=STYLES[current.level])
    output.line(f"charge {one.ids['chargeId']}, notification {one.ids['notificationId']}")
    is_utc = now.utcoffset() == now.astimezone(zone).utcoffset()
    columns = (Column("local", 8), Column("UTC", 19), Column("what", 9), Column("known", ratio=1))
    for at, what, text, level in events:
        times = (f"{at.astimezone(zone):%H:%M:%S}", f"{at:%Y-%m-%d %H:%M:%S}") if at else ("-", "-")
        rows.append(Row((*times[is_utc:], (what, STYLES[level]), (text, STYLES[level])), {}))
    output.rows(columns[is_utc:], *rows)
    if output.is_table:  # in the table a command may be split over two lines
        for command in (part for event in events for part in with_command(event.text)[1:]):
            output.line(command)
    output.line("")
