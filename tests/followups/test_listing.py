"""`followups list`: what waits, is late or failed; the status of a notification, and the reads of the tables."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callback.table import format_utc, parse_utc
from followups.listing import parse_when
from followups.records import read, status
from tests.followups.conftest import Followups, Patch
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, START
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Answer, Call, refuse

FAILED = {"state": "FAILED", "failedAt": -9}
TIMES = ("nextPassDue", "firstDue", "leaseUntil", "failedAt")


@pytest.fixture
def listed(deployed: Deployed) -> Deployed:
    """Number 1 is overdue by 9 minutes, 2 is due in one minute, 3 failed an hour ago, 4 is tried again."""
    deployed.put_waiting("1", 9)
    deployed.put_waiting("2", -1)
    deployed.put_failed("3")
    again = format_utc(deployed.world.now + timedelta(minutes=5))
    deployed.put_waiting("4", 30, nextPassDue=again, sweepAt=again, attempts=3, lastError="PassFailed: no")
    return deployed


def test_options_choose_what_is_listed(listed: Deployed, followups: Followups) -> None:
    """Without --state: what is overdue or failed. --since (10:00 is the last) and --until bound when that was."""
    for options, found in {
        "": ["1 overdue", "4 retrying", "3 failed"],
        "--state overdue": ["1 overdue", "4 retrying"],
        "--state failed --state pending": ["3 failed", "1 overdue", "2 waiting", "4 retrying"],
        "--state pending --until +30s": ["1 overdue", "4 retrying"],
        "--state failed --since 3h --until 2026-11-22T09:00": ["3 failed"],
        "--state overdue --since 9m": ["1 overdue"],
        "--state overdue --until 9m": ["4 retrying"],
        "--state failed --since 1h": ["3 failed"],
        "--state failed --until 1h": [],
        "--state failed --since 10:00 --until 10:00": ["3 failed"],
        "--state failed --since 09:00": [],
        "--limit 1": ["1 overdue", "3 failed"],
        "--checksum invalid": [],
    }.items():
        lines = [line.split() for line in followups("list", *options.split()).lines]
        assert [f"{line[5].removeprefix('notificationId=')} {line[1]}" for line in lines] == found, options
    listed.world.wire.calls.clear()
    assert followups("list", "--since", "1h", "--until", "2h").lines == []
    assert listed.world.wire.of("dynamodb.Query") == []  # DynamoDB refuses bounds that are not in order


def test_pipe_gets_a_line_and_programs_an_object(deployed: Deployed, followups: Followups) -> None:
    """The line has time, status, passes, each id by its name and the last error; the object has the record's names."""
    deployed.put_failed("3", lastError="PassFailed: card 4111111111111111\nrefused")
    deployed.world.deliver()
    ids = f"chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
    waits = f"2026-11-22T09:31:18Z  waiting  passes=1  checksum=valid  {ids}"
    assert followups("list", "--state", "pending").lines == [waits]
    assert followups("list").out.endswith("PassFailed: card [redacted] refused\n")
    [found] = followups("list", "--json").objects
    expected = {"notificationId": "3", "state": "FAILED", "status": "failed", "passesDone": 1, "version": 1}
    expected |= {"failedAt": "2026-11-22T08:30:17.250000Z", "lastError": "PassFailed: card [redacted] refused"}
    assert expected.items() <= found.items()


def test_terminal_shows_each_with_its_whole_ids(listed: Deployed, followups: Followups) -> None:
    """A terminal of 80 columns shows what is late and what failed, with all ids, and the number of each, or none."""
    for number in range(10, 49):
        listed.put_waiting(f"{number}", 10, attempts=2, lastError="x" * number)  # each has a cause of its own
    listed.put_waiting("49", 10, orderId="ORDER-of-some-length", attempts=2, lastError="another")
    lines = followups.in_terminal("list").lines
    assert max(map(len, lines)) <= 80
    assert {"42 late · 1 failed", "Late  42", "Failed  1", f"  ORDER-of-some-length, charge {CHARGE}"} <= set(lines)
    assert {f"  notification {number}" for number in (1, 3, 4, *range(10, 50))} <= set(lines)
    assert lines.count(f"  charge {CHARGE}") == 42
    listed.world.empty()
    assert "Nothing is late." in followups.in_terminal("list").lines
    for option in ("--since=1h", "--until=1h", "--checksum=valid", "--cause=055562"):
        assert followups.in_terminal("list", option).lines.count("Nothing of what was asked for was found.") == 2


def test_forged_ones_do_not_push_out_the_proved(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """What a checksum proves comes first; `list` reads a bounded number, and says that there are more."""
    monkeypatch.setattr("followups.tables.FIRST_UNPROVED", 3)
    for number in range(30):
        deployed.put_waiting(f"f{number}", 90, checksumStatus="invalid", sweepShard=3)
    deployed.put_waiting("paid", 5)
    printed = followups("list", "--state", "overdue", "--limit", "3")
    assert [line.split()[3] for line in printed.lines] == ["checksum=valid", *["checksum=invalid"] * 2]
    assert printed.err.startswith("There are more: ")
    printed = followups("list", "--checksum", "valid")
    assert (len(printed.lines), printed.err) == (1, "")
    monkeypatch.setattr("followups.tables.MOST_LISTED", 10)
    deployed.world.wire.calls.clear()
    assert followups("list", "--checksum", "valid").err.startswith("There are more: ")
    requests = deployed.world.wire.of("dynamodb.BatchGetItem")
    assert sum(len(asked["Keys"]) for request in requests for asked in request["RequestItems"].values()) == 10


def test_failures_of_one_cause_fold(deployed: Deployed, followups: Followups) -> None:
    """Each cause has one row, with the number of failures, their times, and the command that replays just them."""
    for number in range(10):
        error = f"GaveUp: pass {number % 2}: order {ORDER} at 172398{number}"
        deployed.put_failed(f"a{number}", number, lastError=error)
        deployed.put_failed(f"b{number}", 60, orderId=f"ORDER-{number}", lastError="GaveUp: timed out")
    deployed.put_failed("c", lastError="OrderUnsettled: no")
    deployed.put_failed("forged", lastError="GaveUp: timed out", checksumStatus="invalid")
    deployed.put_failed("old", 600, lastError="GaveUp: timed out")
    lines = followups.in_terminal("list", *"--checksum valid --since 14:00 --until +1m --tz Asia/Bangkok".split()).lines
    assert [line for line in lines if "of this cause" in line] == [
        "  10 of this cause, 09:21:17 UTC to 09:30:17 UTC",
        "  10 of this cause, 08:30:17 UTC to 08:30:17 UTC",
    ]
    assert lines[1] == "0 late · 21 failed"
    command = [line.split() for line in lines if line.startswith("  followups replay")][1]
    assert "--until=2026-11-22T09:31:17.250000Z" in command
    found = followups(*command[1:], "--dry-run", "--json").objects
    assert sorted(one["notificationId"] for one in found) == [f"b{number}" for number in range(10)]
    lines = followups.in_terminal("list", command[3]).lines
    assert {f"  notification b{number}" for number in range(10)} < set(lines)


def test_letters_are_never_hidden(deployed: Deployed, followups: Followups) -> None:
    """`list` and `show` name each queue that is not empty, with the command that repairs."""
    deployed.put_each_kind()
    for command in (["list"], ["show", ORDER]):
        retry, refused, failed = followups(*command, code=int(command[0] == "show")).err.splitlines()
        assert retry == "1 not saved, in RetryQueue: retried automatically"
        assert refused.endswith("RefusedQueue: followups dead-letters list --stack payment3-follow-up-dev")
        assert failed.startswith("1 not saved, in FailureQueue: once the cause is gone: followups dead-letters redrive")
    deployed.world.wire.before["sqs.GetQueueAttributes"] = refuse("AccessDenied", times=9)
    assert re.search("How many were not saved is unknown: .*AccessDenied", followups("list").err)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("90m", "2026-11-22T08:00:17.250000Z"),
        ("+10s", "2026-11-22T09:30:27.250000Z"),
        ("09:30", "2026-11-22T02:30:00Z"),
        ("today", "2026-11-21T17:00:00Z"),
        ("Yesterday", "2026-11-20T17:00:00Z"),
        ("2026-11-20", "2026-11-19T17:00:00Z"),
        (" 2026-11-22 16:30+08:00 ", "2026-11-22T08:30:00Z"),
    ],
)
def test_time_may_be_typed_as_a_date_a_time_or_how_long_ago(typed: str, means: str) -> None:
    """It is read in the user's zone unless it names its own; a plus means from now on."""
    assert parse_when(typed, START, ZoneInfo("Asia/Bangkok")) == parse_utc(means)


@pytest.mark.parametrize("typed", ["", "some day", "-3d", "3 d", "3y", "٣d", "2026-13-01", "9999999d"])
def test_what_is_not_a_time_is_refused(typed: str) -> None:
    """A typing error is never taken for another time."""
    with pytest.raises(ValueError, match=r"isoformat|month"):
        parse_when(typed, START)


@pytest.mark.parametrize(
    ("changes", "word", "is_late"),
    [
        ({"nextPassDue": 10, "firstDue": 10}, "waiting", False),
        ({"nextPassDue": -119, "firstDue": -119}, "waiting", False),
        ({"nextPassDue": -121, "firstDue": -121}, "overdue", True),
        ({"nextPassDue": 50, "firstDue": -10, "attempts": 2}, "retrying", False),
        ({"nextPassDue": 50, "firstDue": -900, "attempts": 2}, "retrying", True),
        ({"nextPassDue": -121, "firstDue": -900, "attempts": 2}, "overdue", True),
        ({"leaseUntil": 1, "claimId": "c"}, "running", True),
        ({"leaseUntil": -1, "claimId": "c"}, "overdue", True),
        (FAILED | {"nextPassDue": None, "sweepAt": None}, "failed", False),
        (FAILED | {"leaseUntil": 1}, "running", False),
        (FAILED | {"resolvedAt": "2026-11-22T09:30:00Z"}, "resolved", False),
        (FAILED | {"failedShard": 1, "resolvedAt": "2026-11-22T09:30:00Z"}, "failed", False),
        ({"nextPassDue": None}, "spoilt", True),
        ({"leaseUntil": "2026"}, "spoilt", True),
    ],
)
def test_status_is_one_word(deployed: Deployed, changes: dict[str, Any], word: str, *, is_late: bool) -> None:
    """It depends on the record and the time; numbers are seconds from now."""
    now = deployed.world.now
    times = {name: changes[name] for name in TIMES if isinstance(changes.get(name), int)}
    written = {name: format_utc(now + timedelta(seconds=value)) for name, value in times.items()}
    deployed.put_waiting("n", **(changes | written))
    current = status(read(deployed.world.record()), now)
    assert (current.word, current.is_late) == (word, is_late)


def test_read_is_consistent_and_asks_again_for_what_did_not_fit(deployed: Deployed, followups: Followups) -> None:
    """An index may lag behind; what is shown does not."""
    for number in range(3):
        deployed.put_waiting(f"n{number}")

    def leave_one(call: Call, effect: Callable[[], Answer]) -> Answer:
        if call.name != "dynamodb.BatchGetItem":
            return effect()
        deployed.world.wire.around = None
        [(table, asked)] = call.request["RequestItems"].items()
        rest = asked | {"Keys": [asked["Keys"].pop()]}
        return effect() | {"UnprocessedKeys": {table: rest}}

    deployed.world.wire.around = leave_one
    found = followups("replay", "--dry-run", "--json", ORDER).objects
    assert [one["notificationId"] for one in found] == ["n0", "n1", "n2"]
    requests = deployed.world.wire.of("dynamodb.BatchGetItem")
    asked = [table for request in requests for table in request["RequestItems"].values()]
    assert [(len(table["Keys"]), table["ConsistentRead"]) for table in asked] == [(2, True), (1, True)]


def test_no_read_goes_on_without_a_bound(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """A search ends, however many pages have no match."""
    monkeypatch.setattr("followups.tables._MOST_PAGES", 2)
    keys = ({"chargeId": {"S": f"{number}"}} for number in count())
    page = {"Items": [], "Count": 0}
    deployed.world.wire.answers["dynamodb.Query"] = lambda _call: page | {"LastEvaluatedKey": next(keys)}
    followups("replay", "unknown", code=1)
    assert len(deployed.world.wire.of("dynamodb.Query")) == 2 * (2 + 2 * 4)  # charge, order, and 4 shards of 2 indexes
