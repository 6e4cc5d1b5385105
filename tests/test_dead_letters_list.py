"""`followups dead-letters list`: what lies in the failure queues, and nothing else happens."""

import json

import pytest

from tests.deployed import (
    NOTIFY_QUEUE,
    RECHECK_QUEUE,
    SCHEDULER_QUEUE,
    Deployed,
    notification,
    notify_letter,
    recheck_letter,
    timer,
    unstyled,
)
from tests.wire import Call, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER

Print = pytest.CaptureFixture[str]
IDS = f"chargeId={CHARGE} notificationId={NOTIFICATION}"


def test_each_letter_is_told(deployed: Deployed, capsys: Print) -> None:
    """From where, which kind, of whom, how old, why it is there, and where it would go."""
    deployed.put_each_kind()
    assert deployed.run("dead-letters", "list") == 0
    assert capsys.readouterr().out == (
        f"DelayedNotifyFailureQueue  on-failure  {IDS} orderId={ORDER}  1 min 1 s old"
        "  would go back to payment3-delayed-notify-dev; it failed with EventAgeExceeded\n"
        f"RecheckFailureQueue  on-failure  {IDS}-2 orderId={ORDER} pass=2  1 min old"
        "  would go back to payment3-recheck-dev; it failed with TimeoutError: the table is asleep\n"
        f"SchedulerDeadLetterQueue  scheduler  {IDS}-3 orderId={ORDER} pass=2  1 min old"
        "  would go back to payment3-recheck-dev; it failed with AWSLambda.TooManyRequestsException: Rate Exceeded.\n"
    )


def test_nothing_is_moved_or_hidden(deployed: Deployed) -> None:
    """Only received, and shown again."""
    deployed.put_each_kind()
    left = deployed.left()
    deployed.world.wire.calls.clear()
    deployed.run("dead-letters", "list")
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    asked = {"cloudformation.DescribeStacks", "sqs.ReceiveMessage", "sqs.ChangeMessageVisibility"}
    assert set(deployed.world.wire.names()) == asked


def test_json_lines_are_for_programs(deployed: Deployed, capsys: Print) -> None:
    """One object a letter, with the names of the record, and no payload."""
    deployed.put(RECHECK_QUEUE, recheck_letter(timer()))
    assert deployed.run("dead-letters", "list", "--json") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "queue": RECHECK_QUEUE,
        "kind": "on-failure",
        "chargeId": CHARGE,
        "notificationId": NOTIFICATION,
        "orderId": ORDER,
        "pass": "2",
        "sentAt": "2026-11-22T09:30:17.250000Z",
        "error": "TimeoutError: the table is asleep",
        "goesTo": "payment3-recheck-dev",
        "result": "would go back",
        "text": "would go back to payment3-recheck-dev; it failed with TimeoutError: the table is asleep",
    }


def test_more_letters_than_one_answer_holds(deployed: Deployed, capsys: Print) -> None:
    """SQS hands out ten at most."""
    for number in range(1, 26):
        deployed.put(NOTIFY_QUEUE, notify_letter(notification(number)))
    assert deployed.run("dead-letters", "list") == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 25
    assert deployed.hidden() == 0


def test_letters_that_show_again_in_a_long_look_are_told_once(deployed: Deployed, capsys: Print) -> None:
    """In the time that many letters take, the first ones show again: all were seen then."""
    for number in range(1, 13):
        deployed.put(NOTIFY_QUEUE, notify_letter(notification(number)))

    def show(_call: Call) -> None:
        deployed.show_again()

    deployed.world.wire.before["sqs.ReceiveMessage"] = show
    assert deployed.run("dead-letters", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) >= 10


@pytest.mark.parametrize("command", ["list", "redrive"])
def test_queue_may_be_chosen(deployed: Deployed, capsys: Print, command: str) -> None:
    """Only the named ones are looked into, whatever the case of their names."""
    deployed.put_each_kind()
    deployed.run("dead-letters", command, "--queue", SCHEDULER_QUEUE.lower(), "--queue", RECHECK_QUEUE)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "Queue" in line] == [SCHEDULER_QUEUE, RECHECK_QUEUE]
    assert NOTIFY_QUEUE in deployed.left()


def test_foreign_letter_is_told_with_the_reason(deployed: Deployed, capsys: Print) -> None:
    """It would stay: said, and still no failure of the look."""
    deployed.put(NOTIFY_QUEUE, {"MessageBody": "{"})
    assert deployed.run("dead-letters", "list") == 0
    assert "stays: neither a record of Lambda's nor a dead letter of Scheduler's" in capsys.readouterr().out


def test_nothing_there_is_said_to_a_person_only(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets no line for nothing."""
    assert deployed.run("dead-letters", "list") == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("dead-letters", "list") == 0
    assert capsys.readouterr().out == "Dead letters: 0.\n"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["list", "redrive"])
def test_terminal_gets_a_table_that_fits(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, command: str, width: int
) -> None:
    """Queue, kind and age; the ids one below the other; what it is about."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    deployed.put_each_kind()
    assert deployed.run("dead-letters", command) == 0
    lines = unstyled(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(f"order {ORDER}" in line for line in lines) == 3
    assert sum("on-failure, 1 min" in line for line in lines) == 2


def test_redrive_tells_programs_what_went_back(deployed: Deployed, capsys: Print) -> None:
    """JSON lines; the summary goes to where no program reads."""
    deployed.put_each_kind()
    deployed.put(NOTIFY_QUEUE, {"MessageBody": "{"})
    assert deployed.run("dead-letters", "redrive", "--json") == 1
    said = capsys.readouterr()
    assert [json.loads(line)["result"] for line in said.out.splitlines()] == [
        "went back",
        "stays",
        "went back",
        "went back",
    ]
    assert said.err.startswith("Dead letters: 4, staying: 1.")


def test_letters_are_shown_again_when_the_look_is_stopped(deployed: Deployed, capsys: Print) -> None:
    """Ctrl-C in the middle, or an error: nobody has to wait for them."""
    deployed.put_each_kind()

    def press(call: Call) -> None:
        if SCHEDULER_QUEUE in call.request["QueueUrl"]:
            raise KeyboardInterrupt

    deployed.world.wire.before["sqs.ReceiveMessage"] = press
    assert deployed.run("dead-letters", "list") == 130
    assert deployed.hidden() == 0
    deployed.world.wire.before["sqs.ReceiveMessage"] = refuse("AccessDenied")
    assert deployed.run("dead-letters", "list") == 2
    assert "AccessDenied" in capsys.readouterr().err
