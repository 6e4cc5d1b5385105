"""`followups list`: what is overdue, failed, pending or done."""

import json

import pytest

from callback.clock import stamp
from tests.deployed import Deployed, notification, unstyled
from tests.test_notifications_queries import NOW, ended, waits
from tests.world import CHARGE, NOTIFICATION, ORDER

Print = pytest.CaptureFixture[str]


@pytest.fixture
def listed(deployed: Deployed) -> Deployed:
    """Some of each: number 1 is overdue by 7 minutes, 2 waits, 3 failed an hour ago, 4 is done since two."""
    waits(deployed, 1, 9)
    waits(deployed, 2, -1)
    ended(deployed, 3, 60, "FAILED")
    ended(deployed, 4, 120, "DONE")
    deployed.world.now = NOW
    return deployed


def charges(capsys: Print) -> list[str]:
    """Whose lines were printed."""
    return [line.split("chargeId=charge-")[1].split()[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["1", "3"]),
        (["--state", "overdue"], ["1"]),
        (["--state", "failed"], ["3"]),
        (["--state", "pending"], ["1", "2"]),
        (["--state", "done", "--state", "pending"], ["4", "1", "2"]),
        (["--state", "pending", "--until", "+30s"], ["1"]),
        (["--state", "done", "--since", "90m"], []),
        (["--state", "done", "--since", "3h", "--until", "2026-11-22T11:00"], ["4"]),
        (["--limit", "1"], ["1"]),
    ],
)
def test_state_and_times_choose(listed: Deployed, capsys: Print, options: list[str], found: list[str]) -> None:
    """Without --state: what needs somebody. Times are of when it is due or ended."""
    assert listed.run("list", *options) == 0
    assert charges(capsys) == found


def test_line_can_be_searched(deployed: Deployed, capsys: Print) -> None:
    """In a pipe: time, state, passes, each id by its name, and the last error, on one line."""
    deployed.world.deliver()
    assert deployed.run("list", "--state", "pending") == 0
    ids = f"chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
    assert capsys.readouterr().out == f"2026-11-22T09:31:17Z  PENDING  passes=1  {ids}\n"


def test_json_lines_have_the_records_names(listed: Deployed, capsys: Print) -> None:
    """One object a line, as the index has it."""
    assert listed.run("list", "--json", "--state", "failed") == 0
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["chargeId"], told["state"], told["passesDone"]) == ("charge-3", "FAILED", 1)
    assert told["endedAt"] == "2026-11-22T11:00:00.000000Z"


def test_last_error_is_shown_scrubbed(deployed: Deployed, capsys: Print) -> None:
    """Of what failed, why, without what is secret in it."""
    ended(deployed, 1, 1, "FAILED")
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").update_item(
        Key={"chargeId": "charge-1", "notificationId": "id-1"},
        UpdateExpression="SET lastError = :error",
        ExpressionAttributeValues={":error": "PassFailed: card 4111111111111111\nrefused"},
    )
    for form in ((), ("--json",)):
        deployed.run("list", *form)
        assert "PassFailed: card [redacted] refused" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_gets_a_table_with_the_whole_ids(
    listed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """It fits at 80 columns and has more at 120; one head, however many rows; what is overdue is called so."""
    for number in range(10, 170):
        waits(listed, number, 10)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    assert listed.run("list") == 0
    lines = unstyled(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("due or ended" in line for line in lines) == 1
    assert sum(ORDER in line for line in lines) == 162
    assert any("overdue" in line and "charge-1 " in line for line in lines)
    assert ("notification" in "".join(lines[:2])) == (width == 120)
    assert lines[-1] == "162 overdue or failed.  `followups show ORDER` tells more of one."


def test_terminal_is_told_of_nothing(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing overdue is good news, and said."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("list") == 0
    assert capsys.readouterr().out == "0 overdue or failed.\n"


@pytest.mark.parametrize("option", [("--since", "yesterday"), ("--limit", "0"), ("--state", "lost")])
def test_wrong_option_says_what_is_expected(deployed: Deployed, capsys: Print, option: tuple[str, str]) -> None:
    """Exit 2 and the option's name."""
    assert deployed.run("list", *option) == 2
    assert option[0] in capsys.readouterr().err


def test_done_one_shows_the_pass_it_ended_with(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits shows the pass that is missing."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    deployed.world.deliver(notification())
    deployed.world.wait(60)
    deployed.world.recheck()
    deployed.run("list", "--state", "done")
    assert f"{stamp(deployed.world.now)[:10]} 09:31:17   DONE      2 " in capsys.readouterr().out
