"""Where a notification waits now, and what happens next: by itself, or by whom."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from callback.clock import parse_utc as moment
from callback.record import OVERDUE_AFTER as GRACE
from followups.moments import Level, Moment
from followups.notifications import Saved
from followups.stack import Stack
from followups.times import clock_time, relative, span

# Scheduler's precision (docs/decisions/02), and the sweep's rhythm (template.yaml).
TIMER_LATE = timedelta(seconds=60)
SWEEP_EVERY = timedelta(minutes=5)


def outlook(stack: Stack, saved: Saved, armed: datetime | None, now: datetime) -> Iterator[Moment]:
    """Tell what is to come; `armed` is when the timer of the next pass is set to fire, None where there is none.

    A letter in a failure queue names its notification, not the other way round: whether one lies there is not told.
    """
    if saved.state == "DONE":
        yield Moment(None, "next", "nothing: no pass is missing", "ok")
    elif saved.state == "FAILED":
        yield Moment(None, "waits", f"for a person: pass {saved.next_pass} is missing{_tried(stack, saved)}", "bad")
        yield Moment(None, "next", f"nothing by itself; once the cause is gone: {_replay(stack, saved)}", "bad")
    elif (claimed := _claimed(saved)) and claimed > now:
        yield Moment(None, "waits", f"for who claimed {_which(stack, saved)}, until {relative(claimed, now)}")
        yield Moment(claimed, "next", "its end is recorded; should it have died, Lambda's retry or the sweep goes on")
    else:
        due = moment(saved.time("nextPassDue"))
        yield Moment(None, "waits", _waits(stack, saved, due, now), "info" if due > now else _level(saved, now))
        yield _next(stack, saved, due, armed, now)


def _waits(stack: Stack, saved: Saved, due: datetime, now: datetime) -> str:
    since = f"due at {relative(due, now)}" if due > now else f"due since {clock_time(due, now)} ({span(now - due)})"
    return f"for {_which(stack, saved)}, {since}{_tried(stack, saved)}"


def _next(stack: Stack, saved: Saved, due: datetime, armed: datetime | None, now: datetime) -> Moment:
    if armed and now <= armed + TIMER_LATE:
        last = clock_time(armed + TIMER_LATE, now)
        return Moment(max(armed, now), "next", f"the timer starts pass {saved.next_pass}, by {last}")
    sweep = clock_time(due + GRACE + SWEEP_EVERY, now)
    if not saved.is_overdue(now):
        retries = (
            ""
            if due > now or (saved.passes_done and not saved.attempts_made)
            else "Lambda, if it has tries left, else "
        )
        return Moment(due + GRACE, "next", f"{retries}the sweep starts pass {saved.next_pass}, by {sweep}", "warn")
    if saved.attempts_made >= stack.max_attempts:
        return Moment(None, "next", f"the sweep ends it in FAILED, within {span(SWEEP_EVERY)}", "bad")
    text = f"the sweep starts pass {saved.next_pass}, within {span(SWEEP_EVERY)}; or now: {_replay(stack, saved)}"
    return Moment(None, "next", text, "warn")


def _level(saved: Saved, now: datetime) -> Level:
    return "warn" if saved.is_overdue(now) else "info"


def _which(stack: Stack, saved: Saved) -> str:
    passes = len(stack.delays) + 1
    settled = " or until the order is " + " or ".join(stack.settled_statuses) if stack.settled_statuses else ""
    return f"pass {saved.next_pass} of {passes}{settled}"


def _tried(stack: Stack, saved: Saved) -> str:
    return f", tried {saved.attempts_made} of at most {stack.max_attempts} times" if saved.attempts_made else ""


def _replay(stack: Stack, saved: Saved) -> str:
    return stack.command("replay", ids=(saved.order_id,))


def _claimed(saved: Saved) -> datetime | None:
    lease = saved.time("leaseUntil")
    return moment(lease) if lease else None
