"""The commands that change notifications: replay, resolve and forget."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import click

from callback.table import AWS_ERRORS, Item, format_utc
from callback.timer import timer_input
from followups import tables
from followups.change import CHANGING, Change, Result
from followups.cli import READ, Operator, manual
from followups.listing import CHOOSING, choice, chosen
from followups.output import Row, error_line, printable
from followups.records import IDS, Found, Notification, State, status
from followups.stack import Stack
from followups.tables import ERRORS, KEY, RECORDS

Step = Callable[[Operator, Notification], Result]

# What `forget` keeps, so that an unforeseen attribute goes: what accounting needs, and what finds, shows, replays and
# expires a record. The digest recognizes a repeated delivery.
_KEPT = {
    RECORDS: {*tables.ATTRIBUTES, "note", "bodyDigest", "sweepShard", "failedShard", "expiresAt", "claimId", "erasedAt"}
    - {"lastError", "passes", "resolvedReason"},
    ERRORS: {*tables.ERROR_ATTRIBUTES, "functionName", *IDS, "checksumStatus", "expiresAt", "erasedAt"}
    - {"message", "responseData"},
}
_KEPT_OF_PASS = ("number", "at", "attempt", "durationMs")
_EXAMPLES = ("followups replay ORDER-1001", "followups replay --state failed --since 2h")
_SPOILT = "; correct the record first"


def _change(operator: Operator, name: str, plan: Step, do: Step, found: Collection[Found], **options: Any) -> int:
    """Plan a command's changes to notifications, ask, and make them. Return the exit code."""

    def plan_if_saved(one: Notification) -> Result:
        if "chargeId" not in one.item:
            todo = "what is done is found by its whole order or charge id"
            return Result("unknown", f"nothing was found under it in stack {operator.stack.name}; {todo}")
        if status(one, operator.clock()).word == "foreign":
            return Result("left", "left: a row of another function's, which has no passes")
        return plan(operator, one)

    more = any(part.more for part in found)
    change = Change(operator, name, _about, plan_if_saved, partial(do, operator), more=more, **options)
    return change.run([one for part in found for one in part.rows])


def _find(operator: Operator, ids: Iterable[str]) -> list[Found]:
    """Find the notifications of some orders, charges or ids; if none was saved, return one with only this id."""
    found = {id_: tables.find(operator.stack, id_, every=True) for id_ in ids}
    return [those if those.rows else Found((Notification({"orderId": id_}),)) for id_, those in found.items()]


def _about(one: Notification) -> Row:
    ids = {name: value for name, value in one.ids.items() if value}
    names = "\n".join(ids[name] for name in KEY if name in ids)
    return Row((one.order_id, names), ids | {"checksumStatus": one.checksum, "pass": one.next_pass})


def _plan_replay(operator: Operator, one: Notification) -> Result:
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
    """Run what is missing now, whatever was missing when it was read. Recheck itself decides by the record."""
    one = tables.get(operator.stack, seen.ids["chargeId"], seen.ids["notificationId"])
    if one is None:
        return Result("left", "left: it is in the table no longer")
    plan, record = _plan_replay(operator, one), one.record
    if record is None or plan.word != "planned":
        return plan
    asked = timer_input(record)
    asked["dueAt"] = asked["dueAt"] or format_utc(operator.clock())  # what failed is no longer due: it is made due now
    return _invoke_recheck(operator.stack, asked)


def _invoke_recheck(stack: Stack, asked: Mapping[str, object]) -> Result:
    number = asked["pass"]
    try:
        answer = stack.functions.invoke(FunctionName=stack.value("RecheckFunctionArn"), Payload=json.dumps(asked))
        result = json.loads(answer["Payload"].read())
    except (*AWS_ERRORS, ValueError) as error:
        return Result("failed", printable(f"pass {number} failed again: {type(error).__name__}: {error}"))
    if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
        return Result("failed", f"pass {number} failed again: {error_line(result)}")
    about = result if isinstance(result, Mapping) else {}
    state, done = (printable(str(about.get(name))) for name in ("state", "passesDone"))
    return Result("run", f"pass {number} was run: now {state}, passes completed: {done}")


@manual("replay", (*READ, "lambda:InvokeFunction"), *_EXAMPLES, options=[*CHOOSING.values(), *CHANGING])
@click.argument("ids", nargs=-1, metavar="[ORDER|CHARGE|NOTIFICATION]...")
@click.option("--state", "states", type=click.Choice(["failed", "overdue"]), multiple=True, help="all of these")
def replay_command(operator: Operator, ids: tuple[str, ...], states: tuple[State, ...]) -> int:
    """Run the missing pass of each notification now, by Recheck, one after the other.

    Name them, or choose by --state. What is DONE, claimed, or due (again) later is left alone, so a replay may be run
    twice, or stopped at any time. Several are run only with --yes, or when you confirm the plan.
    """
    if bool(ids) == bool(states):
        raise click.UsageError("name orders, or choose by --state failed or --state overdue")
    if ids and CHOOSING.keys() & operator.given.keys():
        raise click.UsageError("--since, --until, --checksum, --cause and --limit go with --state")
    words, found = ["replay", "--yes"], _find(operator, ids)
    if states:
        operator.given.setdefault("until", operator.clock())  # so that the printed command chooses the same later
        words += [*(f"--state={state}" for state in states), *choice(operator.given)]
        found = [*chosen(operator, states).values()]
    return _change(operator, "replay", _plan_replay, _run, found, words=words, ids=ids, harmless=True)


def _plan_resolve(operator: Operator, one: Notification) -> Result:
    current = status(one, operator.clock())
    if current.word in {"done", "resolved"}:
        return Result("unchanged", f"{current.word} already")
    is_failed = one.item.get("state") == "FAILED" and current.word != "running"
    if is_failed or (current.word in {"overdue", "retrying"} and current.is_late):
        return Result("planned", "would be resolved")
    why = _SPOILT if current.word == "spoilt" else ", so it goes on by itself"
    return Result("left", f"left: {current.word}{why}")


def _close(operator: Operator, one: Notification, reason: str) -> Result:
    at = format_utc(operator.clock())
    changes = {"state": "FAILED", "resolvedAt": at, "resolvedReason": reason, "failedAt": one.item.get("failedAt", at)}
    changes |= dict.fromkeys(("failedShard", "sweepShard", "sweepAt", "nextPassDue", "leaseUntil", "claimId"))
    if not tables.update(operator.stack, RECORDS, one.item, changes):
        return Result("left", "left: it moved on meanwhile; try again")
    return Result("resolved", f"resolved: {reason}")


@manual("resolve", (*READ, "dynamodb:UpdateItem"), 'followups resolve ORDER-1001 --reason "refunded, ticket 4711"')
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@click.option("--reason", required=True, metavar="TEXT", help="what was done, for later readers")
def resolve_command(operator: Operator, word: str, reason: str) -> int:
    """Close the failed notifications of an order that was settled by hand, with the reason.

    The record keeps reason and time: `show` prints both, and the notification leaves every list and count of what
    failed. Only what is FAILED, or is late and not claimed, can be resolved: nothing runs its passes after that.
    """
    if not (reason := printable(reason)):
        raise click.UsageError("--reason needs a text")
    close, operator.given["yes"] = partial(_close, reason=reason), True
    return _change(operator, "resolve", _plan_resolve, close, _find(operator, [word]))


def _plan_forget(operator: Operator, one: Notification) -> Result:
    word = status(one, operator.clock()).word
    # The passes of a notification that is still followed up would write the data again.
    if one.item.get("state") not in ("DONE", "FAILED") or word == "running":
        why = ", so it is still followed up; forget it once it is done or failed"
        return Result("left", f"left: {word}{_SPOILT if word == 'spoilt' else why}")
    writes = _writes(operator.stack, one)
    return Result("planned", f"would be erased: {_names(writes)}") if writes else Result("unchanged", "nothing is left")


def _erase(operator: Operator, one: Notification) -> Result:
    writes, at = _writes(operator.stack, one), {"erasedAt": format_utc(operator.clock())}
    for table, item, changes in writes:
        if not tables.update(operator.stack, table, item, changes | at) and table == RECORDS:
            return Result("left", "left: it moved on meanwhile; try again")
    return Result("erased", f"erased: {_names(writes)}")


def _writes(stack: Stack, one: Notification) -> list[tuple[str, Item, Item]]:
    """Return what is to be written: the table, the item as it was seen, and its changes."""
    rows = tables.error_rows(stack, one.ids, max(one.next_pass, stack.passes), attributes=()).values()
    writes = [(ERRORS, row, _changes(ERRORS, row)) for row in rows]
    writes += [(RECORDS, one.item, _changes(RECORDS, record)) for record in tables.whole(stack, one)]
    return [write for write in writes if write[2]]


def _names(writes: list[tuple[str, Item, Item]]) -> str:
    return ", ".join(sorted({name for *_, changes in writes for name in changes}))


def _changes(table: str, item: Item) -> Item:
    """Return what to write, by attribute: None for what is removed."""
    changes = dict.fromkeys(item.keys() - _kept(item, _KEPT[table]).keys())
    if table == RECORDS and isinstance(passes := item.get("passes"), list):
        changes["passes"] = [_kept(one, _KEPT_OF_PASS) if isinstance(one, dict) else {} for one in passes]
    return {name: value for name, value in changes.items() if value != item[name]}


def _kept(item: Item, names: Collection[str]) -> Item:
    return {name: item[name] for name in names if isinstance(item.get(name), str | Decimal | bool)}


@manual("forget", (*READ, "dynamodb:UpdateItem"), "followups forget ORDER-1001 --yes", options=CHANGING)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
def forget_command(operator: Operator, word: str) -> int:
    """Erase a customer's data from notifications that are done or failed, and from their rows of the error log.

    It erases the body, what ProcessPaidOrder answered, and every free text; it keeps ids, money, verdict, state, passes
    and times. It prints a plan and asks; without a terminal only --yes erases. docs/data.md says what it cannot reach.
    """
    found, words = _find(operator, [word]), ("forget", "--yes")
    return _change(operator, "forget", _plan_forget, _erase, found, words=words, ids=(word,))
