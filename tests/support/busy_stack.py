"""A stack in which much has happened: what is shown is under test, not how it came about."""

from datetime import timedelta
from typing import Any

from callback.errors import error_id
from callback.table import format_utc
from tests.support.deployed import Deployed

FAILED_ORDER, LATE_ORDER, OLD_ORDER = "ORDER-1984", "ORDER-1989", "ORDER-1977"
GAVE_UP = "GaveUp: pass 2 is given up: pass 2: ProcessPaidOrder failed (Unhandled)"
_WAITING_SECONDS = (4, 13, 21, 30, 38, 47, 55)


def make_busy(deployed: Deployed) -> None:
    """Two failed, one late, seven waiting and one under way."""
    world = deployed.world
    received, failed_at = (format_utc(world.now - timedelta(minutes=ago)) for ago in (73 * 60, 52))
    passed = {"number": 1, "at": received, "outcome": '{"paid": true}', "durationMs": 731, "attempt": 1}
    past: dict[str, Any] = {"receivedAt": received, "firstDue": received, "passes": [passed], "status": "success"}
    past |= {"transactionState": "Authorized", "orderId": FAILED_ORDER, "lastError": GAVE_UP, "attempts": 9}
    deployed.put_failed(_id(FAILED_ORDER), 52, **past)
    deployed.put_failed(_id(OLD_ORDER), 308, orderId=OLD_ORDER, lastError="GaveUp: pass 2 did not answer in time")
    again = format_utc(world.now + timedelta(minutes=2))
    late = {"orderId": LATE_ORDER, "nextPassDue": again, "sweepAt": again, "attempts": 3}
    error = "PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    deployed.put_waiting(_id(LATE_ORDER), 7.32, lastError=error, **late)
    for seconds in _WAITING_SECONDS:
        order = f"ORDER-{2000 + seconds}"
        deployed.put_waiting(_id(order), -seconds / 60, orderId=order)
    running: dict[str, Any] = {"leaseUntil": format_utc(world.now + timedelta(seconds=89)), "claimId": "c"}
    running |= {"orderId": "ORDER-3000", "passesDone": 0, "attempts": 1, "attemptsBefore": 0}
    deployed.put_waiting(_id("ORDER-3000"), 0, **running)
    row: dict[str, Any] = {"errorId": error_id(_id(FAILED_ORDER), "failed", 2), "errorType": "GaveUp", "occurrences": 1}
    row |= {"message": GAVE_UP.partition(": ")[2], "firstAt": failed_at, "lastAt": failed_at, "mailedAt": failed_at}
    world.put("CALLBACK_ERROR_LOG_TABLE", row)


def _id(order: str) -> str:
    return f"22500001-bb22-4e0b-9c1d-{order.removeprefix('ORDER-'):0>12}"
