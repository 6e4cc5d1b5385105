"""`followups dead-letters`: what is in the queues, the way back through the real flow, and the way out."""

import json
import re
from datetime import timedelta

import pytest

from followups.stack import FAILURE, QUEUES, REFUSED, RETRY
from local.emulator import ACCOUNT
from tests.followups.conftest import Followups, Printed
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
)
from tests.support.recorded_calls import Call, Interrupt, interrupting, refuse

CARD, KEY = "4111111111111111", "skey_test_planted"
ID = r"[0-9a-f-]{36}"
REASON = "InvalidNotification: body: expected a JSON object"
NONSENSE = refused_letter("InvalidNotification", "body: expected a JSON object", {"body": "nonsense"})
ASLEEP = TimeoutError("the table is asleep")
IDS = f"chargeId={CHARGE} notificationId={NOTIFICATION}"


def without_ids(said: Printed) -> list[str]:
    """The lines that were printed, without the message ids."""
    return re.sub(rf" messageId={ID}", "", said.out).splitlines()


# --- list, show, export ---


def test_list_shows_each_letter_and_what_drains_its_queue(deployed: Deployed, followups: Followups) -> None:
    """Queue, kind, ids, age, reason; what is hidden until its next try is counted; nothing is moved or hidden."""
    deployed.put_each_kind()
    left = deployed.left()
    deployed.world.wire.calls.clear()
    retry, refused, of_refused, failed, of_failed = without_ids(followups("dead-letters", "list"))
    assert (
        retry == "RetryQueue: 0 visible, 1 hidden.  It drains by itself: each letter is delivered again every 12 min."
    )
    assert re.fullmatch(rf"RefusedQueue  on-failure  notificationId=[0-9a-f]{{64}}  1 min old  {REASON}", refused)
    assert of_refused.startswith("RefusedQueue: 1.  No retry helps: `followups dead-letters discard`, or")
    about = f"{IDS}-2 orderId={ORDER} checksum=unchecked  1 min old"
    assert failed == f"FailureQueue  on-failure  {about}  TimeoutError: the table is asleep"
    assert of_failed.startswith("FailureQueue: 1.  Nothing tries again: `followups dead-letters redrive`")
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    calls = "GetQueueAttributes ReceiveMessage ChangeMessageVisibility"
    assert {*deployed.world.wire.names()} == {"cloudformation.DescribeStacks", *(f"sqs.{c}" for c in calls.split())}
    lines = followups("dead-letters", "list", "--queue", FAILURE.lower()).lines
    assert {line.split()[0].strip(":") for line in lines} == {FAILURE}


def test_json_lines_are_for_programs(deployed: Deployed, followups: Followups) -> None:
    """One object for each letter, with the record's names; `export` adds the masked event, exit 1 if there is none."""
    followups("dead-letters", "export", code=1)
    deployed.put(FAILURE, notify_letter(error=ASLEEP))
    [found] = followups("dead-letters", "list", "--json").objects
    assert re.fullmatch(ID, found.pop("messageId"))
    why = "TimeoutError: the table is asleep"
    about = {"checksumStatus": "unchecked", "sentAt": "2026-11-22T09:30:17.250000Z", "error": why}
    ids = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    known = {"version": 1, "queue": FAILURE, "kind": "on-failure", **ids, **about}
    assert found == {**known, "result": "waiting", "text": why}
    [exported] = followups("dead-letters", "export").objects
    assert known.items() <= exported.items()
    assert exported["event"]["requestContext"]["requestId"] == NOTIFICATION


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_letter_is_shown_whole_with_its_event_masked(
    deployed: Deployed, followups: Followups, form: tuple[str, ...]
) -> None:
    """The operator sees what is in a letter, without card data; nothing is moved; exit 1 for one that is not there."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","note":"seen","object"')
    deployed.put(FAILURE, notify_letter(event, error=ASLEEP))
    deployed.put(REFUSED, {"MessageBody": f"no JSON \x1b {CARD}"})
    for queue, shown in ((FAILURE, "seen"), (REFUSED, "no JSON")):
        said = followups("dead-letters", "show", deployed.messages(queue)[0].id[:8], *form).out
        assert shown in said
        assert not any(hidden in said for hidden in (CARD, "\x1b"))
    followups("dead-letters", "show", "00000000-no-such", code=1)
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1, FAILURE: 1}, 0)


def test_more_letters_than_one_answer_holds(deployed: Deployed, followups: Followups) -> None:
    """SQS returns ten at most; those that show again meanwhile are listed and sent once; --limit prints some."""
    for number in range(1, 26):
        deployed.put(FAILURE, notify_letter(notification(number)))
    assert len(set(without_ids(followups("dead-letters", "list"))[:-1])) == 25
    lines = followups("dead-letters", "list", "--limit", "3").lines
    assert lines[3].startswith("FailureQueue: 3 of about 25.  Nothing tries again")
    assert (len(lines), deployed.hidden()) == (4, 0)
    deployed.world.wire.before["sqs.ReceiveMessage"] = lambda _call: deployed.show_again()
    found = without_ids(followups("dead-letters", "list"))
    assert len(found) == len(set(found)) > 10
    del deployed.world.wire.before["sqs.ReceiveMessage"]
    deployed.show_again()
    followups("dead-letters", "redrive", "--yes")
    assert deployed.left() == {}
    assert len(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")) == 25


def test_empty_queues_are_printed_for_people_only(followups: Followups) -> None:
    """A pipe gets no line for nothing."""
    assert followups("dead-letters", "list").out == ""
    assert followups.in_terminal("dead-letters", "list").out == "".join(f"{queue}: 0.\n" for queue in QUEUES)


@pytest.mark.parametrize(("command", "width"), [("list", 80), ("list", 120), ("redrive", 80), ("discard", 80)])
def test_terminal_gets_a_table_that_fits(deployed: Deployed, followups: Followups, command: str, width: int) -> None:
    """Queue, kind, age and the beginning of the message id; the ids one below the other; what it is about."""
    deployed.put(REFUSED, notify_letter(error=ASLEEP))
    deployed.world.wait(60)
    printed = followups.in_terminal("dead-letters", command, width=width, code=int(command != "list"))
    for part in (f"order {ORDER}", "on-failure, 1 min old ", r"\n +[0-9a-f]{8}  "):
        assert re.search(part, printed.out)
    assert max(len(line) for line in printed.lines if "Queue:" not in line and "To do it" not in line) <= width


# --- redrive ---


def test_letters_go_back_through_the_flow(deployed: Deployed, followups: Followups) -> None:
    """To the retry queue, byte for byte, and so to DelayedNotify: what can be saved is, and its queue is empty."""
    letter = notify_letter(notification() | {"aNumber": 200.50, "text": "คำสั่ง"}, ASLEEP)
    deployed.put(FAILURE, letter)
    deployed.put(REFUSED, refused_letter("ChecksumRejected", "checksum invalid", notification(2)))
    refused, failed, counted = without_ids(followups("dead-letters", "redrive", "--yes"))
    assert deployed.left() == {}
    sent = deployed.world.wire.of("sqs.SendMessage")[1]
    assert sent == {"QueueUrl": deployed.urls[RETRY], "MessageBody": letter["MessageBody"]}
    rows = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    passes = {row["notificationId"]: row["passesDone"] for row in rows}
    assert passes == {NOTIFICATION: 1, f"{NOTIFICATION}-2": 1}
    line = f"on-failure  {IDS}-2 orderId={ORDER} checksum=invalid  0 s old"
    assert refused == f"RefusedQueue  {line}  sent; ChecksumRejected: checksum invalid"
    assert failed.endswith("checksum=unchecked  0 s old  sent; TimeoutError: the table is asleep")
    assert counted == "2 sent."


def test_what_is_refused_again_is_sent_once(deployed: Deployed, followups: Followups) -> None:
    """It comes back as a new message while the redrive still runs: printed, left there, and exit 1."""
    deployed.put(REFUSED, NONSENSE)
    deployed.put(FAILURE, timer_letter())
    deployed.world.wire.after["sqs.DeleteMessage"] = lambda _call: deployed.retry()
    lines = without_ids(followups("dead-letters", "redrive", "--yes", code=1))
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1}, 0)
    assert lines[1].endswith(f"kept: refused again: {REASON}, or a form that says so")
    assert lines[-1] == "2 sent, 1 kept.  Remove the cause that is printed above, then run it again."


@pytest.mark.parametrize("call", ["SendMessage", "DeleteMessage", "ChangeMessageVisibility"])
def test_letter_that_cannot_be_moved_is_kept(deployed: Deployed, followups: Followups, call: str) -> None:
    """Exit 1; a second redrive does it, and runs no pass that is done; one that is hidden shows again by itself."""
    is_release = call == "ChangeMessageVisibility"
    deployed.put(FAILURE, {"MessageBody": "{"} if is_release else notify_letter())
    deployed.world.wire.before[f"sqs.{call}"] = refuse("InternalError")
    said = followups("dead-letters", "redrive", "--yes", code=1).out
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 1}, int(is_release))
    if not is_release:
        assert "kept: An error occurred (InternalError)" in said
        followups("dead-letters", "redrive", "--yes")
        assert deployed.left() == {}
        assert len(deployed.invoked(PROCESS)) == 1


def test_all_are_sent_only_with_yes(deployed: Deployed, followups: Followups) -> None:
    """A dry run, and no --yes, print a plan, why each is there, and the command; nothing is moved or hidden."""
    deployed.put_each_kind()
    left = deployed.left()
    for form, code in (["--dry-run"], 0), ([], 1):
        lines = without_ids(followups("dead-letters", "redrive", *form, code=code))
        assert lines[0].endswith(f"would be sent; {REASON}")
        command = f"followups dead-letters redrive --yes --stack {STACK}"
        assert lines[2:] == ["2 planned.", f"Nothing was changed. To do it:  {command}"]
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    assert deployed.world.wire.of("sqs.SendMessage") == []
    deployed.put(FAILURE, {"MessageBody": "{"})
    followups("dead-letters", "redrive", "--dry-run", code=1)


def test_named_letters_are_sent_at_once_and_others_at_a_rate(deployed: Deployed, followups: Followups) -> None:
    """One by its id, without --yes; all of a queue, at most so many a second; an id that is not there is exit 1."""
    deployed.put(REFUSED, NONSENSE)
    for number in (1, 2, 3):
        deployed.put(FAILURE, notify_letter(notification(number)))
    first = deployed.messages(FAILURE)[0].id
    followups("dead-letters", "redrive", "--queue", FAILURE, first[:8])
    assert deployed.left() == {REFUSED: 1, FAILURE: 2}
    assert "Nothing to redrive" in followups("dead-letters", "redrive", first[:8], code=1).out
    began = deployed.world.now
    followups("dead-letters", "redrive", "--yes", "--rate", "0.1", "--queue", FAILURE)
    assert deployed.world.now - began >= timedelta(seconds=10)
    assert deployed.left() == {REFUSED: 1}


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


def test_foreign_messages_are_kept_and_can_be_discarded(deployed: Deployed, followups: Followups) -> None:
    """Messages that this stack did not send are listed with the reason and left, exit 1."""
    for message in FOREIGN.values():
        deployed.put(REFUSED, message)
    *lines, _ = followups("dead-letters", "redrive", "--yes", code=1).lines
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: len(FOREIGN)}, 0)
    for name, line in zip(FOREIGN, lines, strict=True):
        named = name.startswith(("another", "no ARN"))
        expected = f"is not DelayedNotify of stack {STACK}" if named else "neither a record"
        assert re.search(f"kept: .*{expected}", line), name
    followups("dead-letters", "discard", "--yes")
    assert deployed.left() == {}


def test_nothing_secret_is_printed(deployed: Deployed, followups: Followups) -> None:
    """Neither payload, nor the card number or key that an error repeats, nor a terminal's control characters."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    deployed.put(FAILURE, notify_letter(event, error=ValueError(f"card {CARD}\n\x1b[2J {KEY} refused")))
    deployed.put(FAILURE, notify_letter({"body": event["body"][:-1]}))
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    deployed.put(REFUSED, refused_letter("ChecksumRejected", f"{CARD} {KEY}", event))
    printed = ""
    for form in ((), ("--json",)):
        for command in (("list",), ("redrive", "--dry-run"), ("discard",)):
            said = followups("dead-letters", *command, *form, code=int(command[0] == "discard"))
            printed += said.out + said.err
    assert not any(secret in printed for secret in (CARD, KEY, "transaction_state", "\x1b"))
    assert "ValueError: card [redacted] [2J [redacted] refused\n" in printed
    assert "orderId=O[red]1 " in printed


# --- discard ---


def test_one_letter_is_discarded_by_its_id(deployed: Deployed, followups: Followups) -> None:
    """The one nonsense POST goes, named as `list` shows it; what else is there remains."""
    for letter in (NONSENSE, notify_letter()):
        deployed.put(REFUSED, letter)
    wanted, other = (one["messageId"] for one in followups("dead-letters", "list", "--json").objects)
    [line] = followups("dead-letters", "discard", "--yes", wanted[:8]).lines
    assert [message.id for message in deployed.messages(REFUSED)] == [other]
    assert line.endswith(f"deleted; {REASON}")
    followups("dead-letters", "discard", "--yes", wanted, code=1)
    assert "at least 6 characters" in followups("dead-letters", "discard", "--yes", wanted[:5], code=2).err
    assert deployed.hidden() == 0
    for command in ("redrive", "discard"):  # what is tried again is left to itself
        followups("dead-letters", command, "--queue", RETRY, code=2)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_person_is_asked_before_letters_are_deleted(deployed: Deployed, followups: Followups, answer: str) -> None:
    """A no deletes nothing. Only the refused queue is meant, where no other is named."""
    for queue in (REFUSED, FAILURE):
        deployed.put(queue, NONSENSE)
    said = followups.in_terminal("dead-letters", "discard", code=int(answer == "n"), typed=f"{answer}\n")
    assert deployed.left() == {FAILURE: 1} | ({REFUSED: 1} if answer == "n" else {})
    assert "Delete 1 of RefusedQueue for good? [y/N]" in said.out


def test_nothing_is_deleted_without_an_answer(deployed: Deployed, followups: Followups) -> None:
    """A pipe cannot answer: exit 1, and the command that deletes; one that cannot be deleted is exit 1, too."""
    for _ in range(2):
        deployed.put(FAILURE, NONSENSE)
    lines = followups("dead-letters", "discard", "--queue", FAILURE, code=1).lines
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 2}, 0)
    command = f"followups dead-letters discard --yes --queue=FailureQueue --stack {STACK}"
    assert lines[2:] == ["2 planned.", f"Nothing was changed. To do it:  {command}"]
    deployed.world.wire.before["sqs.DeleteMessage"] = refuse("InternalError")
    lines = followups(*command.split()[1:], code=1).lines
    assert deployed.left() == {FAILURE: 1}
    assert "kept: An error occurred (InternalError)" in lines[0]
    assert lines[2].startswith("1 kept, 1 deleted.")


# --- interrupted anywhere ---

# A redrive of one letter of each queue.
CALLS = ["cloudformation.DescribeStacks"]
CALLS += 2 * ["sqs.ReceiveMessage", "sqs.SendMessage", "sqs.DeleteMessage", "sqs.ReceiveMessage"]


@pytest.fixture
def each(deployed: Deployed) -> Deployed:
    """A letter in each queue that waits for a person."""
    deployed.put(REFUSED, notify_letter())
    deployed.put(FAILURE, notify_letter(notification(2)))
    deployed.world.wire.calls.clear()
    return deployed


def test_redrive_makes_these_calls(each: Deployed, followups: Followups) -> None:
    """The test below interrupts at every one of them."""
    followups("dead-letters", "redrive", "--yes")
    assert [call.name for call in each.world.wire.calls if call.name in CALLS] == CALLS


@pytest.mark.no_cover  # measuring doubles its time, and what it goes through is measured elsewhere
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_interrupt_at_any_call_loses_nothing(each: Deployed, followups: Followups, when: str, number: int) -> None:
    """Each letter is still in a queue, and a second redrive does the rest; no pass is run twice."""
    each.world.wire.around = interrupting(lambda call: call.name in CALLS, number, when)
    with pytest.raises(Interrupt):
        each.run("dead-letters", "redrive", "--yes")
    each.world.wire.around = None
    assert sum(each.left().values()) >= 2
    each.show_again()
    followups("dead-letters", "redrive", "--yes")
    rows = each.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    assert (each.left(), [int(row["passesDone"]) for row in rows]) == ({}, [1, 1])
    assert len(each.invoked(PROCESS)) == 2


@pytest.mark.parametrize(
    ("command", "says"),
    [("list", "nothing was changed"), ("redrive --yes", "unchanged or under way"), ("discard --yes", "Stopped")],
)
def test_ctrl_c_shows_the_letters_again(each: Deployed, followups: Followups, command: str, says: str) -> None:
    """Exit 130 and what it means; nobody has to wait for the letters."""
    calls: list[Call] = []

    def press(call: Call) -> None:
        calls.append(call)
        if call.name != "sqs.ReceiveMessage" or len(calls) == 2:
            raise KeyboardInterrupt

    for name in ("sqs.ReceiveMessage", "sqs.SendMessage", "sqs.DeleteMessage"):
        each.world.wire.before[name] = press
    assert says in followups("dead-letters", *command.split(), code=130).err
    assert (each.left(), each.hidden()) == ({REFUSED: 1, FAILURE: 1}, 0)
