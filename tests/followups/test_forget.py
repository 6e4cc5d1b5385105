"""`followups forget`: a customer's data goes, what accounting needs remains."""

from typing import Any

import pytest

from callback.errors import error_id
from tests.followups.conftest import Followups
from tests.support.aws import NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, Deployed, notification
from tests.support.recorded_calls import Call, payload

NAME = "Somchai Jaidee"
NOTIFY, ERRORS = "CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE"
YES = f"forget --yes --stack payment3-follow-up-dev -- {ORDER}"


@pytest.fixture
def done(deployed: Deployed) -> Deployed:
    """A notification that names its customer wherever one can be named; it failed once, and is done."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"customer":"{NAME}","object"')
    works = deployed.process_fails()
    deployed.functions[PROCESS] = lambda _call: payload({"errorMessage": NAME}, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver(event)
    deployed.functions[PROCESS] = lambda call: works(call) and payload({"customer": NAME})
    for number in (1, 2):
        deployed.world.wait(130)
        deployed.world.recheck(number)
    assert NAME in str(deployed.world.rows(NOTIFY))
    assert NAME in str(deployed.world.errors())
    deployed.world.wire.calls.clear()
    return deployed


def stored(deployed: Deployed) -> list[dict[str, Any]]:
    """All rows of both tables."""
    return deployed.world.rows(NOTIFY) + deployed.world.rows(ERRORS)


def test_customer_is_gone_and_what_accounting_needs_stays(done: Deployed, followups: Followups) -> None:
    """Body, answers and free texts are erased from both tables; ids, money, verdict, passes and times remain."""
    before, [was] = done.world.record(), done.world.errors()
    said = followups(*YES.split()).out
    assert NAME not in str(stored(done))
    assert done.world.record() == {name: before[name] for name in before if name not in {"body", "lastError"}} | {
        "passes": [{name: value for name, value in one.items() if name != "outcome"} for one in before["passes"]],
        "erasedAt": "2026-11-22T09:34:37.850000Z",
    }
    [row] = done.world.errors()
    assert was.keys() - row.keys() == {"message", "traceback", "event", "responseData"} & was.keys()
    assert "erased: body, event, lastError, message, passes, responseData, traceback\n" in said
    followups("show", ORDER)


def test_second_time_there_is_nothing_left(done: Deployed, followups: Followups) -> None:
    """It may be run again, and writes nothing then; with --json it prints one object for each notification."""
    for result in ("erased", "unchanged"):
        [found] = followups("forget", ORDER, "--yes", "--json").objects
        assert (found["notificationId"], found["result"]) == (NOTIFICATION, result)
        done.world.wait(60)
    assert done.world.wire.names().count("dynamodb.UpdateItem") == 2


def test_nothing_is_erased_unasked(done: Deployed, followups: Followups) -> None:
    """A pipe cannot answer: it gets the plan and the command. A terminal asks, as for every command that changes."""
    rows = stored(done)
    said = followups("forget", ORDER, code=1).out
    assert "would be erased: body, event, lastError, " in said
    assert f"To do it:  followups {YES}" in said
    assert stored(done) == rows


@pytest.mark.parametrize("changes", [{}, {"state": "LOST"}, {"leaseUntil": "2026-11-23T00:00:00Z"}])
def test_what_is_still_followed_up_is_left(deployed: Deployed, followups: Followups, changes: dict[str, Any]) -> None:
    """What waits, is spoilt or runs is not written, exit 1; the order's other notifications are erased."""
    deployed.put_waiting("1", -1, body=NAME, **changes)
    deployed.put_failed("2", body=NAME)
    said = followups(*YES.split(), code=1).out
    bodies = {row["notificationId"]: "body" in row for row in deployed.world.rows(NOTIFY)}
    assert bodies == {"1": True, "2": False}
    assert "so it is still followed up; forget it once it is done or failed" in said
    assert "1 erased" in said
    followups("forget", ORDER, "--dry-run")


@pytest.mark.parametrize("command", [YES, f"resolve --reason settled {ORDER}"])
def test_run_that_begins_meanwhile_is_not_overwritten(deployed: Deployed, followups: Followups, command: str) -> None:
    """What a replay claims between read and write is left, and can be forgotten or resolved afterwards."""
    deployed.put_failed("1", body=NAME)

    def claim(_call: Call) -> None:
        deployed.world.wire.before.clear()
        with deployed.world.wire.aside():
            deployed.put_failed("1", body=NAME, attempts=9)

    deployed.world.wire.before["dynamodb.UpdateItem"] = claim
    assert "left: it moved on meanwhile; try again" in followups(*command.split(), code=1).out
    assert deployed.world.record()["body"] == NAME
    followups(*command.split())


def test_whatever_another_hand_added_is_erased(deployed: Deployed, followups: Followups) -> None:
    """What is not known to be needed goes: odd names and types, in the record and in the error log."""
    odd: dict[str, Any] = {
        "customer name": NAME,
        "a.b-c": {"x": [NAME]},
        "amount": {"of": NAME},
        "passes": [NAME, {"at": "2026"}],
    }
    deployed.put_failed("1", **odd)
    row = {"errorId": error_id("1", "failed", 2), "message": NAME, "chargeId": {NAME}, "lastAt": "2026"}
    deployed.world.put(ERRORS, row)
    followups(*YES.split())
    assert NAME not in str(stored(deployed))
    assert deployed.world.record()["passes"] == [{}, {"at": "2026"}]


def test_more_than_one_run_reads_is_exit_code_1(
    deployed: Deployed, followups: Followups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody thinks that all was erased where it was not."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 2)
    for number in range(3):
        deployed.put_failed(str(number), body=NAME)
    assert "There are more than one run reads" in followups(*YES.split(), code=1).err
