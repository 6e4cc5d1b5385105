"""Forget: erase a customer's data from the records of an order, and from their rows of the error log.

What is kept is named, and all else is erased: an attribute that nobody thought of cannot stay behind.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from botocore.exceptions import ClientError

from callback.clock import format_utc
from callback.table import Item
from followups.records import ATTRIBUTES, ERROR_ATTRIBUTES, Notification, error_keys, status
from followups.stack import Stack
from followups.tables import get_all, update

RECORDS, ERRORS = "CreditCardNotifyTable", "CallbackErrorLogTable"
# What accounting needs, and what finds, shows, replays and expires a record. The digest tells a repeat of the delivery.
_KEPT = {
    RECORDS: {*ATTRIBUTES, "note", "bodyDigest", "sweepShard", "failedShard", "expiresAt", "claimId", "erasedAt"}
    - {"lastError", "passes"},
    ERRORS: {*ERROR_ATTRIBUTES, "functionName", "orderId", "notificationId", "checksumStatus", "expiresAt", "erasedAt"}
    - {"message"},
}
_KEPT_OF_PASS = ("number", "at", "attempt", "durationMs")
# A run changes at least one of them.
_MOVING = ("state", "attempts", "leaseUntil")

Result = Literal["would erase", "erased", "nothing", "left"]


@dataclass(frozen=True)
class Erasure:
    """What is to be erased of a notification, or was: attributes of its record, and rows of the error log."""

    notification: Notification
    result: Result
    text: str


def planned(stack: Stack, one: Notification, now: datetime) -> Erasure:
    """Say what would be erased. What is still followed up is left: its passes run on, and would write again."""
    word = status(one, now).word
    if word == "foreign":
        return Erasure(one, "left", "left: a row of another function's")
    if one.item.get("state") not in ("DONE", "FAILED") or word == "running":
        return Erasure(one, "left", f"left: {word}, so it is still followed up; forget it once it is done or failed")
    names = sorted(name for record in _read(stack, RECORDS, [_key(one.item)]) for name in _changes(RECORDS, record))
    errors = sum(bool(_changes(ERRORS, row)) for row in _rows(stack, one))
    if not names and not errors:
        return Erasure(one, "nothing", "nothing is left to erase")
    return Erasure(
        one, "would erase", f"{', '.join(names) or 'nothing'} of the record; rows of the error log: {errors}"
    )


def erased(stack: Stack, plan: Erasure, now: datetime) -> Erasure:
    """Carry out a plan. Raises `ClientError` or `BotoCoreError`; what was erased by then stays so."""
    one, at = plan.notification, {"erasedAt": format_utc(now)}
    for row in _rows(stack, one):
        if changes := _changes(ERRORS, row):
            update(stack, ERRORS, {"errorId": row["errorId"]}, changes | at, ("attribute_exists(#errorId)", {}))
    for record in _read(stack, RECORDS, [_key(one.item)]):
        if (changes := _changes(RECORDS, record)) and not _is_updated(stack, one.item, changes | at):
            return Erasure(one, "left", "left: it moved on meanwhile; try again")
    return Erasure(one, "erased", f"erased: {plan.text}")


def _is_updated(stack: Stack, seen: Item, changes: Item) -> bool:
    """Write where nothing has run since it was seen."""
    there = [name for name in _MOVING if name in seen]
    condition = [f"#{name} = :{name}" if name in there else f"attribute_not_exists(#{name})" for name in _MOVING]
    try:
        where = (" AND ".join(condition), {name: seen[name] for name in there})
        update(stack, RECORDS, _key(seen), changes, where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _changes(table: str, item: Item) -> Item:
    """Return what to write, by attribute: None for what goes."""
    kept = _KEPT[table]
    changes: Item = {
        name: None for name, value in item.items() if name not in kept or not isinstance(value, str | Decimal | bool)
    }
    if isinstance(item.get("passes"), list) and table == RECORDS:
        passes = [_without_outcome(done) for done in item["passes"]]
        changes = {name: value for name, value in changes.items() if name != "passes"}
        changes |= {"passes": passes} if passes != item["passes"] else {}
    return changes


def _without_outcome(done: object) -> object:
    values = done if isinstance(done, dict) else {}
    return {name: values[name] for name in _KEPT_OF_PASS if isinstance(values.get(name), str | Decimal)}


def _rows(stack: Stack, one: Notification) -> list[Item]:
    ids = error_keys(one.ids["notificationId"], max(one.next_pass, len(stack.delays) + 1))
    return _read(stack, ERRORS, [{"errorId": id_} for id_ in ids])


def _read(stack: Stack, table: str, keys: list[Item]) -> list[Item]:
    return list(get_all(stack, table, keys))


def _key(item: Item) -> Item:
    return {name: item[name] for name in ("chargeId", "notificationId")}
