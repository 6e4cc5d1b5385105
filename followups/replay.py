"""Replay: the missing pass of a notification, run now by Recheck."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from callback.clock import format_utc as stamp
from callback.errors import InvalidTimer as InvalidRecheck
from callback.timer import TimerInput as RecheckInput
from followups.invocation import StillFails, invoke
from followups.notifications import Saved, one
from followups.stack import Stack

_SPOILT = "the record is not what `save` writes, mend it by hand"
Result = Literal["planned", "run", "left", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What is to be done with one notification, or what became of it; `failed` where a pass is missing still."""

    saved: Saved
    result: Result
    text: str


def planned(saved: Saved, now: datetime) -> Outcome:
    """Say what a replay would do: run the pass that is missing, or leave the notification alone, and why."""
    try:
        return _planned(saved, now)
    except (KeyError, TypeError, ValueError):
        return Outcome(replace(saved, item=saved.item | {"passesDone": 0}), "failed", _SPOILT)


def _planned(saved: Saved, now: datetime) -> Outcome:
    if not saved.state:
        return Outcome(saved, "left", "left: a row of another function's, which has no passes")
    if saved.state == "DONE":
        return Outcome(saved, "left", f"left: DONE, {saved.passes_done} passes are completed")
    if (lease := saved.time("leaseUntil")) > stamp(now):
        return Outcome(saved, "left", f"left: pass {saved.next_pass} is claimed until {lease}")
    if (due := saved.time("nextPassDue")) > stamp(now):
        return Outcome(saved, "left", f"left: pass {saved.next_pass} is due at {due}")
    return Outcome(saved, "planned", f"pass {saved.next_pass} is missing")


def replayed(stack: Stack, seen: Saved, now: datetime) -> Outcome:
    """Run what is missing now, whatever was missing when it was seen. Recheck itself decides by the record."""
    saved = one(stack, seen.charge_id, seen.notification_id)
    if saved is None:
        return Outcome(seen, "left", "left: it is in the table no longer")
    plan = planned(saved, now)
    return _run(stack, saved, stamp(now)) if plan.result == "planned" else plan


def _run(stack: Stack, saved: Saved, now: str) -> Outcome:
    try:
        answer = invoke(stack, stack.recheck, _input(saved, now))
    except (StillFails, InvalidRecheck) as error:
        return Outcome(saved, "failed", f"pass {saved.next_pass} failed again: {error}")
    told = answer if isinstance(answer, Mapping) else {}
    text = f"pass {saved.next_pass} was run: now {told.get('state')}, passes completed: {told.get('passesDone')}"
    return Outcome(saved, "run", text)


def _input(saved: Saved, now: str) -> str:
    # A failed notification is due no longer: its pass is due now.
    about = {"version": 1, "pass": saved.next_pass, "dueAt": saved.time("nextPassDue") or now}
    return RecheckInput.read(saved.ids | about, InvalidRecheck).model_dump_json(by_alias=True)
