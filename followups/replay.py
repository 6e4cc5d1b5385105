"""`followups replay`: Recheck runs the missing pass of a notification now."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import format_utc
from callback.timer import timer_input
from followups.listing import StateChoice, chosen, period
from followups.manual import READ, manual
from followups.operator import Operator, rate_option
from followups.outcome import Outcome, sheet
from followups.output import FAILED, Row, Sheet
from followups.records import Notification, status
from followups.stack import Stack
from followups.tables import find, get
from followups.text import error_line, printable


def planned(notification: Notification, now: datetime) -> Outcome:
    """Return what a replay would do: run the missing pass, or leave the notification alone, and why."""
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
    return Outcome(notification, "planned", f"would be run: pass {number} is missing")


def replayed(stack: Stack, seen: Notification, now: datetime) -> Outcome:
    """Run what is missing now, whatever was missing when it was seen. Recheck itself decides by the record."""
    one = get(stack, seen.ids["chargeId"], seen.ids["notificationId"])
    if one is None:
        return Outcome(seen, "left", "left: it is in the table no longer")
    plan, record = planned(one, now), one.record
    if record is None or plan.result != "planned":
        return plan
    # A failed notification is due no longer: its pass is due now.
    asked = timer_input(record)
    asked["dueAt"] = asked["dueAt"] or format_utc(now)
    result, text = _invoke_recheck(stack, json.dumps(asked))
    return Outcome(one, result, f"pass {record.next_pass} {text}")


def _invoke_recheck(stack: Stack, payload: str) -> tuple[str, str]:
    """Return the result, and what to print."""
    try:
        answer = stack.functions.invoke(FunctionName=stack.output("RecheckFunctionArn"), Payload=payload)
        body = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        return "failed", printable(f"failed again: {type(error).__name__}: {error}")
    try:
        result = json.loads(body)
    except ValueError:
        result = None
    if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
        return "failed", f"failed again: {error_line(result)}"
    about = result if isinstance(result, Mapping) else {}
    state, done = (printable(str(about.get(name))) for name in ("state", "passesDone"))
    return "run", f"was run: now {state}, passes completed: {done}"


@manual(
    "replay",
    (*READ, "lambda:InvokeFunction the function Recheck"),
    "followups replay ORDER-1001",
    "followups replay --state failed --since 2h --yes --rate 2",
)
@click.argument("orders", nargs=-1, metavar="[ORDER]...")
@click.option(
    "--state", "states", type=StateChoice("failed", "overdue"), multiple=True, help="what failed, or is overdue"
)
@period
@click.option("--dry-run", is_flag=True, help="only print what would be run")
@click.option("--yes", is_flag=True, help="run the passes of more than one notification")
@rate_option
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
    """Run the missing pass of each notification now, by Recheck, one after the other.

    Name orders, or choose by --state. What is DONE, claimed, or due (again) later is left alone: Recheck decides by the
    record, so a replay may be run twice, or stopped at any time. A notification that is FAILED continues from where it
    was. With more than one to run, it prints a plan and the command that runs it, and runs nothing without --yes.
    """
    states = asked.pop("states")
    if bool(orders) == bool(states):
        raise click.UsageError("name orders, or choose by --state failed or --state overdue")
    if orders and any(asked.values()):
        raise click.UsageError("--since, --until, --checksum, --cause and --limit go with --state")
    # The command that is printed is to mean the same ones, whenever it is run.
    asked["until"] = asked["until"] or operator.clock()
    of_orders = {order_id: find(operator.stack, order_id, every=True) for order_id in dict.fromkeys(orders)}
    parts = [*of_orders.values(), chosen(operator, states, asked)]
    plans = [planned(one, operator.clock()) for part in parts for one in part.rows]
    if any(part.more for part in parts):
        operator.output.warn("There are more than one run reads: run replay again.")
    if states and not plans:
        operator.output.note("Nothing is in that state, or was in that time: nothing to replay.")
    unknown = [order_id for order_id, found in of_orders.items() if not found.rows]
    rows = sheet(operator)
    _print_unknown(operator, rows, unknown)
    many = sum(plan.result == "planned" for plan in plans) > 1
    if dry_run or (many and not yes):
        words = [] if orders else [f"--state={state}" for state in states] + _words(asked)
        missing = _print_plans(operator, rows, plans, operator.stack.command("replay", "--yes", *words, ids=orders))
        return 1 if unknown or (missing and not dry_run) else 0
    return 1 if _run(operator, rows, plans, rate) or unknown else 0


def _words(asked: Mapping[str, Any]) -> list[str]:
    texts = {name: format_utc(value) if isinstance(value, datetime) else value for name, value in asked.items()}
    return [f"--{name}={texts[name]}" for name in ("since", "until", "checksum", "cause", "limit") if texts[name]]


def _print_unknown(operator: Operator, rows: Sheet, orders: list[str]) -> None:
    for order_id in orders:
        text = f"no notification was saved in stack {operator.stack.name}."
        advice = f"Try: {operator.stack.command('dead-letters', 'list')}"
        record = {"orderId": order_id, "result": "unknown", "text": text}
        cells = (FAILED, order_id, "", f"{text} {advice}")
        rows.add(Row(cells, (f"orderId={order_id}", text, advice), record))


def _print_plans(operator: Operator, rows: Sheet, plans: list[Outcome], command: str) -> int:
    if plans:
        rows.add(*(plan.row() for plan in plans))
    missing = sum(plan.result == "planned" for plan in plans)
    operator.output.note(f"Notifications: {len(plans)}, passes to run: {missing}. Nothing was run.")
    if missing:
        operator.output.note(f"To run them:  {command}")
    return missing


def _run(operator: Operator, rows: Sheet, plans: list[Outcome], rate: float) -> int:
    operator.when_stopped = "Stopped. What is not listed as run is unchanged; the same command continues."
    results: Counter[str] = Counter()
    with operator.output.progress("replaying", len(plans)) as advance:
        for plan in operator.paced(plans, rate, lambda plan: plan.result == "planned"):
            is_work = plan.result == "planned"
            outcome = replayed(operator.stack, plan.notification, operator.clock()) if is_work else plan
            rows.add(outcome.row())
            results[outcome.result] += 1
            advance()
    if len(plans) > 1:
        counts = f"run: {results['run']}, left alone: {results['left']}, failed again: {results['failed']}"
        advice = "Remove the cause that the lines above name, then replay again." if results["failed"] else ""
        operator.output.note(f"Notifications: {len(plans)}, {counts}.", advice)
    return results["failed"]
