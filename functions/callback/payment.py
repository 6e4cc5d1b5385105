"""The payment record of a charge: the shop's own word on its order, and what became of the checksum."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from callback.clock import Clock, format_utc
from callback.table import ConditionFailed, Item, Table

if TYPE_CHECKING:  # Recheck and the sweep start without them
    from callback.checksum import Verdict
    from callback.notification import Notification


@dataclass(frozen=True)
class Payment:
    """What the shop wrote when it asked for the charge; None where it wrote nothing usable."""

    order_id: str | None
    amount: Decimal | None
    currency: str | None

    def differences(self, notification: "Notification") -> list[str]:
        """Name what the notification contradicts; what one of the two does not state is no contradiction."""
        pairs = {
            "order": (self.order_id, notification.order_id),
            "amount": (self.amount, notification.amount),
            "currency": (self.currency, notification.currency),
        }
        return [name for name, (own, given) in pairs.items() if None not in (own, given) and own != given]


class Payments:
    """CardPaymentRecordTable."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def get(self, charge_id: str) -> Payment | None:
        """Read the charge's payment record; None where there is none. Raises `AWS_ERRORS`."""
        item = self._table.get({"chargeId": charge_id}, "#orderId, #amount, #currency")
        return None if item is None else _payment(item)

    def mark(self, notification: "Notification", verdict: "Verdict", function_name: str) -> None:
        """Mark the record, if there is one, with the last verdict; what was once proved stays beside it.

        Raises `AWS_ERRORS`.
        """
        now = format_utc(self._clock())
        marks: Item = {
            "Status": verdict.status,
            "Error": verdict.error or "",
            "CheckedAt": now,
            "CheckedBy": function_name,
        }
        if verdict.valid:
            marks["Proved"] = {
                "status": notification.status,
                "transactionState": notification.transaction_state,
                "amount": notification.amount,
                "currency": notification.currency,
                "at": now,
            }
        update = "SET " + ", ".join(f"#checksum{name} = :{name}" for name in marks)
        values = {f":{name}": value for name, value in marks.items()}
        try:
            self._table.update({"chargeId": notification.charge_id}, update, values, "attribute_exists(#chargeId)")
        except ConditionFailed:
            return


def _payment(item: Item) -> Payment:
    order_id, amount, currency = item.get("orderId"), item.get("amount"), item.get("currency")
    return Payment(
        order_id=str(order_id) if isinstance(order_id, str | Decimal) and order_id else None,
        amount=amount if isinstance(amount, Decimal) else None,
        currency=currency if isinstance(currency, str) else None,
    )
