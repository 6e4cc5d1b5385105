"""`followups show`: "this customer paid, where is the order?" in one command."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, Deployed, notification, unstyled
from tests.support.recorded_calls import payload, refuse

CARD, KEY = "4111111111111111", "skey_test_planted"
Print = pytest.CaptureFixture[str]


@pytest.mark.parametrize("word", [ORDER, CHARGE, NOTIFICATION])
def test_story_is_found_by_any_id(deployed: Deployed, capsys: Print, word: str) -> None:
    """Whose it is, its status and checksum, and a line for each thing that is known, in order of time."""
    deployed.world.deliver()
    deployed.world.wait(17)
    assert deployed.run("show", word) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Order {ORDER}: waiting, passes completed: 1, checksum valid"
    assert lines[1] == f"charge {CHARGE}, notification {NOTIFICATION}"
    assert lines[2] == "2026-11-22T09:30:17.250000Z  received  status success, state Authorized, 200.50 THB"
    assert [line.split("  ")[1] for line in lines[2:]] == [
        "received",
        "checksum",
        "pass 1",
        "schedule",
        "waits",
        "next",
    ]
    assert lines[-2] == "-  waits  for pass 2 of 2, due at 09:31:18 UTC, in 44 s"


def test_each_notification_of_the_order_is_shown(deployed: Deployed, capsys: Print) -> None:
    """Oldest first, an empty line between them."""
    for number in (1, 2):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    assert deployed.run("show", ORDER) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert f"notification {NOTIFICATION}\n" in first
    assert f"notification {NOTIFICATION}-2\n" in second


def test_nothing_found_says_where_to_look(deployed: Deployed, capsys: Print) -> None:
    """Exit 1: what could not be saved can only be in a queue, and the command leads to the same stack."""
    assert deployed.run("show", "ORDER-9", "--region", "ap-southeast-1") == 1
    assert capsys.readouterr().out == (
        "ORDER-9: no notification was saved in stack payment3-follow-up-dev.\n"
        "Check the id and the stack. What is done is found by its whole order or charge id alone; what could\n"
        "not be saved is in a queue:\n"
        "    followups dead-letters list --stack payment3-follow-up-dev --region ap-southeast-1\n"
    )
    assert deployed.run("--json", "show", "ORDER-9") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["notifications"] == []
    assert "no notification was saved" in said.err


def test_json_has_the_records_names(deployed: Deployed, capsys: Print) -> None:
    """One document: the record as it is named in the table, money as text, times in UTC, and the timeline."""
    deployed.world.deliver()
    assert deployed.run("show", ORDER, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["stack"], found["asked"], found["more"]) == ("payment3-follow-up-dev", ORDER, False)
    [one] = found["notifications"]
    assert (one["chargeId"], one["notificationId"], one["orderId"]) == (CHARGE, NOTIFICATION, ORDER)
    assert (one["state"], one["status"], one["passesDone"]) == ("PENDING", "waiting", 1)
    assert Decimal(one["amount"]) == Decimal("200.5")
    assert [(done["number"], done["attempt"]) for done in one["passes"]] == [(1, 1)]
    assert one["timeline"][0] == {
        "at": "2026-11-22T09:30:17.250000Z",
        "what": "received",
        "text": "status success, state Authorized, 200.50 THB",
        "level": "info",
    }
    assert one["timeline"][-2]["at"] is None
    assert "body" not in one


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_nothing_secret_is_printed(deployed: Deployed, capsys: Print, form: tuple[str, ...]) -> None:
    """Neither of the body nor of what ProcessPaidOrder answered or failed with, nor what a terminal would obey."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    deployed.functions[PROCESS] = lambda _call: payload({"error": f"card {CARD} {KEY}"}, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver(event)
    table = deployed.world.table("CREDIT_CARD_NOTIFY_TABLE")
    table.update_item(
        Key={"chargeId": CHARGE, "notificationId": NOTIFICATION},
        UpdateExpression="SET lastError = :error",
        ExpressionAttributeValues={":error": f"a [bold]{CARD}\n{KEY}"},
    )
    deployed.functions[PROCESS] = lambda _call: payload({"card": CARD, "key": KEY})
    deployed.world.wait(61)
    deployed.world.recheck(1)
    assert deployed.run("show", CHARGE, *form) == 0
    said = capsys.readouterr().out
    assert not any(secret in said for secret in (CARD, KEY, "\x1b"))
    assert "[redacted]" in said
    assert "a [bold][redacted]" in said
    assert "O[red]1" in said


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_gets_a_table_that_fits(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A head, a column of times, one of words, and texts that wrap; nothing is wider than the terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    deployed.world.deliver()
    assert deployed.run("show", ORDER) == 0
    lines = unstyled(capsys.readouterr().out).splitlines()
    assert max(map(len, lines[2:])) <= width
    assert any(line.startswith("2026-11-22 09:30:17   received    status success") for line in lines)


def test_colours_are_for_terminals_and_may_be_refused(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None in a pipe, none with NO_COLOR, green and red on a terminal."""
    deployed.world.deliver()
    deployed.run("show", ORDER)
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    deployed.run("show", ORDER)
    assert "\x1b[32mpass 1" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    deployed.run("show", ORDER)
    assert "\x1b[32m" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "says"),
    [("scheduler.GetSchedule", "-  schedule  unknown"), ("dynamodb.BatchGetItem", "-  error  unknown")],
)
def test_what_may_not_be_read_is_a_line_of_the_story(deployed: Deployed, capsys: Print, call: str, says: str) -> None:
    """The record is the truth and needs neither the timer nor the error log: exit 0."""
    deployed.world.deliver()
    refused = refuse("AccessDeniedException", times=9)
    own = {"payment3-credit-card-notify-dev"}
    deployed.world.wire.before[call] = lambda c: None if c.request.get("RequestItems", {}).keys() == own else refused(c)
    assert deployed.run("show", ORDER) == 0
    assert f"{says}, since it could not be asked for: " in capsys.readouterr().out


@pytest.mark.parametrize("word", [ORDER, CHARGE])
def test_many_notifications_are_cut_and_the_proved_are_shown(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """A stranger's notifications of one order or charge: few stories, the proved one among them, and a line says so."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 30)
    monkeypatch.setattr("followups.tables.MOST_SHOWN", 3)
    for number in range(40 if word == CHARGE else 25):
        deployed.put_waiting(f"f{number}", 9 - number / 10, checksumStatus="invalid")
    deployed.put_waiting("zz-paid", 60)
    assert deployed.run("show", word) == 0
    said = capsys.readouterr()
    assert [line.split()[-1] for line in said.out.splitlines() if line.startswith("Order ")] == ["valid"] + 2 * [
        "invalid"
    ]
    assert said.err == "There are more than these 3: the proved and the latest of what was read are shown.\n"
    assert deployed.run("show", word, "--json") == 0
    assert json.loads(capsys.readouterr().out)["more"]


def test_row_of_another_function_is_said_to_be_one(deployed: Deployed, capsys: Print) -> None:
    """A table shared with Notify holds rows without passes: they are said to be what they are, beside ours."""
    deployed.world.deliver()
    row = {"chargeId": CHARGE, "notificationId": "notify-1", "orderId": ORDER, "note": "notify"}
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    assert deployed.run("show", ORDER) == 0
    said = capsys.readouterr().out
    assert f"Order {ORDER}: another function's row\n" in said
    assert "by another function, which shares the table: it has no passes here" in said
    assert f"Order {ORDER}: waiting, passes completed: 1, checksum valid\n" in said


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"passesDone": None}, "passesDone: expected a whole number"),
        ({"passes": [{"number": 1}]}, "passes: KeyError: 'attempt'"),
        ({"passes": ["one"]}, "passes: TypeError: "),
    ],
)
def test_record_that_another_hand_has_spoilt_is_shown_as_such(
    deployed: Deployed, capsys: Print, changes: dict[str, Any], fault: str
) -> None:
    """No traceback: what is wrong with it, for the person who corrects it."""
    deployed.put_waiting("n", **changes)
    for form in ((), ("--json",)):
        assert deployed.run("show", CHARGE, *form) == 0
        said = capsys.readouterr().out
        assert f"the record is not what `save` writes, correct it by hand: {fault}" in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"errorType": "StockError", "errorMessage": "no stock", "stackTrace": ["secret"]}, "StockError: no stock ("),
        (b"out of stock", "out of stock ("),
    ],
)
def test_what_process_paid_order_answered_is_printed(
    deployed: Deployed, capsys: Print, answer: object, says: str
) -> None:
    """Not only that it failed: of an error type and message, of anything else its text."""
    deployed.functions[PROCESS] = lambda _call: payload(answer, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver()
    assert deployed.run("show", ORDER) == 0
    assert f"; it answered {says}" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["ORDER-77", "chrg_wait", "delivery-of"])
def test_first_letters_find_what_waits_or_failed(deployed: Deployed, capsys: Print, word: str) -> None:
    """Six or more of any id; fewer find nothing."""
    deployed.put_waiting("delivery-of-7", chargeId="chrg_waits_7", orderId="ORDER-7700")
    deployed.put_failed("another", orderId="ORDER-8800")
    assert deployed.run("show", word) == 0
    assert capsys.readouterr().out.startswith("Order ORDER-7700: ")
    assert deployed.run("show", word[:5]) == 1


def test_command_to_paste_is_never_broken(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a narrow terminal's table it would be: it follows on a line of its own."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    deployed.put_failed("1")
    assert deployed.run("show", ORDER) == 0
    assert f"\n  followups replay --stack payment3-follow-up-dev -- {ORDER}\n" in unstyled(capsys.readouterr().out)


def test_person_sees_local_times_beside_utc(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, in the zone that is asked for; a zone that does not exist is said."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    deployed.world.deliver()
    assert deployed.run("show", ORDER, "--tz", "Asia/Bangkok") == 0
    assert "16:30:17   2026-11-22 09:30:17   received" in unstyled(capsys.readouterr().out)
    assert deployed.run("show", ORDER, "--tz", "Asia/Nowhere") == 2
    assert "no such zone" in capsys.readouterr().err
