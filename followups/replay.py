"""`followups replay`: Recheck runs the missing pass of a notification now."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from callback.table import AWS_ERRORS, format_utc
from callback.timer import timer_input
from followups.command import READ, Operator, manual
from followups.listing import chosen, period
from followups.outcome import Result, change_options, found_by_ids, of_notifications
from followups.output import error_line, printable
from followups.records import Notification, State, status
from followups.stack import Stack
from followups.tables import get


def _plan(operator: Operator, one: Notification) -> Result:
    now = operator.clock()
    current, number = status(one, now), one.next_pass
    if current.word == "spoilt":
        return Result("failed", f"the record is not what `save` writes, correct it by hand: {one.fault}")
    at = format_utc(current.at) if current.at else ""
    left = {
        "done": f"DONE, {number - 1} passes are completed",
        "resolved": f"settled by hand at {at}",
        "running": f"pass {number} is claimed until {at}",
    }
    if current.at and current.at > now:
        left |= {"waiting": f"pass {number} is due at {at}", "retrying": f"pass {number} is due again at {at}"}
    if current.word in left:
        return Result("left", f"left: {left[current.word]}")
    return Result("planned", f"would be run: pass {number} is missing")


def _run(operator: Operator, seen: Notification) -> Result:
    """Run what is missing now, whatever was missing when it was seen. Recheck itself decides by the record."""
    one = get(operator.stack, seen.ids["chargeId"], seen.ids["notificationId"])
    if one is None:
        return Result("left", "left: it is in the table no longer")
    plan, record = _plan(operator, one), one.record
    if record is None or plan.word != "planned":
        return plan
    # A failed notification is due no longer: its pass is due now.
    asked = timer_input(record)
    asked["dueAt"] = asked["dueAt"] or format_utc(operator.clock())
    return _invoke_recheck(operator.stack, asked)


def _invoke_recheck(stack: Stack, asked: Mapping[str, object]) -> Result:
    number = asked["pass"]
    try:
        answer = stack.functions.invoke(FunctionName=stack.output("RecheckFunctionArn"), Payload=json.dumps(asked))
        body = answer["Payload"].read()
    except AWS_ERRORS as error:
        return Result("failed", printable(f"pass {number} failed again: {type(error).__name__}: {error}"))
    try:
        result = json.loads(body)
    except ValueError:
        result = None
    if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
        return Result("failed", f"pass {number} failed again: {error_line(result)}")
    about = result if isinstance(result, Mapping) else {}
    state, done = (printable(str(about.get(name))) for name in ("state", "passesDone"))
    return Result("run", f"pass {number} was run: now {state}, passes completed: {done}")


@manual(
    "replay",
    (*READ, "lambda:InvokeFunction"),
    "followups replay ORDER-1001",
    "followups replay --state failed --since 2h --yes --rate 2",
)
@click.argument("ids", nargs=-1, metavar="[ORDER|CHARGE|NOTIFICATION]...")
@click.option("--state", "states", type=click.Choice(["failed", "overdue"]), multiple=True, help="all of these")
@period
@change_options
def command(operator: Operator, /, ids: tuple[str, ...], states: tuple[State, ...], **options: Any) -> int:  # noqa: ANN401
    """Run the missing pass of each notification now, by Recheck, one after the other.

    Name them, or choose by --state. What is DONE, claimed, or due (again) later is left alone, so a replay may be run
    twice, or stopped at any time. More than one are only run with --yes, or when you confirm the plan.
    """
    if bool(ids) == bool(states):
        raise click.UsageError("name orders, or choose by --state failed or --state overdue")
    asked = {name: options.pop(name) for name in ("since", "until", "checksum", "cause", "limit")}
    if ids and any(asked.values()):
        raise click.UsageError("--since, --until, --checksum, --cause and --limit go with --state")
    # The command that is printed is to mean the same ones, whenever it is run.
    asked["until"] = asked["until"] or operator.clock()
    texts = {name: format_utc(value) if isinstance(value, datetime) else value for name, value in asked.items()}
    words = ["replay", "--yes", *(f"--state={state}" for state in states)]
    words += [f"--{name}={text}" for name, text in texts.items() if text and states]
    found = found_by_ids(operator, ids) if ids else chosen(operator, states, asked)
    how = {"words": words, "ids": ids, "harmless": True, "more": found.more}
    return of_notifications(operator, "replay", _plan, _run, **how).run(found.rows, **options)
