"""`followups show`: "this customer paid, where is the order?" in one command."""

from decimal import Decimal
from typing import Any

import pytest

from tests.followups.conftest import Followups
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, Deployed, notification
from tests.support.recorded_calls import payload, refuse

CARD, KEY = "4111111111111111", "skey_test_planted"
pytestmark = pytest.mark.usefixtures("few_shards")


@pytest.mark.parametrize("word", [ORDER, CHARGE, NOTIFICATION])
def test_any_id_shows_what_became_of_it(deployed: Deployed, followups: Followups, word: str) -> None:
    """Ids, status and checksum, and a line for each thing that is known, in order of time."""
    deployed.world.deliver()
    deployed.world.wait(17)
    lines = followups("show", word).lines
    assert lines[0] == f"Order {ORDER}: waiting, passes completed: 1, checksum valid"
    assert lines[1] == f"charge {CHARGE}, notification {NOTIFICATION}"
    assert lines[2] == "2026-11-22T09:30:17.250000Z  received  status success, state Authorized, 200.50 THB"
    whats = [line.split("  ")[1] for line in lines[2:]]
    assert whats == ["received", "checksum", "pass 1", "schedule", "waits", "next"]
    assert lines[-2] == "-  waits  for pass 2 of 2, due at 09:31:18 UTC, in 44 s"


@pytest.mark.parametrize("word", ["ORDER-77", "chrg_wait", "delivery-of"])
def test_first_letters_find_what_waits_or_failed(deployed: Deployed, followups: Followups, word: str) -> None:
    """Six or more of any id; fewer find nothing."""
    deployed.put_waiting("delivery-of-7", chargeId="chrg_waits_7", orderId="ORDER-7700")
    deployed.put_failed("another", orderId="ORDER-8800")
    assert followups("show", word).out.startswith("Order ORDER-7700: ")
    followups("show", word[:5], code=1)


def test_each_notification_of_the_order_is_shown(deployed: Deployed, followups: Followups) -> None:
    """Oldest first, an empty line between them; rows of another function's are named as such."""
    for number in (1, 2):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    row = {"chargeId": CHARGE, "notificationId": "notify-1", "orderId": ORDER, "note": "notify"}
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    other, first, second = followups("show", ORDER).out.split("\n\n")
    assert f"Order {ORDER}: another function's row\n" in other
    assert "by another function, which shares the table: it has no passes here" in other
    assert f"notification {NOTIFICATION}\n" in first
    assert f"notification {NOTIFICATION}-2\n" in second


def test_nothing_found_says_where_to_look(followups: Followups) -> None:
    """Exit 1: what could not be saved can only be in a queue of the same stack; with --json the advice is on stderr."""
    begins = "ORDER-9: no notification was saved in stack payment3-follow-up-dev.\n"
    ends = "\n    followups dead-letters list --stack payment3-follow-up-dev --region ap-southeast-1\n"
    words = ("show", "ORDER-9", "--region", "ap-southeast-1")
    advice = followups(*words, code=1).out
    assert advice.startswith(begins)
    assert advice.endswith(ends)
    said = followups("--json", *words, code=1)
    assert said.objects[0]["notifications"] == []
    assert said.err == advice


def test_json_has_the_records_names(deployed: Deployed, followups: Followups) -> None:
    """One document: the record as it is named in the table, money as text, times in UTC, and the timeline."""
    deployed.world.deliver()
    [found] = followups("show", ORDER, "--json").objects
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
def test_nothing_secret_is_printed(deployed: Deployed, followups: Followups, form: tuple[str, ...]) -> None:
    """Neither of the body nor of what ProcessPaidOrder answered or failed with, nor what a terminal would obey."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    deployed.functions[PROCESS] = lambda _call: payload({"error": f"card {CARD} {KEY}"}, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver(event)
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").update_item(
        Key={"chargeId": CHARGE, "notificationId": NOTIFICATION},
        UpdateExpression="SET lastError = :error",
        ExpressionAttributeValues={":error": f"a [bold]{CARD}\n{KEY}"},
    )
    deployed.functions[PROCESS] = lambda _call: payload({"card": CARD, "key": KEY})
    deployed.world.wait(61)
    deployed.world.recheck(1)
    said = followups("show", CHARGE, *form).out
    assert not any(secret in said for secret in (CARD, KEY, "\x1b"))
    assert all(shown in said for shown in ("[redacted]", "a [bold][redacted]", "O[red]1"))


@pytest.mark.parametrize("width", [60, 120])
def test_terminal_gets_a_table_that_fits(deployed: Deployed, followups: Followups, width: int) -> None:
    """Texts wrap; only the command to paste is never broken: it has a line of its own."""
    deployed.put_failed("1")
    shown = followups.in_terminal("show", ORDER, width=width).out
    command = f"\n  followups replay --stack payment3-follow-up-dev -- {ORDER}\n"
    assert command in shown
    assert "2026-11-22 08:29:17   received " in shown
    assert max(map(len, shown.replace(command, "\n").splitlines()[2:])) <= width


def test_terminal_shows_local_times_beside_utc(deployed: Deployed, followups: Followups) -> None:
    """In the zone that is asked for; exit 2 for one that does not exist."""
    deployed.world.deliver()
    shown = followups.in_terminal("show", ORDER, "--tz", "Asia/Bangkok").out
    assert "16:30:17   2026-11-22 09:30:17   received" in shown
    assert "no such zone" in followups.in_terminal("show", ORDER, "--tz", "Asia/Nowhere", code=2).err


def test_colours_are_for_terminals_and_may_be_refused(
    deployed: Deployed, followups: Followups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None in a pipe, none with NO_COLOR, green for what went well on a terminal."""
    deployed.world.deliver()
    assert "\x1b" not in followups("show", ORDER).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32mpass 1" in followups("show", ORDER).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in followups("show", ORDER).out


@pytest.mark.parametrize(
    ("call", "says"),
    [("scheduler.GetSchedule", "-  schedule  unknown"), ("dynamodb.BatchGetItem", "-  error  unknown")],
)
def test_what_may_not_be_read_is_a_line(deployed: Deployed, followups: Followups, call: str, says: str) -> None:
    """The record is the truth and needs neither the timer nor the error log: exit 0."""
    deployed.world.deliver()
    refused = refuse("AccessDeniedException", times=9)
    own = {"payment3-credit-card-notify-dev"}
    deployed.world.wire.before[call] = lambda c: None if c.request.get("RequestItems", {}).keys() == own else refused(c)
    assert f"{says}, since it could not be asked for: " in followups("show", ORDER).out


@pytest.mark.parametrize("word", [ORDER, CHARGE])
def test_many_notifications_are_cut_and_the_proved_are_shown(
    deployed: Deployed, followups: Followups, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """However many a stranger sent of one order or charge, the proved one is shown, and `show` says there are more."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 10)
    monkeypatch.setattr("followups.tables.MOST_SHOWN", 3)
    for number in range(15 if word == CHARGE else 8):
        deployed.put_waiting(f"f{number}", 9 - number / 10, checksumStatus="invalid")
    deployed.put_waiting("zz-paid", 60)
    said = followups("show", word)
    verdicts = [line.split()[-1] for line in said.lines if line.startswith("Order ")]
    assert verdicts == ["valid", "invalid", "invalid"]
    assert said.err == "There are more than these 3: the proved and the latest that were read are shown.\n"
    assert followups("show", word, "--json").objects[0]["more"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"passesDone": None}, "passesDone: expected a whole number"),
        ({"passes": [{"number": 1}]}, "passes: KeyError: 'attempt'"),
        ({"passes": ["one"]}, "passes: TypeError: "),
    ],
)
def test_spoilt_record_is_shown_with_its_fault(
    deployed: Deployed, followups: Followups, changes: dict[str, Any], fault: str
) -> None:
    """No traceback: what is wrong with it, for the person who corrects it."""
    deployed.put_waiting("n", **changes)
    for form in ((), ("--json",)):
        said = followups("show", CHARGE, *form).out
        assert f"the record is not what `save` writes, correct it by hand: {fault}" in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"errorType": "StockError", "errorMessage": "no stock", "stackTrace": ["secret"]}, "StockError: no stock"),
        (b"out of stock", "out of stock"),
    ],
)
def test_cause_that_process_paid_order_gave_is_shown(
    deployed: Deployed, followups: Followups, answer: object, says: str
) -> None:
    """Not only that it failed, but what it answered, JSON or not, without its stack trace."""
    deployed.functions[PROCESS] = lambda _call: payload(answer, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver()
    said = followups("show", ORDER).out
    assert f"; it answered {says}" in said
    assert "secret" not in said
