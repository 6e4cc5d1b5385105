"""Replay: the missing pass of a notification, run now by Recheck."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from callback.clock import format_utc
from callback.record import Record
from callback.timer import timer_input
from followups.listing import StateChoice, chosen, period
from followups.manual import READ, ManualCommand
from followups.operator import Operator, rate_option
from followups.output import Column, Sheet
from followups.records import MOST_FOUND, Notification, Outcome, find, get, status
from followups.stack import Stack, StillFails, invoke
from followups.text import printable, visible


def planned(notification: Notification, now: datetime) -> Outcome:
    """Say what a replay would do: run the pass that is missing, or leave the notification alone, and why."""
    current, number = status(notification, now), notification.next_pass
    at = format_utc(current.at) if current.at else ""
    if current.word == "spoilt":
        text = f"the record is not what `save` writes, correct it by hand: {notification.fault}"
        return Outcome(notification, "failed", text)
    left = {
        "foreign": "a row of another function's, which has no passes",
        "done": f"DONE, {number - 1} passes are completed",
        "resolved": f"settled by hand at {at}",
        "running": f"pass {number} is claimed until {at}",
    }
    if current.at and current.at > now:
        left |= {"waiting": f"pass {number} is due at {at}", "retrying": f"pass {number} is due again at {at}"}
    if current.word in left:
        return Outcome(notification, "left", f"left: {left[current.word]}")
    return Outcome(notification, "planned", f"pass {number} is missing")


def replayed(stack: Stack, seen: Notification, now: datetime) -> Outcome:
    """Run what is missing now, whatever was missing when it was seen. Recheck itself decides by the record."""
    notification = get(stack, seen.ids["chargeId"], seen.ids["notificationId"])
    if notification is None:
        return Outcome(seen, "left", "left: it is in the table no longer")
    plan, record = planned(notification, now), notification.record
    return _run_pass(stack, notification, record, now) if record and plan.result == "planned" else plan


def _run_pass(stack: Stack, notification: Notification, record: Record, now: datetime) -> Outcome:
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


_HELP = """Run the missing pass of each notification now, by Recheck, one after the other.

Name orders, or let --state choose. What is DONE, claimed by somebody, or due (again) later is left alone: Recheck
decides by the record, so that a replay may be run twice, or stopped at any time, and loses nothing. A notification that
is FAILED goes on from where it was: if its plan has more passes, their timers are created.

Where the passes of more than one notification would be run, nothing is, without --yes: what would be done is printed,
and the command that does it."""
_COLUMNS = (Column("", 1), Column("order", ratio=2), Column("charge, notification", ratio=3), Column("what", ratio=3))
_MARKS = {"run": ("✓", "green"), "left": ("·", "dim"), "failed": ("✗", "bold red"), "planned": ("→", "yellow")}
_OF = ("chargeId", "notificationId")
_STOPPED = "Stopped. What is not said to have been run is as it was; the same command goes on."


@click.command(
    "replay",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups replay ORDER-1001": "one order",
        "followups replay --state failed --since 2h": "say what would be run of what failed since",
        "followups replay --state failed --since 2h --yes --rate 2": "and run it, two a second at most",
    },
    exits={
        0: "every pass that was missing has been run, or none was; --dry-run: said",
        1: "a pass is missing still (it failed again, or --yes was not given), or an order has no notification",
    },
    permissions=[*READ, "lambda:InvokeFunction the function Recheck"],
)
@click.argument("orders", nargs=-1, metavar="[ORDER]...")
@click.option(
    "--state", "states", type=StateChoice("failed", "overdue"), multiple=True, help="what failed, or is overdue"
)
@period
@click.option("--dry-run", is_flag=True, help="only say what would be run")
@click.option("--yes", is_flag=True, help="run the passes of more than one notification")
@rate_option
@click.pass_obj
def command(
    operator: Operator,
    /,
    orders: tuple[str, ...],
    *,
    dry_run: bool,
    yes: bool,
    rate: float,
    **asked: Any,  # noqa: ANN401 - --state, and what `period` adds
) -> int:
    """Run what is missing, or say what would be run."""
    if bool(orders) == bool(asked["states"]):
        raise click.UsageError("name orders, or choose by --state failed or --state overdue")
    if orders and any(asked.values()):
        raise click.UsageError("--since, --until, --checksum, --cause and --limit go with --state")
    # The command that is printed is to mean the same ones, whenever it is run.
    asked["until"] = asked["until"] or operator.clock()
    of_orders = {order_id: find(operator.stack, order_id, MOST_FOUND) for order_id in dict.fromkeys(orders)}
    parts = [*of_orders.values(), chosen(operator, asked["states"], asked)]
    seen = [one for part in parts for one in part]
    unknown = [order_id for order_id, found in of_orders.items() if not found.rows]
    if any(part.more for part in parts):
        operator.output.warn("There are more than one run reads: run replay again.")
    plans = [planned(one, operator.clock()) for one in seen]
    if asked["states"] and not plans:
        operator.output.note("Nothing is in that state, or was in that time: nothing to replay.")
    many = sum(plan.result == "planned" for plan in plans) > 1
    with Sheet(operator.output, *_COLUMNS) as sheet:
        _tell_unknown(operator, sheet, unknown)
        if dry_run or (many and not yes):
            missing = _foretold(operator, sheet, plans, _again(operator, orders, asked))
            return 1 if unknown or (missing and not dry_run) else 0
        missing = _run(operator, sheet, plans, rate)
    return 1 if unknown or missing else 0


def _foretold(operator: Operator, sheet: Sheet, plans: list[Outcome], command: str) -> int:
    for plan in plans:
        _tell(sheet, plan)
    missing = sum(plan.result == "planned" for plan in plans)
    operator.output.note(f"Notifications: {len(plans)}, passes to run: {missing}. Nothing was run.")
    if missing:
        operator.output.note(f"To run them:  {command}")
    return missing


def _run(operator: Operator, sheet: Sheet, plans: list[Outcome], rate: float) -> int:
    operator.when_stopped = _STOPPED
    results: Counter[str] = Counter()
    with operator.output.progress("replaying", len(plans)) as advance:
        for plan in operator.paced(plans, rate, lambda plan: plan.result == "planned"):
            now = operator.clock()
            outcome = replayed(operator.stack, plan.notification, now) if plan.result == "planned" else plan
            _tell(sheet, outcome)
            results[outcome.result] += 1
            advance()
    if len(plans) > 1:
        counted = f"run: {results['run']}, left alone: {results['left']}, failed again: {results['failed']}"
        advice = "Remove the cause that the lines above name, then replay again." if results["failed"] else ""
        operator.output.note(f"Notifications: {len(plans)}, {counted}.", advice)
    return results["failed"]


def _again(operator: Operator, orders: tuple[str, ...], asked: Mapping[str, Any]) -> str:
    if orders:
        return operator.stack.command("replay", "--yes", ids=orders)
    words = [f"--state={state}" for state in asked["states"]]
    words += [f"--{name}={format_utc(asked[name])}" for name in ("since", "until") if asked[name]]
    words += [f"--{name}={asked[name]}" for name in ("checksum", "cause", "limit") if asked[name]]
    return operator.stack.command("replay", "--yes", *words)


def _tell(sheet: Sheet, outcome: Outcome) -> None:
    one, text = outcome.notification, outcome.text
    text = f"would be run: {text}" if outcome.result == "planned" else text
    ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
    cells = (_MARKS[outcome.result], one.order_id, "\n".join(visible(one.ids[name]) for name in _OF), text)
    sheet.add(
        cells,
        (ids, text),
        one.ids | {"checksumStatus": one.checksum, "pass": one.next_pass, "result": outcome.result, "text": text},
    )


def _tell_unknown(operator: Operator, sheet: Sheet, unknown: list[str]) -> None:
    for order_id in unknown:
        text = f"no notification was saved in stack {operator.stack.name}."
        advice = f"Try: {operator.stack.command('dead-letters', 'list')}"
        record = {"orderId": order_id, "result": "unknown", "text": text}
        sheet.add((_MARKS["failed"], order_id, "", f"{text} {advice}"), (f"orderId={order_id}", text, advice), record)
