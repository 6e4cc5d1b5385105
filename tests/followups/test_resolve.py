"""`followups resolve`: what was settled by hand asks for nobody any more, and `show` says why for ever."""

from typing import Any

import pytest

from tests.followups.conftest import Followups
from tests.support.aws import ORDER
from tests.support.deployed import Deployed

RESOLVE = ("resolve", ORDER, "--reason", "refunded by hand\x1b[2J, ticket 7")
CLAIMED = {"leaseUntil": "2026-11-23T00:00:00Z", "claimId": "c"}


def test_failed_notification_is_closed_with_its_reason(deployed: Deployed, followups: Followups) -> None:
    """It leaves every list; `show` has time and reason; neither the sweep nor a replay runs it again."""
    deployed.put_failed("1")
    assert followups(*RESOLVE).out.endswith("resolved: refunded by hand [2J, ticket 7\n")
    assert followups("list").out == ""
    said = followups("show", ORDER).out
    assert f"Order {ORDER}: resolved, passes completed: 1, checksum valid\n" in said
    assert "resolved  by hand: refunded by hand [2J, ticket 7\n" in said
    assert "next  nothing: it was settled by hand\n" in said
    assert "left: settled by hand at 2026-11-22T09:30:17.250000Z" in followups("replay", ORDER).out
    assert deployed.invoked("recheck-dev") == []


def test_late_one_is_closed_and_swept_no_more(deployed: Deployed, followups: Followups) -> None:
    """What is tried again and again ends, and leaves the index; a second `resolve` changes nothing."""
    deployed.put_waiting("1", 60, attempts=4)
    followups(*RESOLVE)
    assert deployed.world.sweep()["handedOver"] == 0
    row = deployed.world.record()
    assert (row["state"], "sweepAt" in row, "failedShard" in row) == ("FAILED", False, False)
    [found] = followups(*RESOLVE, "--json").objects
    assert (found["notificationId"], found["result"], found["text"]) == ("1", "unchanged", "resolved already")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "left: waiting"),
        ({"attempts": 2}, "left: retrying"),
        (CLAIMED, "left: running"),
        (CLAIMED | {"state": "FAILED"}, "left: running"),
        ({"passes": "two"}, "left: spoilt"),
    ],
)
def test_what_goes_on_by_itself_is_left(
    deployed: Deployed, followups: Followups, changes: dict[str, Any], says: str
) -> None:
    """It cannot be closed by mistake: exit 1, and why."""
    deployed.put_waiting("1", -1, **changes)
    before = deployed.world.record()
    assert says in followups(*RESOLVE, code=1).out
    assert deployed.world.record() == before


def test_reason_is_not_empty(followups: Followups) -> None:
    """Exit 2: those who read the record later have to know why."""
    assert "--reason needs a text" in followups("resolve", ORDER, "--reason", " ", code=2).err
