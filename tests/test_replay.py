"""Replay: an order's missing passes are run now, and what is not missing is left alone."""

import json
import subprocess

import pytest

from callback.clock import stamp
from local.emulator import ROOT
from tests.deployed import Deployed, arn, notification
from tests.letters import function_error
from tests.wire import Call, payload, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER

NAMED = f"chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
Print = pytest.CaptureFixture[str]


@pytest.fixture
def failed(deployed: Deployed) -> Deployed:
    """A notification whose only allowed attempt at pass 1 failed."""
    deployed.world.cold_start(MAX_ATTEMPTS="1")
    process = "payment3-process-paid-order-dev"
    works = deployed.functions[process]
    deployed.functions[process] = lambda _call: payload({}, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver()
    assert deployed.world.record()["state"] == "FAILED"
    deployed.functions[process] = works
    return deployed


def test_failed_notification_is_replayed(failed: Deployed, capsys: Print) -> None:
    """FAILED: Recheck runs the pass, synchronously and by its own input, and the follow-up goes on from there."""
    assert failed.run("replay", ORDER) == 0
    assert failed.world.record()["passesDone"] == 1
    assert len(failed.world.schedules()) == 1
    ids = {"version": 1, "chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    due = stamp(failed.world.now - failed.world.took)
    assert failed.invoked("recheck-dev") == [ids | {"pass": 1, "dueAt": due}]
    assert capsys.readouterr().out == f"{NAMED}  pass 1 was run: now PENDING, passes completed: 1\n"


def test_overdue_pass_whose_timer_was_lost_is_run(deployed: Deployed, capsys: Print) -> None:
    """PENDING and due, and nobody is at it: the second pass is run and the notification DONE."""
    deployed.world.deliver()
    due = deployed.world.record()["nextPassDue"]
    deployed.world.fire()
    deployed.world.wait(3600)
    assert deployed.run("replay", ORDER) == 0
    assert deployed.world.record()["state"] == "DONE"
    [sent] = deployed.invoked("recheck-dev")
    assert (sent["pass"], sent["dueAt"]) == (2, due)
    assert capsys.readouterr().out == f"{NAMED}  pass 2 was run: now DONE, passes completed: 2\n"


def test_pass_that_is_not_due_yet_is_left_to_its_timer(deployed: Deployed, capsys: Print) -> None:
    """No pass sooner than 60 s after the one before: replay says when, and that nothing is missing."""
    deployed.world.deliver()
    assert deployed.run("replay", ORDER) == 0
    assert deployed.invoked("recheck-dev") == []
    due = deployed.world.record()["nextPassDue"]
    assert capsys.readouterr().out == f"{NAMED}  left: pass 2 is due at {due}\n"


def test_done_notification_is_left(deployed: Deployed, capsys: Print) -> None:
    """DONE: said, and nothing is invoked."""
    deployed.world.deliver()
    deployed.world.wait(60)
    deployed.world.recheck()
    assert deployed.run("replay", ORDER) == 0
    assert deployed.invoked("recheck-dev") == []
    assert capsys.readouterr().out == f"{NAMED}  left: DONE, 2 passes are completed\n"


def test_pass_that_somebody_is_at_is_left(deployed: Deployed, capsys: Print) -> None:
    """A live claim keeps replay out; one that ran out does not."""

    def die(_call: Call) -> None:
        raise KeyboardInterrupt

    deployed.world.wire.before["scheduler.CreateSchedule"] = deployed.world.wire.before["lambda.Invoke"] = die
    with pytest.raises(KeyboardInterrupt):
        deployed.world.deliver()
    deployed.world.wire.before.pop("lambda.Invoke")
    deployed.world.wire.before.pop("scheduler.CreateSchedule")
    assert deployed.run("replay", ORDER) == 0
    assert capsys.readouterr().out.startswith(f"{NAMED}  left: pass 1 is claimed until 2026-11-22T09:31:47.250000Z")
    deployed.world.wait(90)
    assert deployed.run("replay", ORDER) == 0
    assert deployed.world.record()["passesDone"] == 1


def test_recheck_that_fails_again_is_said(failed: Deployed, capsys: Print) -> None:
    """The error is printed without what is secret in it, and the exit code is 1."""
    error = function_error(ValueError("card 4111111111111111 refused"))
    failed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(error, error="Unhandled")
    assert failed.run("replay", ORDER) == 1
    assert capsys.readouterr().out == f"{NAMED}  pass 1 failed again: ValueError: card [redacted] refused\n"


def test_each_notification_of_each_order_is_looked_at(deployed: Deployed, capsys: Print) -> None:
    """Several deliveries of one order, several orders: one line each, oldest first, and one failure makes it 1."""
    for number in (1, 2, 3):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    other = notification(4)
    other["body"] = other["body"].replace(ORDER, "ORDER-2")
    deployed.world.deliver(other)
    deployed.world.wait(60)
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    assert deployed.run("replay", ORDER, "ORDER-2", "--yes") == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary.startswith("Notifications: 4, run: 3, left alone: 0, failed again: 1.")
    assert [line.split()[1].rpartition("=")[2].removeprefix(NOTIFICATION) for line in lines] == ["", "-2", "-3", "-4"]
    assert ["failed again" in line for line in lines] == [True, False, False, False]
    states = {r["notificationId"]: r["state"] for r in deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    assert sorted(states.values()) == ["DONE", "DONE", "DONE", "PENDING"]


def test_order_with_more_notifications_than_one_page_holds(deployed: Deployed, capsys: Print) -> None:
    """The index answers in pages; replay reads them all."""
    deployed.world.deliver()
    table, record = deployed.world.table("CREDIT_CARD_NOTIFY_TABLE"), deployed.world.record()
    for number in range(2, 6):
        table.put_item(Item=record | {"notificationId": f"{NOTIFICATION}-{number}"})
    deployed.world.wire.before["dynamodb.Query"] = lambda call: call.request.update(Limit=2)
    assert deployed.run("replay", ORDER) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert (len(lines), summary) == (5, "Notifications: 5, run: 0, left alone: 5, failed again: 0.")
    assert len(deployed.world.wire.of("dynamodb.Query")) == 3


def test_record_that_left_the_table_meanwhile_is_passed_over(deployed: Deployed, capsys: Print) -> None:
    """The index is a moment behind: what it still names may be gone."""
    deployed.world.deliver()
    deployed.world.wire.answers["dynamodb.GetItem"] = lambda _call: {}
    assert deployed.run("replay", ORDER) == 1
    assert "no notification was saved" in capsys.readouterr().out


def test_order_without_a_notification_is_said(deployed: Deployed, capsys: Print) -> None:
    """A wrong order id, or a notification that never was saved: exit 1, and where to look next."""
    assert deployed.run("replay", "ORDER-9") == 1
    said = "orderId=ORDER-9  no notification was saved in stack payment3-follow-up-dev."
    assert capsys.readouterr().out == f"{said}  Try: followups dead-letters list\n"


def test_table_that_cannot_be_read_is_said(deployed: Deployed, capsys: Print) -> None:
    """What the caller may not do: exit 2, AWS's own words, and where to look."""
    deployed.world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException")
    assert deployed.run("replay", ORDER) == 2
    assert "Check profile, region and permissions (the command's --help names them)" in capsys.readouterr().err


def test_answer_that_is_no_object_is_no_failure(failed: Deployed, capsys: Print) -> None:
    """Recheck's success is that it did not fail, whatever a later version answers."""
    failed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(json.dumps("done").encode())
    assert failed.run("replay", ORDER) == 0
    assert "was run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        (["redrive"], "dead-letters redrive --stack 'payment3-follow-up-dev'"),
        (["redrive", "STACK=other"], "dead-letters redrive --stack 'other'"),
        (["replay", "ORDER=A 1"], "replay --yes --stack 'payment3-follow-up-dev' -- 'A 1'"),
        (["run", "STACK=other", "-o", ".venv/installed"], "local run --delay 60 --latency 300 --failures 0"),
    ],
)
def test_make_acts_on_the_account_of_the_environment(target: list[str], runs: str) -> None:
    """`make redrive` and `make replay` keep the caller's profile, and only they take STACK."""
    done = subprocess.run(
        ["make", "--dry-run", *target],  # noqa: S607 - the make that people have
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [line for line in done.stdout.splitlines() if ".venv/bin" in line and runs in line]
    assert ("AWS_PROFILE" in line) == (target[0] == "run")


def test_make_replay_asks_for_the_order() -> None:
    """`make replay` alone says what it needs."""
    done = subprocess.run(
        ["make", "--dry-run", "replay"],  # noqa: S607 - the make that people have
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "say which order: make replay ORDER=" in done.stderr
