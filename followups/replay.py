"""Replay: the missing pass of each of an order's notifications, run now by Recheck."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callback.clock import Clock, stamp, utc_now
from callback.errors import InvalidRecheck
from callback.rechecks import RecheckInput
from followups.invocation import StillFails, invoke
from followups.notifications import Saved, of_order
from followups.stack import Stack


@dataclass(frozen=True)
class Outcome:
    """What became of one notification; `missing` where a pass that should have run still has not."""

    saved: Saved
    missing: bool
    text: str


def replay(stack: Stack, order_id: str, clock: Clock = utc_now) -> Iterator[Outcome]:
    """Run what is missing now, and say of the rest why it is left alone. Recheck itself decides by the record."""
    for saved in of_order(stack, order_id):
        now = stamp(clock())
        reason = _left_alone(saved, now)
        yield Outcome(saved, missing=False, text=reason) if reason else _replay(stack, saved, now)


def _left_alone(saved: Saved, now: str) -> str:
    if saved.state == "DONE":
        return f"left: DONE, {saved.passes_done} passes are completed"
    if (lease := saved.time("leaseUntil")) > now:
        return f"left: pass {saved.next_pass} is claimed until {lease}"
    if (due := saved.time("nextPassDue")) > now:
        return f"left: pass {saved.next_pass} is due at {due}"
    return ""


def _replay(stack: Stack, saved: Saved, now: str) -> Outcome:
    try:
        answer = invoke(stack, stack.recheck, _input(saved, now))
    except StillFails as error:
        return Outcome(saved, missing=True, text=f"pass {saved.next_pass} failed again: {error}")
    told = answer if isinstance(answer, Mapping) else {}
    text = f"pass {saved.next_pass} was run: now {told.get('state')}, passes completed: {told.get('passesDone')}"
    return Outcome(saved, missing=False, text=text)


def _input(saved: Saved, now: str) -> str:
    # A failed notification is due no longer: its pass is due now.
    about = {"version": 1, "pass": saved.next_pass, "dueAt": saved.time("nextPassDue") or now}
    return RecheckInput.read(saved.ids | about, InvalidRecheck).model_dump_json(by_alias=True)
