"""`followups forget`: erase a customer's data from the records of an order and their rows of the error log.

What is kept is named and all else is erased, so that an unforeseen attribute does not remain.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import click

from callback.table import Item, format_utc
from followups import tables
from followups.command import READ, Operator, manual
from followups.outcome import Result, change_options, found_by_ids, of_notifications
from followups.records import Notification, status
from followups.stack import Stack
from followups.tables import ATTRIBUTES, ERROR_ATTRIBUTES, ERRORS, KEY, RECORDS

# What accounting needs, and what finds, shows, replays and expires a record. The digest recognizes a repeated delivery.
_KEPT = {
    RECORDS: {*ATTRIBUTES, "note", "bodyDigest", "sweepShard", "failedShard", "expiresAt", "claimId", "erasedAt"}
    - {"lastError", "passes", "resolvedReason"},
    ERRORS: {*ERROR_ATTRIBUTES, "functionName", "orderId", "notificationId", "checksumStatus", "expiresAt", "erasedAt"}
    - {"message", "responseData"},
}
_KEYS = {RECORDS: KEY, ERRORS: ("errorId",)}
_KEPT_OF_PASS = ("number", "at", "attempt", "durationMs")


def _plan(operator: Operator, one: Notification) -> Result:
    word = status(one, operator.clock()).word
    # The passes of what is still followed up would write again.
    if one.item.get("state") not in ("DONE", "FAILED") or word == "running":
        return Result("left", f"left: {word}, so it is still followed up; forget it once it is done or failed")
    writes = _writes(operator.stack, one)
    return Result("planned", f"would be erased: {_names(writes)}") if writes else Result("unchanged", "nothing is left")


def _erase(operator: Operator, one: Notification) -> Result:
    writes, at = _writes(operator.stack, one), {"erasedAt": format_utc(operator.clock())}
    for table, item, changes in writes:
        is_written = tables.update(operator.stack, table, item, _KEYS[table], changes | at)
        if table == RECORDS and not is_written:
            return Result("left", "left: it moved on meanwhile; try again")
    return Result("erased", f"erased: {_names(writes)}")


def _writes(stack: Stack, one: Notification) -> list[tuple[str, Item, Item]]:
    """Return what is to be written: the table, the item as it was seen, and its changes."""
    ids = tables.error_keys(one.ids["notificationId"], max(one.next_pass, len(stack.delays) + 1))
    rows = tables.get_all(stack, ERRORS, [{"errorId": id_} for id_ in ids])
    writes = [(ERRORS, row, _changes(ERRORS, row)) for row in rows]
    writes += [(RECORDS, one.item, _changes(RECORDS, record)) for record in tables.whole(stack, one)]
    return [write for write in writes if write[2]]


def _names(writes: list[tuple[str, Item, Item]]) -> str:
    return ", ".join(sorted({name for *_, changes in writes for name in changes}))


def _changes(table: str, item: Item) -> Item:
    """Return what to write, by attribute: None for what goes."""
    changes = dict.fromkeys(item.keys() - _kept(item, _KEPT[table]).keys())
    if table == RECORDS and isinstance(passes := item.get("passes"), list):
        changes["passes"] = [_kept(one, _KEPT_OF_PASS) if isinstance(one, dict) else {} for one in passes]
    return {name: value for name, value in changes.items() if value != item[name]}


def _kept(item: Item, names: Collection[str]) -> Item:
    return {name: item[name] for name in names if isinstance(item.get(name), str | Decimal | bool)}


@manual(
    "forget",
    (*READ, "dynamodb:UpdateItem"),
    "followups forget ORDER-1001",
    "followups forget ORDER-1001 --yes",
)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@change_options
def command(operator: Operator, word: str, **options: Any) -> int:  # noqa: ANN401
    """Erase a customer's data from notifications that are done or failed, and from their rows of the error log.

    The body, what ProcessPaidOrder answered, and every free text go; ids, money, verdict, state, passes and times stay.
    It prints a plan and asks; without a terminal only --yes erases. docs/data.md says what it does not reach.
    """
    found = found_by_ids(operator, [word])
    how = {"words": ("forget", "--yes"), "ids": (word,), "more": found.more}
    return of_notifications(operator, "forget", _plan, _erase, **how).run(found.rows, **options)
