"""Reads and writes of CreditCardNotifyTable and CallbackErrorLogTable.

The indexes hold keys; every item is then read by its key, as it is now. Anybody can send notifications, so every read
has a limit, and what a checksum proves is read first.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import Any

from botocore.exceptions import ClientError

from callback.errors import error_id
from callback.record import FIRST_UNPROVED, SWEEP_SHARDS, Record
from callback.table import Item, deserialize, serialize
from followups.records import IDS, MOST_PASSES, Found, Notification, State, read, status
from followups.stack import Stack

RECORDS, ERRORS = "CreditCardNotifyTable", "CallbackErrorLogTable"
KEY = IDS[:2]
# Not the body: nobody here needs it.
_RECORD = [str(field.alias) for name, field in Record.model_fields.items() if name not in {"ours", "claim_id"}]
_OF_ENDS = ("failedAt", "failedShard", "resolvedAt", "resolvedReason")
_OF_PAYMENT = ("receivedAt", "status", "transactionState", "amount", "currency", "checksumForm")
ATTRIBUTES = (*_RECORD, *_OF_ENDS, *_OF_PAYMENT)
_OF_ERROR = ("errorId", "errorType", "message", "chargeId", "responseData")
ERROR_ATTRIBUTES = (*_OF_ERROR, "occurrences", "firstAt", "lastAt", "mailedAt")
# Of one order or charge, items that are read and those that are shown; of a list, items that are read.
MOST_FOUND, MOST_SHOWN, MOST_LISTED = 300, 20, 10_000
# Of an id that is looked up by its beginning: letters, and how many of each state are read.
_SHORTEST_PREFIX, _MOST_PREFIXED = 6, 1_000
# Pages of one query, and as many items as BatchGetItem takes.
_MOST_PAGES, _AT_ONCE = 100, 100
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# The sweep takes what is late again after 10 minutes at most, and a new pass 2 minutes after it was due.
_SWEPT_WITHIN = timedelta(minutes=15)
# The keys of the indexes.
_INDEXES = {"due": ("sweepShard", "sweepAt"), "failed": ("failedShard", "failedAt")}
# Whatever runs on a record, or counts an error, changes at least one of them.
_MOVING = ("state", "attempts", "leaseUntil", "occurrences")


@dataclass(frozen=True)
class Listing:
    """A state and perhaps a verdict or a cause, in [since, until), at most `limit`.

    `since` and `until` mean when it failed, latest first; for what waits, when its pass was first due, in the sweep's
    order. What is proved comes before what is not.
    """

    state: State
    since: datetime = _EVER[0]
    until: datetime = _EVER[1]
    limit: int = 1_000
    checksum: str | None = None
    cause: str | None = None

    def has(self, one: Notification, now: datetime) -> bool:
        """Whether a notification from an index is one that is asked for."""
        if (self.checksum or one.checksum) != one.checksum or (self.cause or one.cause_id) != one.cause_id:
            return False
        if self.state == "failed" or one.record is None:  # the times of a spoilt one cannot be read
            return True
        first_due = one.record.first_due or one.record.next_pass_due or now
        return self.since <= first_due < self.until and (self.state == "pending" or status(one, now).is_late)


def listed(stack: Stack, asked: Listing, now: datetime) -> Found:
    """Read what is asked for."""
    rows = list[Notification]()
    for count, one in enumerate(read_all(stack, islice(_keys_of_state(stack, asked, now), MOST_LISTED)), 1):
        rows += [one] if asked.has(one, now) else []
        if len(rows) > asked.limit or count == MOST_LISTED:
            return Found(tuple(rows[: asked.limit]), more=True)
    return Found(tuple(rows))


def _keys_of_state(stack: Stack, asked: Listing, now: datetime) -> Iterator[Item]:
    """Read the shards of an index in one order, of what failed the latest first; what is proved comes first."""
    since, until, is_failed = asked.since, asked.until, asked.state == "failed"
    if since >= until:
        return iter(())
    if not is_failed:
        # The index does not say when a pass was first due: the sweep takes it no sooner, and soon after.
        until = min(now if asked.state == "overdue" else max(until, now), _EVER[1]) + _SWEPT_WITHIN
    index = "failed" if is_failed else "due"
    at = _INDEXES[index][1]
    # BETWEEN includes both its ends, [since, until) does not.
    bounds = {"since": since, "until": until - timedelta(microseconds=1)}
    how = {"ScanIndexForward": not is_failed, "Limit": _AT_ONCE}
    shards = _of_shards(stack, index, f" AND {at} BETWEEN :since AND :until", bounds, **how)
    groups = (shards[:FIRST_UNPROVED], shards[FIRST_UNPROVED:])
    merged = (heapq.merge(*map(_items, group), key=lambda key: str(key[at]), reverse=is_failed) for group in groups)
    return chain.from_iterable(merged)


def find(stack: Stack, word: str, *, every: bool = False) -> Found:
    """Find those of an order or a charge, or an id that waits or failed; oldest first, some or `every` one."""
    of_order = _items(_pages(stack, "orderId = :word", {"word": word}, IndexName="order"))
    keys = [*_keys_of_charge(stack, word), *islice(of_order, MOST_FOUND + 1)] or _keys_of_notification(stack, word)
    return _chosen(list(islice(read_all(stack, keys), MOST_FOUND + 1)), MOST_FOUND if every else MOST_SHOWN)


def look_up(stack: Stack, word: str, now: datetime) -> Found:
    """Find what a person asks for: a whole id or, for what waits or failed, the beginning of one."""
    found = find(stack, word)
    if found.rows or len(word) < _SHORTEST_PREFIX:
        return found
    asked = (Listing("failed", limit=_MOST_PREFIXED), Listing("pending", limit=_MOST_PREFIXED))
    read = [one for listing in asked for one in listed(stack, listing, now).rows]
    return _chosen([one for one in read if any(id_.startswith(word) for id_ in one.ids.values())], MOST_SHOWN)


def _chosen(rows: list[Notification], most: int) -> Found:
    """Choose what is proved, then the latest of the others, and return them oldest first."""

    def age(one: Notification) -> str:
        return str(one.item.get("receivedAt", ""))

    chosen = sorted(rows, key=lambda one: (one.checksum == "valid", age(one)))[-most:]
    return Found(tuple(sorted(chosen, key=age)), len(rows) > most)


def _keys_of_charge(stack: Stack, charge_id: str) -> list[Item]:
    pages = partial(_pages, stack, "chargeId = :word", ProjectionExpression="chargeId, notificationId")
    keys = list(islice(_items(pages({"word": charge_id})), MOST_FOUND + 1))
    if len(keys) <= MOST_FOUND:
        return keys
    # The rest may have proved ones, too.
    proved = pages({"word": charge_id, "proved": "valid"}, FilterExpression="checksumStatus = :proved")
    first = list(islice(_items(proved), MOST_SHOWN))
    return first + [key for key in keys if key not in first]


def _keys_of_notification(stack: Stack, notification_id: str) -> list[Item]:
    values, only = {"word": notification_id}, "notificationId = :word"
    shards = (_of_shards(stack, index, "", values, FilterExpression=only) for index in _INDEXES)
    return [key for pages in chain.from_iterable(shards) for key in _items(pages)]


def get(stack: Stack, charge_id: str, notification_id: str) -> Notification | None:
    """Read one notification."""
    return next(read_all(stack, [{"chargeId": charge_id, "notificationId": notification_id}]), None)


def whole(stack: Stack, one: Notification) -> list[Item]:
    """Read all attributes of a notification, including its body; nothing if it is gone."""
    return [*get_all(stack, RECORDS, [{name: one.item[name] for name in KEY}])]


def read_all(stack: Stack, keys: Iterable[Item]) -> Iterator[Notification]:
    """Read notifications in the order of their keys; what is gone is left out."""
    left = iter(keys)
    while asked := {(key["chargeId"], key["notificationId"]): None for key in islice(left, _AT_ONCE)}:
        wanted = (dict(zip(KEY, key, strict=True)) for key in asked)
        items = get_all(stack, RECORDS, wanted, ATTRIBUTES)
        found = {(item["chargeId"], item["notificationId"]): item for item in items}
        yield from (read(found[key]) for key in asked if key in found)


def count_waiting(stack: Stack) -> int:
    """Count what is in the index `due`, without reading it."""
    return sum(page["Count"] for pages in _of_shards(stack, "due", "", {}, Select="COUNT") for page in pages)


def error_rows(
    stack: Stack, ids: Mapping[str, str], passes: int, attributes: Iterable[str] = ERROR_ATTRIBUTES
) -> dict[str, Item]:
    """Return a notification's rows of the error log, by the kind of error and the pass that it ended at."""
    kinds = {error_id(ids, kind): kind for kind in ("retried", "refused", "contradicted", "failed")}
    numbers = range(1, min(passes, MOST_PASSES) + 1)
    kinds |= {error_id(ids, "failed", number): f"failed {number}" for number in numbers}
    rows = get_all(stack, ERRORS, [{"errorId": id_} for id_ in kinds], attributes)
    return {kinds[row["errorId"]]: row for row in rows}


def _of_shards(stack: Stack, index: str, more: str, values: Item, **how: Any) -> list[Iterator[Any]]:
    """Return the pages of each shard of an index: the first ones are read at the same time, the rest when needed."""
    condition = f"{_INDEXES[index][0]} = :shard{more}"

    def begun(shard: int) -> Iterator[Any]:
        pages = _pages(stack, condition, {"shard": shard} | values, IndexName=index, **how)
        return chain(list(islice(pages, 1)), pages)

    return stack.at_once(begun, range(SWEEP_SHARDS))


def _items(pages: Iterator[Any]) -> Iterator[Item]:
    return (_item(item) for page in pages for item in page["Items"])


def _pages(stack: Stack, condition: str, values: Item, **how: Any) -> Iterator[Any]:
    """Read keys of CreditCardNotifyTable or one of its indexes, page by page as they are needed."""
    how |= {"TableName": stack.value(RECORDS), "KeyConditionExpression": condition}
    how["ExpressionAttributeValues"] = _written({f":{name}": value for name, value in values.items()})
    return islice(stack.dynamodb.get_paginator("query").paginate(**how), _MOST_PAGES)


def get_all(stack: Stack, table: str, keys: Iterable[Item], attributes: Iterable[str] = ()) -> Iterator[Item]:
    """Read items as they are now, in any order, whole or only some attributes; what is not there is left out."""
    names, left = {f"#{name}": name for name in attributes}, map(_written, keys)
    asked: Any = {"ConsistentRead": True}
    asked |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names} if names else {}
    while chunk := list(islice(left, _AT_ONCE)):
        request: Any = {stack.value(table): asked | {"Keys": chunk}}
        while request:  # an answer that would be too large leaves the rest for another call
            answer = stack.dynamodb.batch_get_item(RequestItems=request)
            yield from (_item(item) for items in answer["Responses"].values() for item in items)
            request = answer["UnprocessedKeys"]


def update(stack: Stack, table: str, seen: Item, changes: Item) -> bool:
    """Change attributes (None removes one) if nothing has run since the item was seen; return whether it was done."""
    # These parameters take names with any letters, which another hand may have written; an expression takes few.
    delete = {"Action": "DELETE"}
    updates = {name: delete if value is None else {"Value": serialize(value)} for name, value in changes.items()}
    expected = {name: {"Value": serialize(seen[name])} if name in seen else {"Exists": False} for name in _MOVING}
    key = KEY if table == RECORDS else ("errorId",)
    where: Any = {"TableName": stack.value(table), "Key": _written({name: seen[name] for name in key})}
    try:
        stack.dynamodb.update_item(**where, AttributeUpdates=updates, Expected=expected)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _item(attributes: Any) -> Item:
    return {name: deserialize(value) for name, value in attributes.items()}


def _written(item: Item) -> Item:
    return {name: serialize(value) for name, value in item.items()}
