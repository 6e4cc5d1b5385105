"""The payment record of a charge: its order, and what became of the checksum. Never made here, only marked."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from callback.clock import Clock, stamp
from callback.table import ConditionFailed, Item, Table

if TYPE_CHECKING:  # Recheck and the sweep start without it (tests/test_ceilings.py)
    from callback.checksum import Verdict


@dataclass(frozen=True)
class Payment:
    """What the shop wrote when it asked for the charge."""

    order_id: str | None
    amount: Decimal | None
    currency: str | None


class Payments:
    """CardPaymentRecordTable."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def mark(self, charge_id: str, verdict: "Verdict", function_name: str) -> Payment | None:
        """Mark the charge's payment record with the verdict and read it in one call; None where there is none.

        A charge once proved valid stays so: what comes later without proof is not the bank's word.
        """
        values = {
            ":status": verdict.status,
            ":error": verdict.error or "",
            ":at": stamp(self._clock()),
            ":by": function_name,
            ":valid": "valid",
        }
        update = (
            "SET #checksumStatus = :status, #checksumError = :error, #checksumCheckedAt = :at, #checksumCheckedBy = :by"
        )
        condition = (
            "attribute_exists(#chargeId) AND "
            "(attribute_not_exists(#checksumStatus) OR #checksumStatus <> :valid OR :status = :valid)"
        )
        try:
            return _payment(self._table.update({"chargeId": charge_id}, update, values, condition))
        except ConditionFailed as found:
            return _payment(found.item) if found.item else None


def _payment(item: Item) -> Payment:
    order_id, amount, currency = item.get("orderId"), item.get("amount"), item.get("currency")
    return Payment(
        order_id=order_id if isinstance(order_id, str) else None,
        amount=amount if isinstance(amount, Decimal) else None,
        currency=currency if isinstance(currency, str) else None,
    )
