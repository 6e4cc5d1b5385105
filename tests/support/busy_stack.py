"""A stack in which much has happened: what is shown is under test, not how it came about."""

from datetime import timedelta

import pytest

from callback.errors import error_id
from callback.table import format_utc
from tests.support.deployed import Deployed

FAILED_ORDER, LATE_ORDER, OLD_ORDER = "ORDER-1984", "ORDER-1989", "ORDER-1977"
GAVE_UP = "GaveUp: pass 2 is given up: pass 2: ProcessPaidOrder failed (Unhandled)"
_WAITING_SECONDS = (4, 13, 21, 30, 38, 47, 55)


def make_busy(deployed: Deployed) -> None:
    """Two failed, one late, seven waiting and one under way."""
    world = deployed.world
    deployed.put_failed("f1", 52, orderId=FAILED_ORDER, lastError=GAVE_UP, attempts=9)
    deployed.put_failed("f2", 308, orderId=OLD_ORDER, lastError="GaveUp: pass 2 did not answer in time")
    again = format_utc(world.now + timedelta(minutes=2))
    late = {"orderId": LATE_ORDER, "nextPassDue": again, "sweepAt": again, "attempts": 3}
    deployed.put_waiting("late", 7.32, lastError="PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)", **late)
    for seconds in _WAITING_SECONDS:
        deployed.put_waiting(f"w{seconds}", -seconds / 60, orderId=f"ORDER-{2000 + seconds}")
    running = {"leaseUntil": format_utc(world.now + timedelta(seconds=89)), "claimId": "c"}
    deployed.put_waiting("running", 0, orderId="ORDER-3000", passesDone=0, attempts=1, attemptsBefore=0, **running)
    row = {"errorId": error_id("f1", "failed", 2), "errorType": "GaveUp", "message": GAVE_UP.partition(": ")[2]}
    times = {"firstAt": format_utc(world.now), "lastAt": format_utc(world.now), "occurrences": 1}
    world.table("CALLBACK_ERROR_LOG_TABLE").put_item(Item=row | times)
    world.wire.calls.clear()


def use_few_shards(patch: pytest.MonkeyPatch) -> None:
    """Spread the indexes over four: a view asks for each shard of each part, and moto takes its time for each."""
    for module in ("callback.record", "followups.tables"):
        patch.setattr(f"{module}.SWEEP_SHARDS", 4)
