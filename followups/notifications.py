"""The saved notifications of an order, as CreditCardNotifyTable has them now."""

from collections.abc import Iterator
from dataclasses import dataclass

from callback.table import Item, Table
from followups.stack import Stack

# Not the body: nobody here needs it, and it holds card data.
_ATTRIBUTES = "#chargeId, #notificationId, #orderId, #receivedAt, #state, #passesDone, #nextPassDue, #leaseUntil"


@dataclass(frozen=True)
class Saved:
    """One notification; times are UTC texts that sort, empty where the record has none."""

    charge_id: str
    notification_id: str
    order_id: str
    received_at: str
    state: str
    passes_done: int
    next_pass_due: str
    lease_until: str

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one."""
        return self.passes_done + 1

    @property
    def ids(self) -> dict[str, str]:
        """What names it in a printed line."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}


def of_order(stack: Stack, order_id: str) -> list[Saved]:
    """Return what was saved for an order, oldest first; the index may be a moment behind, what it finds is not."""
    table = Table(stack.dynamodb, stack.output("CreditCardNotifyTable"))
    found = (table.get(key, _ATTRIBUTES) for key in _keys(stack, order_id))
    return sorted((_saved(item) for item in found if item), key=lambda saved: saved.received_at)


def _keys(stack: Stack, order_id: str) -> Iterator[Item]:
    pages = stack.dynamodb.get_paginator("query").paginate(
        TableName=stack.output("CreditCardNotifyTable"),
        IndexName="order",
        KeyConditionExpression="orderId = :order",
        ExpressionAttributeValues={":order": {"S": order_id}},
    )
    for page in pages:
        for item in page["Items"]:
            yield {name: item[name]["S"] for name in ("chargeId", "notificationId")}


def _saved(item: Item) -> Saved:
    return Saved(
        charge_id=item["chargeId"],
        notification_id=item["notificationId"],
        order_id=item["orderId"],
        received_at=item["receivedAt"],
        state=item["state"],
        passes_done=int(item["passesDone"]),
        next_pass_due=item.get("nextPassDue", ""),
        lease_until=item.get("leaseUntil", ""),
    )
