"""The saved notifications, as CreditCardNotifyTable has them: found by an id, or listed by what became of them.

Lists are read from the indexes and hold what those hold (`due`: what waits, `ended`: what is DONE or FAILED); no query
here reads more than it returns, and none scans the table.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, get_args

from boto3.dynamodb.types import TypeDeserializer

from callback.clock import format_utc as stamp
from callback.record import SWEEP_SHARDS
from callback.record import OVERDUE_AFTER as GRACE
from callback.table import Item, Table
from followups.stack import Stack

Wanted = Literal["pending", "overdue", "failed", "done"]
WANTED: tuple[Wanted, ...] = get_args(Wanted)
_STATES = {"failed": "FAILED", "done": "DONE"}
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# Not the body: nobody here needs it, and it holds card data.
_ATTRIBUTES = (
    "#chargeId, #notificationId, #orderId, #receivedAt, #state, #passesDone, #passes, #attempts, #attemptsBefore"
    ", #nextPassDue, #leaseUntil, #endedAt, #lastError, #checksumStatus, #checksumForm, #status, #transactionState"
    ", #amount, #currency"
)
_read = TypeDeserializer().deserialize


@dataclass(frozen=True)
class Saved:
    """One notification as it was read: all of it when it was found, what the index holds when it was listed."""

    item: Item

    @property
    def charge_id(self) -> str:
        """The bank's charge."""
        return str(self.item["chargeId"])

    @property
    def notification_id(self) -> str:
        """The bank's delivery."""
        return str(self.item["notificationId"])

    @property
    def order_id(self) -> str:
        """The shop's order."""
        return str(self.item.get("orderId", ""))

    @property
    def ids(self) -> dict[str, str]:
        """What names it in a printed line."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def state(self) -> str:
        """PENDING, DONE or FAILED; "" where another function wrote the row into a table that it shares with us."""
        return str(self.item.get("state", ""))

    @property
    def passes_done(self) -> int:
        """How many passes are completed."""
        return int(self.item["passesDone"]) if self.state else 0

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one."""
        return self.passes_done + 1

    @property
    def attempts_made(self) -> int:
        """How often the next pass was tried."""
        return int(self.item["attempts"]) - int(self.item.get("attemptsBefore", 0))

    @property
    def passes(self) -> list[Item]:
        """The completed passes: number, at, outcome, durationMs, attempt. Only where it was found."""
        return list(self.item.get("passes", []))

    def time(self, attribute: str) -> str:
        """Return a time (receivedAt, nextPassDue, leaseUntil, endedAt) as a UTC text that sorts; "" where unset."""
        return str(self.item.get(attribute, ""))

    def is_overdue(self, now: datetime) -> bool:
        """Whether it waits for longer than its timer may be late."""
        return self.state == "PENDING" and self.time("nextPassDue") < stamp(now - GRACE)


def found(stack: Stack, word: str) -> list[Saved]:
    """Return the notifications of an order, a charge or a delivery, oldest first; each is read as it is now."""
    keys = [*_pages(stack, "order", "orderId", word), *_pages(stack, None, "chargeId", word)]
    keys += _pages(stack, "notification", "notificationId", word)
    distinct = {(key["chargeId"], key["notificationId"]) for key in keys}
    read = (one(stack, *key) for key in distinct)
    return sorted((saved for saved in read if saved), key=lambda saved: saved.time("receivedAt"))


def of_order(stack: Stack, order_id: str) -> list[Saved]:
    """Return what was saved for an order, oldest first; the index may be a moment behind, what it finds is not."""
    read = (one(stack, k["chargeId"], k["notificationId"]) for k in _pages(stack, "order", "orderId", order_id))
    return sorted((saved for saved in read if saved), key=lambda saved: saved.time("receivedAt"))


def one(stack: Stack, charge_id: str, notification_id: str) -> Saved | None:
    """Read one notification as it is now."""
    table = Table(stack.dynamodb, stack.output("CreditCardNotifyTable"))
    item = table.get({"chargeId": charge_id, "notificationId": notification_id}, _ATTRIBUTES)
    return Saved(item) if item else None


@dataclass(frozen=True)
class Listing:
    """What is asked for: what is pending, overdue, failed or done, in [since, until), no more than `limit`.

    What waits is listed, and bounded, by when its pass is due, soonest first; what ended by when it ended, latest
    first.
    """

    wanted: Wanted
    since: datetime = _EVER[0]
    until: datetime = _EVER[1]
    limit: int | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it asks for what waits no longer."""
        return self.wanted in _STATES

    @property
    def time(self) -> str:
        """The attribute that it goes by."""
        return "endedAt" if self.is_ended else "nextPassDue"


def listed(stack: Stack, asked: Listing, now: datetime) -> Iterator[Saved]:
    """Stream what is asked for, as its index has it."""
    until = min(asked.until, now - GRACE) if asked.wanted == "overdue" else asked.until
    if asked.since >= until:
        return iter(())
    shards = [_shard(stack, replace(asked, until=until), shard) for shard in range(SWEEP_SHARDS)]
    merged = heapq.merge(*shards, key=lambda item: str(item[asked.time]), reverse=asked.is_ended)
    return (Saved(item) for item in islice(merged, asked.limit))


def _shard(stack: Stack, asked: Listing, shard: int) -> Iterator[Item]:
    hash_key = "endedShard" if asked.is_ended else "sweepShard"
    partition = {"S": f"{_STATES[asked.wanted]}#{shard}"} if asked.is_ended else {"N": str(shard)}
    # BETWEEN has both its ends, the bounds have not the last.
    bounds = {":since": {"S": stamp(asked.since)}, ":until": {"S": stamp(asked.until - timedelta(microseconds=1))}}
    return _query(
        stack,
        IndexName="ended" if asked.is_ended else "due",
        KeyConditionExpression=f"{hash_key} = :shard AND {asked.time} BETWEEN :since AND :until",
        ExpressionAttributeValues={":shard": partition, **bounds},
        ScanIndexForward=not asked.is_ended,
        # A page of each shard is read ahead: where there is a limit, no more than the shard's part in it.
        **({"Limit": -(-asked.limit // SWEEP_SHARDS)} if asked.limit else {}),
    )


def _pages(stack: Stack, index: str | None, attribute: str, value: str) -> Iterator[Item]:
    return _query(
        stack,
        KeyConditionExpression=f"{attribute} = :value",
        ExpressionAttributeValues={":value": {"S": value}},
        ProjectionExpression="chargeId, notificationId",
        **({"IndexName": index} if index else {}),
    )


def _query(stack: Stack, **request: Any) -> Iterator[Item]:  # noqa: ANN401 - a typed call's keywords
    pages = stack.dynamodb.get_paginator("query").paginate(TableName=stack.output("CreditCardNotifyTable"), **request)
    for page in pages:
        for item in page["Items"]:
            yield {name: _read(value) for name, value in item.items()}
