"""`followups dead-letters`: what lies in the queues, the way back through the real flow, and the way out."""

import io
import json
import re
import sys
from datetime import timedelta
from typing import Any

import pytest

from followups.stack import FAILURE, QUEUES, REFUSED, RETRY, Stack
from local.emulator import ACCOUNT
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import (
    PROCESS,
    STACK,
    Deployed,
    arn,
    notification,
    notify_letter,
    refused_letter,
    timer_letter,
    unstyled,
)
from tests.support.recorded_calls import Call, Interrupt, interrupting, refuse
from tests.support.template import source

CARD, KEY = "4111111111111111", "skey_test_planted"
ID = r"[0-9a-f-]{36}"
NONSENSE = refused_letter("InvalidNotification", "body: expected a JSON object", {"body": "nonsense"})
ASLEEP = TimeoutError("the table is asleep")
IDS = f"chargeId={CHARGE} notificationId={NOTIFICATION}"
Print = pytest.CaptureFixture[str]


def lines(capsys: Print) -> list[str]:
    """What was printed, without the message ids."""
    return re.sub(rf" messageId={ID}", "", capsys.readouterr().out).splitlines()


# --- list ---


def test_each_letter_and_who_drains_its_queue_is_listed(deployed: Deployed, capsys: Print) -> None:
    """From where, which kind, of whom, how old, why; and what is hidden until its next try is counted."""
    deployed.put_each_kind()
    assert deployed.run("dead-letters", "list") == 0
    event = json.loads(NONSENSE["MessageBody"])["requestPayload"]
    assert event == {"body": "nonsense"}
    retry, refused, of_refused, failed, of_failed = lines(capsys)
    assert retry == (
        "RetryQueue: 0 to look at, 1 hidden.  It drains by itself: each letter is delivered again every 12 min."
    )
    assert re.fullmatch(
        r"RefusedQueue  on-failure  notificationId=[0-9a-f]{64}  1 min old"
        r"  InvalidNotification: body: expected a JSON object",
        refused,
    )
    assert of_refused.startswith("RefusedQueue: 1.  No retry helps: `followups dead-letters discard`, or")
    expected = f"FailureQueue  on-failure  {IDS}-2 orderId={ORDER} checksum=unchecked  1 min old  TimeoutError: "
    assert failed == f"{expected}the table is asleep"
    assert of_failed.startswith("FailureQueue: 1.  Nothing tries again: `followups dead-letters redrive`")


def test_list_is_bounded_and_says_how_many_there_are(deployed: Deployed, capsys: Print) -> None:
    """A stranger's nonsense may be without end: the rest is counted, not printed."""
    for _ in range(12):
        deployed.put(REFUSED, NONSENSE)
    assert deployed.run("dead-letters", "list", "--limit", "3") == 0
    said = lines(capsys)
    assert (len(said), deployed.hidden()) == (4, 0)
    assert said[-1].startswith("RefusedQueue: 3 of about 12.  No retry helps")


def test_list_moves_and_hides_nothing(deployed: Deployed) -> None:
    """Only received, and shown again."""
    deployed.put_each_kind()
    left = deployed.left()
    deployed.world.wire.calls.clear()
    deployed.run("dead-letters", "list")
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    assert set(deployed.world.wire.names()) == {
        "cloudformation.DescribeStacks",
        "sqs.GetQueueAttributes",
        "sqs.ReceiveMessage",
        "sqs.ChangeMessageVisibility",
    }


def test_json_lines_are_for_programs(deployed: Deployed, capsys: Print) -> None:
    """One object a letter, with the names of the record, and no payload."""
    deployed.put(FAILURE, notify_letter(error=ASLEEP))
    assert deployed.run("dead-letters", "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert re.fullmatch(ID, found.pop("messageId"))
    assert found == {
        "version": 1,
        "queue": FAILURE,
        "kind": "on-failure",
        "chargeId": CHARGE,
        "notificationId": NOTIFICATION,
        "orderId": ORDER,
        "checksumStatus": "unchecked",
        "sentAt": "2026-11-22T09:30:17.250000Z",
        "error": "TimeoutError: the table is asleep",
        "result": "lies there",
        "text": "TimeoutError: the table is asleep",
    }


def test_more_letters_than_one_answer_holds(deployed: Deployed, capsys: Print) -> None:
    """SQS hands out ten at most; those that show again meanwhile are listed once, and go back once."""
    for number in range(1, 26):
        deployed.put(FAILURE, notify_letter(notification(number)))
    assert deployed.run("dead-letters", "list") == 0
    assert len(set(lines(capsys)[:-1])) == 25
    deployed.world.wire.before["sqs.ReceiveMessage"] = lambda _call: deployed.show_again()
    assert deployed.run("dead-letters", "list") == 0
    found = lines(capsys)
    assert len(found) == len(set(found)) > 10
    del deployed.world.wire.before["sqs.ReceiveMessage"]
    deployed.show_again()
    assert deployed.run("dead-letters", "redrive", "--yes") == 0
    assert deployed.left() == {}
    assert len(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")) == 25


def test_queue_may_be_chosen(deployed: Deployed, capsys: Print) -> None:
    """Only the named ones are looked into, whatever the case of their names; the retry queue is left to itself."""
    deployed.put_each_kind()
    deployed.run("dead-letters", "list", "--queue", FAILURE.lower())
    assert {line.split()[0].strip(":") for line in lines(capsys)} == {FAILURE}
    assert deployed.run("dead-letters", "redrive", "--yes", "--queue", FAILURE) == 0
    assert deployed.left() == {RETRY: 1, REFUSED: 1}
    for command in ("redrive", "discard"):
        assert deployed.run("dead-letters", command, "--queue", RETRY) == 2


def test_nothing_there_is_said_to_a_person_only(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets no line for nothing."""
    assert deployed.run("dead-letters", "list") == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("dead-letters", "list") == 0
    assert capsys.readouterr().out == "".join(f"{queue}: 0.\n" for queue in QUEUES)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["list", "redrive", "discard"])
def test_terminal_gets_a_table_that_fits(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, command: str, width: int
) -> None:
    """Queue, kind, age and the beginning of the message id; the ids one below the other; what it is about."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    deployed.put(REFUSED, notify_letter(error=ASLEEP))
    deployed.world.wait(60)
    assert deployed.run("dead-letters", command) == (command != "list")
    printed = unstyled(capsys.readouterr().out).splitlines()
    found = [line for line in printed if not line.startswith("Nothing was changed")]
    assert any(f"order {ORDER}" in line for line in found)
    assert any("on-failure, 1 min old" in line for line in found)
    assert any(re.search(r"^ +[0-9a-f]{8}  ", line) for line in found)
    assert max(map(len, (line for line in found if "Queue:" not in line))) <= width


# --- redrive ---


def test_letters_go_back_through_the_flow(deployed: Deployed, capsys: Print) -> None:
    """To the retry queue, and so to DelayedNotify: what can be saved is, and its queue is empty."""
    deployed.put(FAILURE, notify_letter(error=ASLEEP))
    deployed.put(REFUSED, refused_letter("ChecksumRejected", "checksum invalid", notification(2)))
    assert deployed.run("dead-letters", "redrive", "--yes") == 0
    assert deployed.left() == {}
    rows = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    assert sorted((row["notificationId"], row["passesDone"]) for row in rows) == [
        (NOTIFICATION, 1),
        (f"{NOTIFICATION}-2", 1),
    ]
    assert lines(capsys) == [
        f"RefusedQueue  on-failure  {IDS}-2 orderId={ORDER} checksum=invalid  0 s old  went back to the retry queue",
        f"FailureQueue  on-failure  {IDS} orderId={ORDER} checksum=unchecked  0 s old  went back to the retry queue",
        "Dead letters: 2, staying: 0.",
    ]


def test_letter_goes_back_as_it_was(deployed: Deployed) -> None:
    """What goes back is what was sent, else a notification without an id would be taken for another one."""
    letter = notify_letter(notification() | {"aNumber": 200.50, "text": "คำสั่ง"})
    deployed.put(FAILURE, letter)
    deployed.run("dead-letters", "redrive", "--yes")
    [sent] = deployed.world.wire.of("sqs.SendMessage")
    assert sent == {"QueueUrl": deployed.urls[RETRY], "MessageBody": letter["MessageBody"]}


def test_what_is_refused_again_is_said_and_not_sent_for_ever(deployed: Deployed, capsys: Print) -> None:
    """It comes back as a new message while the redrive still runs: once is enough, and the exit code is 1."""
    deployed.put(REFUSED, NONSENSE)
    deployed.put(FAILURE, timer_letter())
    deployed.world.wire.after["sqs.DeleteMessage"] = lambda _call: deployed.retry()
    assert deployed.run("dead-letters", "redrive", "--yes") == 1
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1}, 0)
    said = lines(capsys)
    assert said[1].endswith(
        "stays: refused again: InvalidNotification: body: expected a JSON object, or a form that says so"
    )
    assert said[-1].startswith("Dead letters: 3, staying: 1.  See the lines above, then redrive again")


@pytest.mark.parametrize("call", ["sqs.SendMessage", "sqs.DeleteMessage"])
def test_letter_that_cannot_be_moved_stays(deployed: Deployed, capsys: Print, call: str) -> None:
    """One that was sent and not deleted goes back once more without harm: the record knows which passes are done."""
    deployed.put(FAILURE, notify_letter())
    deployed.world.wire.before[call] = refuse("InternalError")
    assert deployed.run("dead-letters", "redrive", "--yes") == 1
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 1}, 0)
    assert "stays: An error occurred (InternalError)" in capsys.readouterr().out
    assert deployed.run("dead-letters", "redrive", "--yes") == 0
    assert deployed.left() == {}
    assert len(deployed.invoked(PROCESS)) == 1


def test_letter_whose_release_fails_is_not_lost(deployed: Deployed) -> None:
    """A letter that cannot be shown again at once does so by itself."""
    deployed.put(FAILURE, {"MessageBody": "{"})
    deployed.world.wire.before["sqs.ChangeMessageVisibility"] = refuse("InternalError")
    assert deployed.run("dead-letters", "redrive", "--yes") == 1
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 1}, 1)


def test_dry_run_changes_nothing(deployed: Deployed, capsys: Print) -> None:
    """--dry-run says what would go back and why it is there; no letter is moved or hidden."""
    deployed.put_each_kind()
    deployed.put(FAILURE, {"MessageBody": "{"})
    left = deployed.left()
    assert deployed.run("dead-letters", "redrive", "--dry-run") == 1
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    assert deployed.world.wire.of("sqs.SendMessage") == []
    said = lines(capsys)
    assert said[0].endswith("would go back to the retry queue; InvalidNotification: body: expected a JSON object")
    assert said[-2] == "Dead letters: 3, staying: 1."
    assert said[-1] == f"Nothing was changed. To do it:  followups dead-letters redrive --yes --stack {STACK}"


FOREIGN = {
    "no JSON": {"MessageBody": "{"},
    "endless brackets": {"MessageBody": "[" * 100_000},
    "no object": {"MessageBody": "[1]"},
    "a raw event": {"MessageBody": json.dumps(notification())},
    "another branch": notify_letter(function=arn("payment3-delayed-notify-prod")),
    "another function": notify_letter(function=arn("payment3-recheck-dev")),
    "another account": notify_letter(function=arn("payment3-delayed-notify-dev").replace(ACCOUNT, "999999999999")),
    "no ARN": notify_letter(function="payment3-delayed-notify-dev"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_message_stays_and_can_be_discarded(deployed: Deployed, capsys: Print, name: str) -> None:
    """What is no letter of this stack's is said, left, and makes the exit code 1."""
    deployed.put(REFUSED, FOREIGN[name])
    assert deployed.run("dead-letters", "redrive", "--yes") == 1
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1}, 0)
    said = capsys.readouterr().out
    expected = (
        f"is not DelayedNotify of stack {STACK}" if name.startswith(("another", "no ARN")) else "neither a record"
    )
    assert "stays: " in said
    assert expected in said
    assert deployed.run("dead-letters", "discard", "--yes") == 0
    assert deployed.left() == {}


def test_nothing_secret_is_printed(deployed: Deployed, capsys: Print) -> None:
    """Neither the payload, nor the card number or key that an error repeats, nor a terminal's control characters."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    deployed.put(FAILURE, notify_letter(event, error=ValueError(f"card {CARD}\n\x1b[2J {KEY} refused")))
    deployed.put(FAILURE, notify_letter({"body": event["body"][:-1]}))
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    deployed.put(REFUSED, refused_letter("ChecksumRejected", f"{CARD} {KEY}", event))
    for form in ((), ("--json",)):
        for command in (("list",), ("redrive", "--dry-run"), ("discard",)):
            deployed.run("dead-letters", *command, *form)
    said = capsys.readouterr()
    for secret in (CARD, KEY, "transaction_state", "\x1b"):
        assert secret not in said.out + said.err
    assert "ValueError: card [redacted] [2J [redacted] refused\n" in said.out
    assert "orderId=O[red]1 " in said.out


def test_letter_that_is_named_goes_back_at_once_and_the_rest_only_with_yes(deployed: Deployed, capsys: Print) -> None:
    """As a replay: one by its id, all after --yes, at most so many a second; what would go back is said, exit 1."""
    for number in (1, 2, 3):
        deployed.put(FAILURE, notify_letter(notification(number)))
    first = deployed.messages(FAILURE)[0].id
    assert deployed.run("dead-letters", "redrive") == 1
    assert lines(capsys)[-1].endswith(f"To do it:  followups dead-letters redrive --yes --stack {STACK}")
    assert deployed.left() == {FAILURE: 3}
    assert deployed.run("dead-letters", "redrive", "--queue", FAILURE, first[:8]) == 0
    assert deployed.left() == {FAILURE: 2}
    assert deployed.run("dead-letters", "redrive", first[:8]) == 1
    began = deployed.world.now
    assert deployed.run("dead-letters", "redrive", "--yes", "--rate", "0.1") == 0
    assert deployed.world.now - began >= timedelta(seconds=10)
    assert deployed.left() == {}


# --- show, export ---


def test_letter_is_shown_whole_with_its_event_masked(deployed: Deployed, capsys: Print) -> None:
    """Who has to judge a letter sees what is in it, without card data; nothing is moved."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","note":"seen","object"')
    deployed.put(FAILURE, notify_letter(event, error=ASLEEP))
    deployed.put(REFUSED, {"MessageBody": f"no JSON \x1b {CARD}"})
    for queue in (FAILURE, REFUSED):
        name = deployed.messages(queue)[0].id
        for form in ((), ("--json",)):
            assert deployed.run("dead-letters", "show", name[:8], *form) == 0
            said = capsys.readouterr().out
            assert (("seen" if queue == FAILURE else "no JSON") in said, CARD in said, "\x1b" in said) == (
                True,
                False,
                False,
            )
    assert deployed.run("dead-letters", "show", "00000000-no-such") == 1
    assert deployed.run("dead-letters", "export", "--queue", FAILURE) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["queue"], found["event"]["requestContext"]["requestId"]) == (FAILURE, NOTIFICATION)
    assert deployed.run("dead-letters", "export", "--queue", RETRY) == 1
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1, FAILURE: 1}, 0)


# --- discard ---


def test_one_letter_is_discarded_by_its_id(deployed: Deployed, capsys: Print) -> None:
    """The one nonsense POST goes, named as `list` shows it; what else is there stays."""
    for letter in (NONSENSE, notify_letter()):
        deployed.put(REFUSED, letter)
    deployed.run("dead-letters", "list", "--json")
    wanted, other = (json.loads(line)["messageId"] for line in capsys.readouterr().out.splitlines())
    assert deployed.run("dead-letters", "discard", "--yes", wanted[:8]) == 0
    assert [message.id for message in deployed.messages(REFUSED)] == [other]
    said = lines(capsys)
    assert said[0].endswith("InvalidNotification: body: expected a JSON object")
    assert said[-1] == "Letters: 1, deleted: 1."
    assert deployed.run("dead-letters", "discard", "--yes", wanted) == 1
    assert deployed.run("dead-letters", "discard", "--yes", wanted[:5]) == 2
    assert "at least 6 characters" in capsys.readouterr().err
    assert deployed.hidden() == 0


@pytest.mark.parametrize("answer", ["y", "n"])
def test_person_is_asked_before_letters_are_deleted(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """On a terminal; a no deletes nothing. Only the refused queue is meant, where no other is named."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    for queue in (REFUSED, FAILURE):
        deployed.put(queue, NONSENSE)
    assert deployed.run("dead-letters", "discard") == (answer == "n")
    assert deployed.left() == {FAILURE: 1} | ({REFUSED: 1} if answer == "n" else {})
    assert "Delete 1 of RefusedQueue for good? [y/N]" in unstyled(capsys.readouterr().out)


def test_nothing_is_deleted_without_an_answer(deployed: Deployed, capsys: Print) -> None:
    """In a pipe nobody can be asked: exit 1, and the command that deletes."""
    deployed.put(FAILURE, NONSENSE)
    assert deployed.run("dead-letters", "discard", "--queue", FAILURE) == 1
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 1}, 0)
    command = f"followups dead-letters discard --yes --queue=FailureQueue --stack {STACK}"
    assert lines(capsys)[1:] == [f"Nothing was changed. To do it:  {command}", "Letters: 1, deleted: 0."]
    assert deployed.run(*command.split()[1:]) == 0
    assert deployed.left() == {}


def test_letter_that_cannot_be_deleted_is_said(deployed: Deployed, capsys: Print) -> None:
    """The others are deleted all the same; exit 1."""
    for _ in range(2):
        deployed.put(REFUSED, NONSENSE)
    deployed.world.wire.before["sqs.DeleteMessage"] = refuse("InternalError")
    assert deployed.run("dead-letters", "discard", "--yes") == 1
    assert deployed.left() == {REFUSED: 1}
    said = lines(capsys)
    assert "could not be deleted: An error occurred (InternalError)" in said[2]
    assert said[-1] == "Letters: 2, deleted: 1."


class Terminal(io.StringIO):
    """Where a person types."""

    def isatty(self) -> bool:
        """Always."""
        return True


# --- interrupted anywhere ---

# A redrive of one letter of each queue.
CALLS = ["cloudformation.DescribeStacks"]
CALLS += 2 * ["sqs.ReceiveMessage", "sqs.SendMessage", "sqs.DeleteMessage", "sqs.ReceiveMessage"]


def each_waits(deployed: Deployed) -> None:
    """A letter in each queue that waits for a person."""
    deployed.put(REFUSED, notify_letter())
    deployed.put(FAILURE, notify_letter(notification(2)))
    deployed.world.wire.calls.clear()


def test_redrive_makes_these_calls(deployed: Deployed) -> None:
    """The test below interrupts at every one of them."""
    each_waits(deployed)
    deployed.run("dead-letters", "redrive", "--yes")
    assert [call.name for call in deployed.world.wire.calls if call.name in CALLS] == CALLS


@pytest.mark.no_cover  # measuring doubles its time, and what it goes through is measured elsewhere
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_interrupt_at_any_call_loses_nothing(deployed: Deployed, when: str, number: int) -> None:
    """Each letter is still in a queue, and a second redrive does the rest; no pass is run twice."""
    each_waits(deployed)
    deployed.world.wire.around = interrupting(lambda call: call.name in CALLS, number, when)
    with pytest.raises(Interrupt):
        deployed.run("dead-letters", "redrive", "--yes")
    deployed.world.wire.around = None
    assert sum(deployed.left().values()) >= 2
    deployed.show_again()
    assert deployed.run("dead-letters", "redrive", "--yes") == 0
    rows = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    assert (deployed.left(), [int(row["passesDone"]) for row in rows]) == ({}, [1, 1])
    assert len(deployed.invoked(PROCESS)) == 2


@pytest.mark.parametrize("command", [("list",), ("redrive", "--yes"), ("discard", "--yes")])
def test_ctrl_c_shows_the_letters_again_and_says_so(
    deployed: Deployed, capsys: Print, command: tuple[str, ...]
) -> None:
    """Whoever stops a command reads what it means; nobody has to wait for the letters."""
    each_waits(deployed)
    calls: list[Call] = []

    def press(call: Call) -> None:
        calls.append(call)
        if call.name != "sqs.ReceiveMessage" or len(calls) == 2:
            raise KeyboardInterrupt

    for name in ("sqs.ReceiveMessage", "sqs.SendMessage", "sqs.DeleteMessage"):
        deployed.world.wire.before[name] = press
    assert deployed.run("dead-letters", *command) == 130
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1, FAILURE: 1}, 0)
    said = {"redrive": "What is not listed as gone back is where it was", "list": "Stopped; nothing was changed."}
    assert said.get(command[0], "Stopped") in capsys.readouterr().err


# --- the stack and the clients ---


@pytest.mark.usefixtures("deployed")
def test_invocation_is_never_sent_twice_and_waits_for_the_longest_function() -> None:
    """Botocore's own retry would run Recheck again; its default patience of 60 s is shorter than Recheck may take."""
    config: Any = Stack(STACK).functions.meta.config
    limits = source()["Mappings"]["PassLimit"].values()
    assert config.retries["total_max_attempts"] == 1
    assert config.read_timeout > max(int(limit["FunctionTimeout"]) for limit in limits)
