"""`followups resolve`: what was settled by hand asks for nobody any more, and says why for ever."""

import json
from typing import Any

import pytest

from tests.support.aws import ORDER
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Call, refuse

Print = pytest.CaptureFixture[str]
RESOLVE = ("resolve", ORDER, "--reason", "refunded by hand\x1b[2J, ticket 7")


def test_failed_notification_is_closed_and_tells_why(deployed: Deployed, capsys: Print) -> None:
    """It leaves every list; `show` has time and reason; neither the sweep nor a replay runs it again."""
    deployed.put_failed("1")
    assert deployed.run(*RESOLVE) == 0
    assert capsys.readouterr().out.endswith("resolved: refunded by hand [2J, ticket 7\n")
    assert deployed.run("list") == 0
    assert capsys.readouterr().out == ""
    assert deployed.run("show", ORDER) == 0
    said = capsys.readouterr().out
    assert f"Order {ORDER}: resolved, passes completed: 1, checksum valid\n" in said
    assert "resolved  by hand: refunded by hand [2J, ticket 7\n" in said
    assert "next  nothing: it was settled by hand\n" in said
    assert deployed.run("replay", ORDER) == 0
    assert "left: settled by hand at 2026-11-22T09:30:17.250000Z" in capsys.readouterr().out
    assert deployed.invoked("recheck-dev") == []


def test_late_one_is_closed_and_swept_no_more(deployed: Deployed, capsys: Print) -> None:
    """What is tried again and again for an order that was settled by hand: it ends, and leaves the index."""
    deployed.put_waiting("1", 60, attempts=4)
    assert deployed.run(*RESOLVE) == 0
    assert deployed.world.sweep()["handedOver"] == 0
    [row] = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    assert (row["state"], "sweepAt" in row, "failedShard" in row) == ("FAILED", False, False)
    assert deployed.run(*RESOLVE) == 0
    assert "resolved already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "left: waiting"),
        ({"leaseUntil": "2026-11-23T00:00:00Z", "claimId": "c"}, "left: running"),
        ({"passes": "two"}, "left: spoilt"),
    ],
)
def test_what_is_followed_up_is_left(deployed: Deployed, capsys: Print, changes: dict[str, Any], says: str) -> None:
    """Nothing that goes on by itself can be closed by mistake: exit 1, and why."""
    deployed.put_waiting("1", -1, **changes)
    assert deployed.run(*RESOLVE) == 1
    assert says in capsys.readouterr().out
    assert deployed.world.record()["state"] == "PENDING"


def test_run_that_begins_meanwhile_wins(deployed: Deployed, capsys: Print) -> None:
    """It is claimed between the look and the write: left."""
    deployed.put_failed("1")

    def claim(_call: Call) -> None:
        with deployed.world.wire.aside():
            deployed.put_failed("1", attempts=9)

    deployed.world.wire.before["dynamodb.UpdateItem"] = claim
    assert deployed.run(*RESOLVE) == 1
    assert "left: it moved on meanwhile" in capsys.readouterr().out


def test_denied_write_is_said(deployed: Deployed, capsys: Print) -> None:
    """Exit 2, and nothing is resolved."""
    deployed.put_failed("1")
    deployed.world.wire.before["dynamodb.UpdateItem"] = refuse("AccessDeniedException")
    assert deployed.run(*RESOLVE) == 2
    assert "docs/operations.md, What operators may do" in capsys.readouterr().err


def test_unknown_order_and_empty_reason_are_said(deployed: Deployed, capsys: Print) -> None:
    """Exit 1 and 2."""
    assert deployed.run(*RESOLVE) == 1
    assert f"{ORDER}: no notification was saved" in capsys.readouterr().out
    assert deployed.run("resolve", ORDER, "--reason", " ") == 2


def test_json_has_a_line_for_each(deployed: Deployed, capsys: Print) -> None:
    """Ids, whether it is closed, and the text."""
    deployed.put_failed("1")
    assert deployed.run(*RESOLVE, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["notificationId"], found["resolved"]) == ("1", True)
