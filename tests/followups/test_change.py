"""`followups forget` erases a customer's data and keeps what accounting needs; `followups resolve` closes for good."""

import pytest

from callback.errors import error_id
from callback.table import Item
from tests.followups.conftest import Followups, Patch, fail
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, STACK, Deployed, notification
from tests.support.recorded_calls import Call, payload

NAME = "Somchai Jaidee"
NOTIFY, ERRORS = "CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE"
FORGET = f"forget --yes --stack {STACK} -- {ORDER}"
RESOLVE = ("resolve", ORDER, "--reason", "refunded by hand\x1b[2J, ticket 7")
CLAIMED = {"leaseUntil": "2026-11-23T00:00:00Z", "claimId": "c"}


def stored(deployed: Deployed) -> list[Item]:
    """All rows of both tables."""
    return deployed.world.rows(NOTIFY) + deployed.world.rows(ERRORS)


@pytest.fixture
def done(deployed: Deployed) -> Deployed:
    """A notification that failed once and is done; the customer's name is wherever one can be."""
    event, works = notification(), deployed.functions[PROCESS]
    event["body"] = event["body"].replace('"object"', f'"customer":"{NAME}","object"')
    fail(deployed, deployed.world.deliver, event, answer={"errorMessage": NAME})
    deployed.functions[PROCESS] = lambda call: works(call) and payload({"customer": NAME})
    for number in (1, 2):
        deployed.world.wait(130)
        deployed.world.recheck(number)
    assert NAME in str(deployed.world.rows(NOTIFY))
    assert NAME in str(deployed.world.errors())
    deployed.world.wire.calls.clear()
    return deployed


def test_customer_is_gone_and_what_accounting_needs_stays(done: Deployed, followups: Followups) -> None:
    """Body, answers and free texts are erased from both tables; ids, money, verdict, passes and times remain."""
    before, [error] = done.world.record(), done.world.errors()
    printed = followups(*FORGET.split()).out
    assert NAME not in str(stored(done))
    assert done.world.record() == {name: before[name] for name in before if name not in {"body", "lastError"}} | {
        "passes": [{name: value for name, value in one.items() if name != "outcome"} for one in before["passes"]],
        "erasedAt": "2026-11-22T09:34:37.850000Z",
    }
    [row] = done.world.errors()
    assert error.keys() - row.keys() == {"message", "traceback", "event", "responseData"} & error.keys()
    assert "erased: body, event, lastError, message, passes, responseData, traceback\n" in printed
    followups("show", ORDER)


def test_nothing_is_erased_unasked_or_twice(done: Deployed, followups: Followups) -> None:
    """A pipe, which cannot answer, gets the plan and the command; a second run writes nothing."""
    rows = stored(done)
    printed = followups("forget", ORDER, code=1).out
    assert "would be erased: body, event, lastError, " in printed
    assert f"To do it:  followups {FORGET}" in printed
    assert stored(done) == rows
    for result in ("erased", "unchanged"):
        [found] = followups("forget", ORDER, "--yes", "--json").objects
        assert (found["notificationId"], found["result"]) == (NOTIFICATION, result)
        done.world.wait(60)
    assert done.world.wire.names().count("dynamodb.UpdateItem") == 2


@pytest.mark.parametrize("changes", [{}, {"state": "LOST"}, {"leaseUntil": "2026-11-23T00:00:00Z"}])
def test_what_is_still_followed_up_is_not_erased(deployed: Deployed, followups: Followups, changes: Item) -> None:
    """A notification that waits, is spoilt or runs is left, exit 1; the others of its order are erased."""
    deployed.put_waiting("1", -1, body=NAME, **changes)
    deployed.put_failed("2", body=NAME)
    printed = followups(*FORGET.split(), code=1).out
    assert {row["notificationId"]: "body" in row for row in deployed.world.rows(NOTIFY)} == {"1": True, "2": False}
    text = "spoilt; correct the record first" if "state" in changes else "up; forget it once it is done or failed"
    assert all(part in printed for part in (text, "1 erased"))
    followups("forget", ORDER, "--dry-run")


def test_unknown_attributes_are_erased(deployed: Deployed, followups: Followups) -> None:
    """What is not known to be needed goes: odd names and types, in the record and in the error log."""
    odd: Item = {"customer name": NAME, "a.b-c": {"x": [NAME]}, "amount": {"of": NAME}}
    deployed.put_failed("1", passes=[NAME, {"at": "2026"}], **odd)
    id_ = error_id({"chargeId": CHARGE, "notificationId": "1"}, "failed", 2)
    deployed.world.put(ERRORS, {"errorId": id_, "message": NAME, "chargeId": {NAME}, "lastAt": "2026"})
    followups(*FORGET.split())
    assert NAME not in str(stored(deployed))
    assert deployed.world.record()["passes"] == [{}, {"at": "2026"}]


@pytest.mark.parametrize("command", [FORGET, f"resolve --reason settled {ORDER}"])
def test_run_that_begins_meanwhile_is_not_overwritten(deployed: Deployed, followups: Followups, command: str) -> None:
    """What a replay claims between read and write is left, and can be forgotten or resolved afterwards."""
    deployed.put_failed("1", body=NAME)

    def claim(_call: Call) -> None:
        deployed.world.wire.before.clear()
        deployed.put_failed("1", body=NAME, attempts=9)

    deployed.world.wire.before["dynamodb.UpdateItem"] = claim
    assert "left: it moved on meanwhile; try again" in followups(*command.split(), code=1).out
    assert deployed.world.record()["body"] == NAME
    followups(*command.split())


def test_more_than_one_run_reads(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """The command says that it has to be run again: exit 1."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 2)
    for number in range(3):
        deployed.put_failed(str(number), body=NAME)
    assert "One run does not take them all: run forget again." in followups(*FORGET.split(), code=1).err


def test_failed_notification_is_closed_with_its_reason(deployed: Deployed, followups: Followups) -> None:
    """It leaves every list; `show` has time and reason; neither the sweep nor a replay runs it again."""
    deployed.put_failed("1")
    assert followups(*RESOLVE).out.endswith("resolved: refunded by hand [2J, ticket 7\n")
    assert followups("list").out == ""
    printed = followups("show", ORDER).out
    assert f"Order {ORDER}: resolved, passes completed: 1, checksum valid\n" in printed
    assert "resolved  by hand: refunded by hand [2J, ticket 7\n" in printed
    assert "next  nothing: it was settled by hand\n" in printed
    assert "left: settled by hand at 2026-11-22T09:30:17.250000Z" in followups("replay", ORDER).out
    assert deployed.invoked("recheck-dev") == []


def test_late_notification_is_closed_and_swept_no_more(deployed: Deployed, followups: Followups) -> None:
    """What is tried again and again ends, and leaves the index; a second `resolve` changes nothing."""
    deployed.put_waiting("1", 60, attempts=4)
    followups(*RESOLVE)
    assert deployed.world.sweep()["handedOver"] == 0
    row = deployed.world.record()
    assert (row["state"], "sweepAt" in row, "failedShard" in row) == ("FAILED", False, False)
    [found] = followups(*RESOLVE, "--json").objects
    assert (found["notificationId"], found["result"], found["text"]) == ("1", "unchanged", "resolved already")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "waiting, so it goes on by itself"),
        ({"attempts": 2}, "retrying, so it goes on by itself"),
        (CLAIMED, "running, so it goes on by itself"),
        (CLAIMED | {"state": "FAILED"}, "running"),
        ({"passes": "two"}, "spoilt; correct the record first"),
    ],
)
def test_what_goes_on_is_not_closed(deployed: Deployed, followups: Followups, changes: Item, word: str) -> None:
    """Exit 1, and why; nor is anything closed without a reason."""
    deployed.put_waiting("1", -1, **changes)
    before = deployed.world.record()
    assert f"left: {word}" in followups(*RESOLVE, code=1).out
    assert "--reason needs a text" in followups("resolve", ORDER, "--reason", " ", code=2).err
    assert deployed.world.record() == before
