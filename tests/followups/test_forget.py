"""`followups forget`: a customer's data goes, what accounting needs stays."""

import json
import sys
from typing import Any

import pytest

from callback.report import error_id
from tests.followups.test_dead_letters import Terminal
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, Deployed, notification, unstyled
from tests.support.recorded_calls import Call, payload

Print = pytest.CaptureFixture[str]
NAME = "Somchai Jaidee"
NOTIFY, ERRORS = "CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE"


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


def test_customer_is_gone_and_what_accounting_needs_stays(done: Deployed, capsys: Print) -> None:
    """Body, answers and free texts are erased from both tables; ids, money, verdict, passes and times are as before."""
    before, errors = done.world.record(), done.world.errors()
    assert done.run("forget", ORDER, "--yes") == 0
    after = done.world.record()
    assert NAME not in str(done.world.rows(NOTIFY)) + str(done.world.rows(ERRORS))
    gone = {"body", "lastError"}
    assert after == {name: value for name, value in before.items() if name not in gone} | {
        "passes": [{name: value for name, value in done_.items() if name != "outcome"} for done_ in before["passes"]],
        "erasedAt": "2026-11-22T09:34:37.850000Z",
    }
    [row], [was] = done.world.errors(), errors
    assert was.keys() - row.keys() == {"message", "traceback", "event", "responseData"} & was.keys()
    said = capsys.readouterr().out
    assert "erased: body, lastError, passes of the record; rows of the error log: 1\n" in said
    assert said.endswith("Notifications: 1, erased: 1, left: 0.\n")
    assert done.run("show", ORDER) == 0


def test_second_time_there_is_nothing_left(done: Deployed, capsys: Print) -> None:
    """It may be run again, and writes nothing then."""
    done.run("forget", ORDER, "--yes")
    rows = done.world.rows(NOTIFY) + done.world.rows(ERRORS)
    done.world.wait(60)
    done.world.wire.calls.clear()
    assert done.run("forget", ORDER, "--yes") == 0
    assert "nothing is left to erase" in capsys.readouterr().out
    assert done.world.rows(NOTIFY) + done.world.rows(ERRORS) == rows
    assert "dynamodb.UpdateItem" not in done.world.wire.names()


@pytest.mark.parametrize(("options", "code"), [(["--dry-run"], 0), ([], 1)])
def test_nothing_is_erased_unasked(done: Deployed, capsys: Print, options: list[str], code: int) -> None:
    """A dry run, and a pipe, in which nobody can answer: said what would be, and the command that does it."""
    rows = done.world.rows(NOTIFY) + done.world.rows(ERRORS)
    assert done.run("forget", ORDER, *options) == code
    said = capsys.readouterr().out
    assert "body, lastError, passes of the record; rows of the error log: 1\n" in said
    command = f"followups forget --yes --stack payment3-follow-up-dev -- {ORDER}"
    assert (f"To do it:  {command}" in said) == (not options)
    assert done.world.rows(NOTIFY) + done.world.rows(ERRORS) == rows
    assert done.run(*command.split()[1:]) == 0


@pytest.mark.parametrize("answer", ["y", "n"])
def test_person_is_asked(done: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """On a terminal; a no erases nothing."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    assert done.run("forget", ORDER) == (answer == "n")
    assert ("body" in done.world.record()) == (answer == "n")
    assert f"Erase this of {ORDER} for good? [y/N]" in unstyled(capsys.readouterr().out)


@pytest.mark.parametrize("state", ["waits", "runs", "spoilt"])
def test_what_is_still_followed_up_is_left(deployed: Deployed, capsys: Print, state: str) -> None:
    """A clear line, exit 1, and no write: its passes go on; the other notifications of the order are erased."""
    changes: dict[str, Any] = {"waits": {}, "spoilt": {"state": "LOST"}}.get(
        state, {"leaseUntil": "2026-11-23T00:00:00Z"}
    )
    deployed.put_waiting("1", -1, body=NAME, **changes)
    deployed.put_failed("2", body=NAME)
    assert deployed.run("forget", ORDER, "--yes") == 1
    bodies = {row["notificationId"]: "body" in row for row in deployed.world.rows(NOTIFY)}
    assert bodies == {"1": True, "2": False}
    said = capsys.readouterr().out
    assert "so it is still followed up; forget it once it is done or failed" in said
    assert said.endswith("Notifications: 2, erased: 1, left: 1.\n")
    assert deployed.run("forget", ORDER, "--dry-run") == 0


def test_run_that_begins_meanwhile_is_not_written_over(deployed: Deployed, capsys: Print) -> None:
    """A replay that claims it between the look and the write: it is left, and can be forgotten afterwards."""
    deployed.put_failed("1", body=NAME)

    def claim(_call: Call) -> None:
        deployed.world.wire.before.clear()
        with deployed.world.wire.aside():
            deployed.put_failed("1", body=NAME, attempts=9)

    deployed.world.wire.before["dynamodb.UpdateItem"] = claim
    assert deployed.run("forget", ORDER, "--yes") == 1
    assert "left: it moved on meanwhile; try again" in capsys.readouterr().out
    assert deployed.world.record()["body"] == NAME
    assert deployed.run("forget", ORDER, "--yes") == 0


def test_whatever_another_hand_added_is_erased(deployed: Deployed) -> None:
    """By what is kept, not by what is erased: odd names and types, in the record and in the error log."""
    odd: dict[str, Any] = {
        "customer name": NAME,
        "a.b-c": {"x": [NAME]},
        "amount": {"of": NAME},
        "passes": [NAME, {"at": "2026"}],
    }
    deployed.put_failed("1", **odd)
    row = {"errorId": error_id("1", "failed", 2), "message": NAME, "chargeId": {NAME}, "lastAt": "2026"}
    deployed.world.table(ERRORS).put_item(Item=row)
    assert deployed.run("forget", ORDER, "--yes") == 0
    assert NAME not in str(deployed.world.rows(NOTIFY)) + str(deployed.world.rows(ERRORS))
    assert deployed.world.record()["passes"] == [{}, {"at": "2026"}]


def test_row_of_another_function_and_unknown_orders_are_left(deployed: Deployed, capsys: Print) -> None:
    """Another function's row is not ours to change; an order without notifications is said: exit 1."""
    row = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "customer": NAME}
    deployed.world.table(NOTIFY).put_item(Item=row)
    assert deployed.run("forget", ORDER, "--yes") == 1
    assert deployed.world.record() == row
    assert deployed.run("forget", "ORDER-9", "--yes") == 1
    assert "ORDER-9: no notification was saved" in capsys.readouterr().out


def test_json_lines_are_for_programs(done: Deployed, capsys: Print) -> None:
    """One object for each notification."""
    assert done.run("forget", ORDER, "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["notificationId"], found["result"]) == (NOTIFICATION, "erased")


def test_more_than_are_looked_at_is_said(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody thinks that all was erased where it was not."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 2)
    for number in range(3):
        deployed.put_failed(str(number), body=NAME)
    assert deployed.run("forget", ORDER, "--yes") == 1
    assert "There are more than one run reads" in capsys.readouterr().err
