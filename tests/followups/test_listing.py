"""`followups list`: what waits, is late or failed."""

import json
import re
from datetime import timedelta

import pytest

from callback.clock import format_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import Deployed, unstyled
from tests.support.recorded_calls import refuse

Print = pytest.CaptureFixture[str]


@pytest.fixture
def listed(deployed: Deployed) -> Deployed:
    """Some of each: number 1 is overdue by 9 minutes, 2 waits for one, 3 failed an hour ago, 4 is tried again."""
    deployed.put_waiting("1", 9)
    deployed.put_waiting("2", -1)
    deployed.put_failed("3")
    again = format_utc(deployed.world.now + timedelta(minutes=5))
    deployed.put_waiting("4", 30, nextPassDue=again, sweepAt=again, attempts=3, lastError="PassFailed: no")
    return deployed


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["1 overdue", "4 retrying", "3 failed"]),
        (["--state", "overdue"], ["1 overdue", "4 retrying"]),
        (["--state", "failed"], ["3 failed"]),
        (["--state", "pending"], ["1 overdue", "2 waiting", "4 retrying"]),
        (["--state", "failed", "--state", "pending"], ["3 failed", "1 overdue", "2 waiting", "4 retrying"]),
        (["--state", "pending", "--until", "+30s"], ["1 overdue", "4 retrying"]),
        (["--state", "overdue", "--since", "20m"], ["1 overdue"]),
        (["--state", "failed", "--since", "30m"], []),
        (["--state", "failed", "--since", "3h", "--until", "2026-11-22T09:00"], ["3 failed"]),
        (["--limit", "1"], ["1 overdue", "3 failed"]),
        (["--checksum", "valid"], ["1 overdue", "4 retrying", "3 failed"]),
        (["--checksum", "invalid"], []),
    ],
)
def test_state_and_times_choose(listed: Deployed, capsys: Print, options: list[str], found: list[str]) -> None:
    """Without --state: what needs somebody. Times are of when a pass was first due, or when it failed."""
    assert listed.run("list", *options) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [f"{line[5].removeprefix('notificationId=')} {line[1]}" for line in lines] == found


@pytest.mark.parametrize("command", ["list", "watch"])
def test_done_is_in_no_list_and_the_error_says_where_it_is(deployed: Deployed, capsys: Print, command: str) -> None:
    """Exit 2, and the command that finds it; nothing is asked of AWS."""
    assert deployed.run(command, "--state", "done") == 2
    expected = "what is done is in no list: find it by its order or charge with `followups show`"
    assert expected in capsys.readouterr().err
    assert deployed.world.wire.names() == []


def test_line_can_be_searched(deployed: Deployed, capsys: Print) -> None:
    """In a pipe: time, status, passes, each id by its name, and the last error, on one line."""
    deployed.world.deliver()
    assert deployed.run("list", "--state", "pending") == 0
    ids = f"chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
    assert capsys.readouterr().out == f"2026-11-22T09:31:18Z  waiting  passes=1  checksum=valid  {ids}\n"


def test_json_lines_have_the_records_names(listed: Deployed, capsys: Print) -> None:
    """One object a line: the record, and its status."""
    assert listed.run("list", "--json", "--state", "failed") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["notificationId"], found["state"], found["status"], found["passesDone"]) == (
        "3",
        "FAILED",
        "failed",
        1,
    )
    assert found["failedAt"] == "2026-11-22T08:30:17.250000Z"


def test_last_error_is_shown_scrubbed(deployed: Deployed, capsys: Print) -> None:
    """Of what failed, why, without what is secret in it."""
    deployed.put_failed("1", lastError="PassFailed: card 4111111111111111\nrefused")
    for form in ((), ("--json",)):
        deployed.run("list", *form)
        assert "PassFailed: card [redacted] refused" in capsys.readouterr().out


def test_spoilt_record_is_a_line_that_says_so(deployed: Deployed, capsys: Print) -> None:
    """Neither a traceback nor a gap, whatever another hand has written, in every form."""
    deployed.put_waiting("1", leaseUntil=5, passes={"a": b"\x00"}, orderId=None)
    deployed.put_failed("2", state=None)
    for form in ((), ("--json",)):
        assert deployed.run("list", *form) == 0
        said = capsys.readouterr().out
        assert said.count("spoilt: ") == 2
        assert "spoilt: state: expected PENDING, DONE or FAILED" in said


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_gets_a_table_with_the_whole_ids(
    listed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """It fits at 80 columns and has more at 120; one head, however many rows."""
    for number in range(10, 49):
        listed.put_waiting(f"{number}", 10)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    assert listed.run("list", "--all") == 0
    lines = unstyled(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("failed (UTC)" in line for line in lines) == 1
    assert sum(ORDER in line for line in lines) == 42
    assert sum("overdue" in line and "chrg_test" in line for line in lines) == 40
    assert ("notification" in "".join(lines[:2])) == (width == 120)
    assert lines[-1] == "42 overdue or failed.  `followups show ORDER` shows one in detail."


def test_terminal_says_that_there_is_nothing(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing overdue is good news, and said."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("list") == 0
    assert capsys.readouterr().out == "0 overdue or failed.\n"


def test_forged_ones_never_push_out_what_is_proved(deployed: Deployed, capsys: Print) -> None:
    """However many there are and however long they wait: the proved come first, and a line says that there are more."""
    for number in range(30):
        deployed.put_waiting(f"f{number}", 90, checksumStatus="invalid", sweepShard=12 + number % 4)
    deployed.put_waiting("paid", 5)
    assert deployed.run("list", "--state", "overdue", "--limit", "3") == 0
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert [line[3] for line in lines] == ["checksum=valid", "checksum=invalid", "checksum=invalid"]
    assert said.err.startswith("There are more: ")
    assert deployed.run("list", "--checksum", "valid") == 0
    said = capsys.readouterr()
    assert (len(said.out.splitlines()), said.err) == (1, "")


def test_list_looks_through_a_bounded_number(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not match is read, too, but not without end; that the list was cut is said."""
    monkeypatch.setattr("followups.tables.MOST_LISTED", 10)
    for number in range(30):
        deployed.put_waiting(f"f{number}", 90, checksumStatus="missing")
    assert deployed.run("list", "--checksum", "valid") == 0
    assert capsys.readouterr().err.startswith("There are more: ")
    keys = [
        len(asked["Keys"])
        for call in deployed.world.wire.of("dynamodb.BatchGetItem")
        for asked in call["RequestItems"].values()
    ]
    assert sum(keys) == 10


@pytest.mark.parametrize("option", [("--since", "some day"), ("--limit", "0"), ("--state", "lost")])
def test_wrong_option_says_what_is_expected(deployed: Deployed, capsys: Print, option: tuple[str, str]) -> None:
    """Exit 2 and the option's name."""
    assert deployed.run("list", *option) == 2
    assert option[0] in capsys.readouterr().err


def test_terminal_folds_what_has_one_cause(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows of each cause, how many more there are and since when, and the commands that mean all of them."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for number in range(10):
        deployed.put_failed(
            f"a{number}", number, lastError=f"GaveUp: pass {number % 2}: order {ORDER} at 172398{number}"
        )
        deployed.put_failed(f"b{number}", 60, orderId=f"ORDER-{number}", lastError="GaveUp: timed out")
    deployed.put_failed("c", lastError="OrderUnsettled: no")
    assert deployed.run("list") == 0
    lines = unstyled(capsys.readouterr().out).splitlines()
    assert [line for line in lines if line.startswith("… and ")] == [
        "… and 7 more, 09:21:17 UTC to 09:30:17 UTC: GaveUp: pass …: order … at …",
        "… and 7 more, 08:30:17 UTC to 08:30:17 UTC: GaveUp: timed out",
    ]
    commands = [line.split() for line in lines if line.startswith("    followups replay")]
    assert lines[-1].startswith("21 overdue or failed.")
    assert deployed.run(*commands[1][1:], "--dry-run", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["notificationId"][0] for one in found} == {"b"}
    assert len(found) == 10


def test_letters_are_never_hidden(deployed: Deployed, capsys: Print) -> None:
    """What could not be saved is in no table: each queue that is not empty is said, with the command that repairs."""
    deployed.put_each_kind()
    for command in (["list"], ["show", ORDER]):
        deployed.run(*command)
        said = capsys.readouterr().err
        assert "1 not saved, in RetryQueue: tried again by themselves\n" in said
        assert "1 not saved, in RefusedQueue: followups dead-letters list --stack payment3-follow-up-dev\n" in said
        assert "1 not saved, in FailureQueue: once the cause is gone: followups dead-letters redrive" in said
    deployed.world.wire.before["sqs.GetQueueAttributes"] = refuse("AccessDenied", times=9)
    assert deployed.run("list") == 0
    assert "How many were not saved is unknown: " in capsys.readouterr().err


@pytest.mark.parametrize(("given", "close"), [(["lst"], "list"), (["list", "--state", "faild"], "failed")])
def test_misspelt_word_is_answered_with_the_one_that_was_meant(
    deployed: Deployed, capsys: Print, given: list[str], close: str
) -> None:
    """Commands and states."""
    assert deployed.run(*given) == 2
    assert re.search(f"[Dd]id you mean '?{close}'?\\?", capsys.readouterr().err)
