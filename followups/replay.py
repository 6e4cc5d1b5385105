"""Replay: the missing pass of a notification, run now by Recheck."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from callback.clock import format_utc
from callback.record import Record
from callback.timer import timer_input
from followups.invocation import StillFails, invoke, printable
from followups.records import Notification, get, status
from followups.stack import Stack

Result = Literal["planned", "run", "left", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What is to be done with one notification, or what became of it; `failed` where a pass is missing still."""

    notification: Notification
    result: Result
    text: str


def planned(notification: Notification, now: datetime) -> Outcome:
    """Say what a replay would do: run the pass that is missing, or leave the notification alone, and why."""
    current, number = status(notification, now), notification.next_pass
    at = format_utc(current.at) if current.at else ""
    if current.word == "spoilt":
        text = f"the record is not what `save` writes, correct it by hand: {notification.fault}"
        return Outcome(notification, "failed", text)
    if current.word == "foreign":
        return Outcome(notification, "left", "left: a row of another function's, which has no passes")
    if current.word == "done":
        return Outcome(notification, "left", f"left: DONE, {number - 1} passes are completed")
    if current.word == "running":
        return Outcome(notification, "left", f"left: pass {number} is claimed until {at}")
    if current.word in {"waiting", "retrying"} and current.at and current.at > now:
        again = "again " if current.word == "retrying" else ""
        return Outcome(notification, "left", f"left: pass {number} is due {again}at {at}")
    return Outcome(notification, "planned", f"pass {number} is missing")


def replayed(stack: Stack, seen: Notification, now: datetime) -> Outcome:
    """Run what is missing now, whatever was missing when it was seen. Recheck itself decides by the record."""
    notification = get(stack, seen.ids["chargeId"], seen.ids["notificationId"])
    if notification is None:
        return Outcome(seen, "left", "left: it is in the table no longer")
    plan, record = planned(notification, now), notification.record
    return _run(stack, notification, record, now) if record and plan.result == "planned" else plan


def _run(stack: Stack, notification: Notification, record: Record, now: datetime) -> Outcome:
    number, asked = record.next_pass, timer_input(record)
    # A failed notification is due no longer: its pass is due now.
    asked["dueAt"] = asked["dueAt"] or format_utc(now)
    try:
        answer = invoke(stack, stack.recheck, json.dumps(asked))
    except StillFails as error:
        return Outcome(notification, "failed", f"pass {number} failed again: {error}")
    answered = answer if isinstance(answer, Mapping) else {}
    state, done = (printable(str(answered.get(name))) for name in ("state", "passesDone"))
    text = f"pass {number} was run: now {state}, passes completed: {done}"
    return Outcome(notification, "run", text)
