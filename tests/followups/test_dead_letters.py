"""`followups dead-letters` lists the messages of the queues, and sends them back or deletes them."""

import json
import re
from datetime import timedelta
from functools import partial
from unittest.mock import Mock

import pytest

from followups.stack import FAILURE, QUEUES, REFUSED, RETRY
from local.emulator import ACCOUNT
from tests.followups.conftest import Followups, Patch, Printed
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import STACK, Deployed, arn, notification, notify_letter, refused_letter, timer_letter
from tests.support.recorded_calls import refuse

CARD, KEY = "4111111111111111", "skey_test_planted"
REASON = "InvalidNotification: body: expected a JSON object"
NONSENSE = refused_letter("InvalidNotification", "body: expected a JSON object", {"body": "nonsense"})
ASLEEP = TimeoutError("the table is asleep")
IDS = f"charge {CHARGE} notification {NOTIFICATION}"


def without_ids(printed: Printed) -> list[str]:
    """The printed lines without the message ids."""
    return re.sub(r" [0-9a-f]{8}(?=  )", "", printed.out).splitlines()


def test_list_shows_each_letter_and_what_drains_its_queue(deployed: Deployed, followups: Followups) -> None:
    """Queue, kind, ids, age and reason; hidden messages are counted; nothing is moved; a terminal names each queue."""
    assert followups("dead-letters", "list").out == ""
    assert followups.in_terminal("dead-letters", "list").out == "".join(f"{queue}: empty.\n" for queue in QUEUES)
    deployed.put_each_kind()
    left = deployed.left()
    deployed.world.wire.calls.clear()
    retry, refused, of_refused, failed, of_failed = without_ids(followups("dead-letters", "list"))
    drains = "It drains by itself: each letter is delivered again every 12 to 15 minutes."
    assert retry == f"RetryQueue: 1 in all, 0 printed.  {drains}"
    assert re.fullmatch(rf"RefusedQueue on-failure  notification [0-9a-f]{{64}} 1 min old  {REASON}", refused)
    discard, redrive = (f"`followups dead-letters {word} --stack {STACK}`" for word in ("discard", "redrive"))
    assert of_refused.startswith(f"RefusedQueue: 1 in all, 1 printed.  No retry helps: {discard}, or {redrive} once")
    about = f"{IDS}-2 order {ORDER} 1 min old"
    assert failed == f"FailureQueue on-failure  {about}  TimeoutError: the table is asleep"
    assert of_failed.startswith(f"FailureQueue: 1 in all, 1 printed.  Nothing tries again: {redrive} once")
    assert (deployed.left(), deployed.hidden()) == (left, 0)
    calls = {"sqs.GetQueueAttributes", "sqs.ReceiveMessage", "sqs.ChangeMessageVisibility"}
    assert {*deployed.world.wire.names()} == calls | {"cloudformation.DescribeStacks"}
    lines = followups("dead-letters", "list", "--queue", FAILURE.lower()).lines
    assert {line.split()[0].strip(":") for line in lines} == {FAILURE}


def test_json_lines_are_for_programs(deployed: Deployed, followups: Followups) -> None:
    """`list --json` prints an object for each letter; `export` adds the masked event; exit 1 without a letter."""
    followups("dead-letters", "export", code=1)
    deployed.put(FAILURE, notify_letter(error=ASLEEP))
    [found] = followups("dead-letters", "list", "--json").objects
    assert found.pop("messageId") == deployed.messages(FAILURE)[0].id
    about = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "error": f"TimeoutError: {ASLEEP}"}
    known = {"version": 1, "queue": FAILURE, "kind": "on-failure", "sentAt": "2026-11-22T09:30:17.250000Z", **about}
    assert found == {**known, "result": "waiting", "text": about["error"]}
    [exported] = followups("dead-letters", "export").objects
    assert known.items() <= exported.items()
    assert exported["event"]["requestContext"]["requestId"] == NOTIFICATION


def test_more_letters_than_one_answer_holds(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """SQS returns ten at most; one that is visible again meanwhile is listed and sent once; a long list is cut."""
    for number in range(1, 26):
        deployed.put(FAILURE, notify_letter(notification(number)))
    deployed.world.wire.before["sqs.ReceiveMessage"] = lambda _call: deployed.show_again()
    found = without_ids(followups("dead-letters", "list"))
    assert len(found) == len(set(found)) > 10
    del deployed.world.wire.before["sqs.ReceiveMessage"]
    monkeypatch.setattr("followups.dead_letters._MOST_LISTED", 3)
    lines = followups("dead-letters", "list").lines
    assert lines[3].startswith("FailureQueue: 25 in all, 3 printed.  Nothing tries again")
    assert (len(lines), deployed.hidden()) == (4, 0)
    followups("dead-letters", "redrive", "--yes")
    assert (deployed.left(), len(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE"))) == ({}, 25)


def test_nothing_secret_is_printed(deployed: Deployed, followups: Followups) -> None:
    """Payloads and errors are masked, and no control character is printed."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","note":"seen","object"')
    deployed.put(FAILURE, notify_letter(event, error=ValueError(f"card {CARD}\n\x1b[2J {KEY} refused")))
    deployed.put(FAILURE, notify_letter({"body": event["body"][:-1]}))
    deployed.put(REFUSED, {"MessageBody": f"no JSON \x1b {CARD}"})
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    deployed.put(REFUSED, refused_letter("ChecksumRejected", f"{CARD} {KEY}", event))
    left, printed = deployed.left(), ""
    for command in ("list", "redrive --dry-run", "discard --dry-run", "show", "export"):
        code = int(command.startswith("redrive"))
        for run in (followups, followups.in_terminal):
            printed += run("dead-letters", *command.split(), code=code).out
        printed += followups("dead-letters", *command.split(), "--json", code=code).out
    assert not any(secret in printed for secret in (CARD, KEY, "\x1b"))
    shown = ("order O[red]1 ", "seen", "no JSON", "ValueError: card [redacted] [2J [redacted] refused\n")
    assert all(part in printed for part in shown)
    assert (deployed.left(), deployed.hidden()) == (left, 0)


def test_letters_go_back_through_the_flow(deployed: Deployed, followups: Followups) -> None:
    """Each goes byte for byte to the retry queue, and is saved; the queue that it was in is empty."""
    letter = notify_letter(notification() | {"aNumber": 200.50, "text": "คำสั่ง"}, ASLEEP)
    deployed.put(FAILURE, letter)
    deployed.put(REFUSED, refused_letter("ChecksumRejected", "checksum invalid", notification(2)))
    refused, failed, counted = without_ids(followups("dead-letters", "redrive", "--yes"))
    assert deployed.left() == {}
    sent = deployed.world.wire.of("sqs.SendMessage")[1]
    assert sent == {"QueueUrl": deployed.urls[RETRY], "MessageBody": letter["MessageBody"]}
    passes = {row["notificationId"]: row["passesDone"] for row in deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    assert passes == {NOTIFICATION: 1, f"{NOTIFICATION}-2": 1}
    line = f"on-failure  {IDS}-2 order {ORDER} 0 s old"
    assert refused == f"RefusedQueue {line}  sent; ChecksumRejected: checksum invalid"
    assert f"{failed}\n{counted}".endswith("0 s old  sent; TimeoutError: the table is asleep\n2 sent.")


def test_what_is_refused_again_is_sent_once(deployed: Deployed, followups: Followups) -> None:
    """A letter that comes back while the redrive runs is printed and kept: exit 1."""
    deployed.put(REFUSED, NONSENSE)
    deployed.put(FAILURE, timer_letter())
    deployed.world.wire.after["sqs.DeleteMessage"] = lambda _call: deployed.retry()
    lines = without_ids(followups("dead-letters", "redrive", "--yes", code=1))
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: 1}, 0)
    assert lines[1].endswith(f"kept: refused again: {REASON}, or a form that says so")
    assert lines[-2:] == ["2 sent, 1 kept.", "Remove the cause that is printed above, then run it again."]


@pytest.mark.parametrize(("name", "queues"), [("redrive", (REFUSED, FAILURE)), ("discard", (REFUSED,))])
def test_nothing_is_moved_unasked(deployed: Deployed, followups: Followups, name: str, queues: tuple[str, ...]) -> None:
    """A dry run, a pipe and the answer `n` print the plan and the command, and change nothing."""
    for number, queue in enumerate((FAILURE, REFUSED, REFUSED), 1):
        deployed.put(queue, notify_letter(notification(number)))
    words, typed, count = ("dead-letters", name), partial(followups.in_terminal, "dead-letters", name), 1 + len(queues)
    command = f"dead-letters {name} --yes {' '.join(f'--queue={queue}' for queue in queues)} --stack {STACK}"
    for printed in (followups(*words, "--dry-run"), followups(*words, code=1), typed(typed="n\n", code=1)):
        assert f"{count} planned.\n" in printed.out
        assert f"Nothing was changed. To do it:  followups {command}\n" in printed.out
    assert (deployed.left(), deployed.hidden()) == ({FAILURE: 1, REFUSED: 2}, 0)
    assert f"{name.capitalize()} {count}? [y/N]" in typed(typed="y\n").out
    assert sum(deployed.left().values()) == 3 - count


def test_letters_are_named_by_their_ids_and_sent_at_a_rate(deployed: Deployed, followups: Followups) -> None:
    """Six characters of an id are enough; an unknown one is exit 1. --rate bounds how many are sent in a second."""
    deployed.put(REFUSED, NONSENSE)
    for number in (1, 2, 3):
        deployed.put(FAILURE, notify_letter(notification(number)))
    nonsense, first = deployed.messages(REFUSED)[0].id, deployed.messages(FAILURE)[0].id
    followups("dead-letters", "redrive", first[:8])
    assert deployed.left() == {REFUSED: 1, FAILURE: 2}
    assert "Nothing to redrive" in followups("dead-letters", "redrive", first[:8], code=1).out
    hint = f"or it is hidden for some minutes. To list them:  followups dead-letters list --stack {STACK}\n"
    assert followups("dead-letters", "show", first, code=1).err == f"There is no such message, {hint}"
    assert followups("dead-letters", "discard", "--yes", nonsense[:8]).out.endswith(f"deleted; {REASON}\n")
    assert "at least 6 characters" in followups("dead-letters", "discard", "--yes", first[:5], code=2).err
    began = deployed.world.now
    followups("dead-letters", "redrive", "--yes", "--rate", "0.1")
    assert timedelta(seconds=10) <= deployed.world.now - began < timedelta(seconds=11)
    assert deployed.left() == {}
    followups("dead-letters", "redrive", "--queue", RETRY, code=2)  # these letters are tried again by themselves


def test_foreign_messages_are_kept_and_can_be_discarded(deployed: Deployed, followups: Followups) -> None:
    """Messages that this stack did not send are listed with the reason and left, exit 1."""
    unknown = ["{", "[" * 100_000, "[1]", json.dumps(notification())]
    account = arn("payment3-delayed-notify-dev").replace(ACCOUNT, "999999999999")
    others = [arn("payment3-delayed-notify-prod"), account, "payment3-delayed-notify-dev"]
    messages = [{"MessageBody": body} for body in unknown] + [notify_letter(function=name) for name in others]
    for message in messages:
        deployed.put(REFUSED, message)
    *lines, _, _ = followups("dead-letters", "redrive", "--yes", code=1).lines
    assert (deployed.left(), deployed.hidden()) == ({REFUSED: len(messages)}, 0)
    assert all("kept: neither a record" in line for line in lines[: len(unknown)])
    assert all(re.search(f"kept: .* is not DelayedNotify of stack {STACK}", line) for line in lines[len(unknown) :])
    followups("dead-letters", "discard", "--yes")
    assert deployed.left() == {}


def test_what_another_run_holds_is_reported(deployed: Deployed, followups: Followups) -> None:
    """A queue whose messages are hidden, for up to 5 minutes, is not taken for empty: exit 1."""
    deployed.put(REFUSED, NONSENSE)
    deployed.world.wire.before["sqs.ChangeMessageVisibility"] = refuse("InternalError")
    followups("dead-letters", "list")  # cannot let go of it
    expected = "1 cannot be read: messages that another run has just read are hidden for up to 5 minutes.\n"
    for words in ("redrive --yes", "discard --dry-run", "discard 1f0c5a55"):
        assert followups("dead-letters", *words.split(), code=1).out == expected


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["ReceiveMessage", "SendMessage", "DeleteMessage"])
def test_ctrl_c_loses_no_letter(deployed: Deployed, followups: Followups, call: str, when: str) -> None:
    """Exit 130, and no letter stays hidden; a second redrive does the rest and runs no pass twice."""
    deployed.put(REFUSED, notify_letter())
    hooks = getattr(deployed.world.wire, when)
    hooks[f"sqs.{call}"] = Mock(side_effect=KeyboardInterrupt)
    assert "unchanged or under way" in followups("dead-letters", "redrive", "--yes", code=130).err
    assert deployed.hidden() == int((call, when) == ("ReceiveMessage", "after"))  # which shows again by itself
    deployed.show_again()
    del hooks[f"sqs.{call}"]
    followups("dead-letters", "redrive", "--yes")
    assert (deployed.left(), deployed.world.record()["passesDone"]) == ({}, 1)
    assert len(deployed.invoked("process-paid-order-dev")) == 1
