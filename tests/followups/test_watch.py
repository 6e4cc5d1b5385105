"""`followups watch`: what it shows, how much it reads, and that it goes on after an error."""

import re
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from callback.table import format_utc, serialize
from followups.board import HOST, application
from followups.records import STATES
from followups.stack import FAILURE
from followups.watch import Poller
from tests.followups.conftest import Followups, Patch, Print
from tests.support.aws import START
from tests.support.deployed import LATE_ORDER, Deployed, notify_letter, unstyled
from tests.support.recorded_calls import Answer, Call, refuse

CAUSES = {"PassFailed: out of stock": 700, "GaveUp: pass 2 did not answer": 250, "OrderUnsettled: PENDING": 50}


def test_picture_shows_what_is_late_failed_and_waits(busy: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """The most urgent come first; each has a line with its lateness or countdown and its status, and its reason."""
    busy.put_waiting("due", 0.5, orderId="ORDER-5000")
    again = format_utc(START + timedelta(minutes=5))
    busy.put_waiting("urgent", 30, orderId="ORDER-6000", nextPassDue=again, sweepAt=again, attempts=2)
    heights = set[int]()
    for width in (60, 120, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = followups("watch").lines
        assert max(map(len, lines)) <= width
        heights.add(len(lines))
    assert len(heights) == 1
    assert lines[:2] == ["Follow-ups of payment3-follow-up-dev  as of 09:30:17 UTC", "2 late · 2 failed · 9 waiting"]
    late, failed, waiting = (lines.index(title) for title in ("Late  2", "Failed  2", "Waiting  9"))
    assert re.fullmatch(r"ORDER-6000 +valid +2 +1 +30 min +retrying in 5 min", lines[late + 2])
    assert re.fullmatch(rf"{LATE_ORDER} +valid +2 +2 +7 min 19 s +retrying in 2 min", lines[late + 3])
    assert lines[late + 4] == "  PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    assert re.match(r"ORDER-1977 .* 2 +3 +5 h 8 min ago +failed$", lines[failed + 4])
    assert re.fullmatch(r"ORDER-5000 +valid +2 +0 +due +waiting", lines[waiting + 2])
    assert re.fullmatch(r"ORDER-3000 +valid +1 +1 +running", lines[waiting + 3])
    assert re.fullmatch(r"ORDER-2004 +valid +2 +0 +4 s +waiting", lines[waiting + 4])


def test_snapshot_is_bounded_and_counts_the_rest(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """A + means that there is more; an empty section says whether all was read; each queue has its command."""
    monkeypatch.setattr("followups.watch.BOUND", 5)
    for number in range(12):
        deployed.put_waiting(f"n{number}", -10)
    deployed.put_each_kind()
    lines = followups("watch").lines
    assert lines[1] == "0+ late · 0 failed · 5+ waiting · 12 waiting in all"
    assert "1 not saved, in RefusedQueue\n  followups dead-letters list --stack payment3" in "\n".join(lines)
    assert {"None of what was read.", "Nothing has failed."} < set(lines)


def test_what_does_not_fit_is_counted(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """The rows fit into the terminal, and a line counts the rest, exactly or as a minimum."""
    monkeypatch.setattr("followups.watch.BOUND", 24)
    for number in range(25):
        changes = {"orderId": f"ORDER-{number}", "attempts": 9, "lastError": "E: " + "x" * number}  # none folds
        deployed.put_waiting(f"w{number}", number + 3, **changes)
        deployed.put_failed(f"f{number}", number, **changes)
    for height in (16, 24, 40, 60):
        monkeypatch.setenv("LINES", str(height))
        printed = followups.in_terminal("watch", "--once", "--state", "overdue", "--state", "failed", width=100)
        assert len(printed.lines) <= height
        late, failed = map(int, re.findall(r"… and (?:more than )?(\d+) more", printed.out))
        assert sum(line.startswith("ORDER-") for line in printed.lines) == 24 + 25 - late - failed
        assert printed.out.count("… and more than ") == 1


def test_snapshots_are_shared_for_a_while(poller: Poller, deployed: Deployed) -> None:
    """However many pages are open, the tables are read only every so many seconds."""
    shared = Poller(poller.stack, clock=poller.clock, at_most_every=timedelta(seconds=2))
    seen = shared.poll()
    deployed.world.wait(1.9)
    assert shared.poll() is seen
    deployed.world.wait(0.1)
    assert shared.poll() is not seen


@pytest.mark.usefixtures("busy")
def test_command_prints_one_snapshot_as_json(followups: Followups) -> None:
    """Each state that is asked for has the records, by their own names, and whether there are more."""
    [data] = followups("watch", "--json").objects
    assert (data["version"], data["at"]) == (1, "2026-11-22T09:30:17.250000Z")
    assert {name: len(data[name]["rows"]) for name in STATES} == {"overdue": 1, "failed": 2, "pending": 8}
    assert not any(data[name]["more"] for name in STATES)
    [late] = data["overdue"]["rows"]
    assert (late["orderId"], late["status"], late["attempts"]) == (LATE_ORDER, "retrying", 3)
    assert data["failed"]["rows"][0]["lastError"].startswith("GaveUp: pass 2")
    [data] = followups("watch", "--json", "--state", "failed", "--state", "failed").objects
    assert set(data) == {"version", "at", "failed", "notSaved", "waiting"}


def test_command_watches_a_terminal_until_ctrl_c(busy: Deployed, capsys: Print, monkeypatch: Patch) -> None:
    """It reads every so many seconds, reports a failed read above the last picture, and restores the terminal."""
    world, pictures, shown = busy.world, list[str](), list[str]()

    def wait(seconds: float) -> None:
        shown.append(capsys.readouterr().out)
        pictures.append(unstyled(shown[-1]).rpartition("Follow-ups of")[2])
        world.now += timedelta(seconds=seconds)
        before = {2: {"dynamodb.Query": refuse("ThrottlingException", times=99)}}
        world.wire.before = before.get(len(pictures), {})
        if len(pictures) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(world, "wait", wait)
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "110", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    assert busy.run("watch", "--every", "7") == 0
    assert ["This could not be renewed" in picture for picture in pictures] == [False, False, True, False, False]
    assert all(text in pictures[2] for text in ("AWS asks for patience: try again in a moment.", LATE_ORDER))
    assert [re.findall(r"as of (\S+)", picture)[0][-2:] for picture in pictures] == ["17", "24", "24", "38", "45"]
    written = "".join(shown) + capsys.readouterr().out
    assert "\x1b[1;31mfailed" in written
    for begin, end in (("\x1b[?25l", "\x1b[?25h"), ("\x1b[?1049h", "\x1b[?1049l")):  # the cursor, the other screen
        assert written.rindex(end) > written.rindex(begin)
    world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    assert [busy.run("watch", *every) for every in ([], ["--every", "0.5"])] == [2, 2]  # a first read must succeed
    assert "AccessDenied" in capsys.readouterr().err


@pytest.fixture
def full(deployed: Deployed) -> Deployed:
    """1,000 of 100,000 failed: what is done is in no index that is read. Moto would read all items for each shard."""
    for number, cause in enumerate(cause for cause, count in CAUSES.items() for _ in range(count)):
        deployed.put_failed(f"f{number}", number % 540, orderId=f"ORDER-{number}", lastError=cause)
    rows = sorted(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["failedAt"]), reverse=True)
    items = {row["notificationId"]: {name: serialize(value) for name, value in row.items()} for row in rows}

    def query(call: Call) -> Answer:
        if call.request["IndexName"] != "failed":
            return {"Items": [], "Count": 0}
        shard = call.request["ExpressionAttributeValues"][":shard"]
        of_shard = [item for item in items.values() if item["failedShard"] == shard]
        return {"Items": of_shard, "Count": len(of_shard)}

    def batch_get_item(call: Call) -> Answer:
        [(name, asked)] = call.request["RequestItems"].items()
        found = [items[key["notificationId"]["S"]] for key in asked["Keys"]]
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    deployed.world.wire.answers |= {"dynamodb.Query": query, "dynamodb.BatchGetItem": batch_get_item}
    for _ in range(50):
        deployed.put(FAILURE, notify_letter())
    return deployed


@pytest.mark.no_cover  # measuring takes the time that is measured here
def test_tools_show_groups_in_2_s(full: Deployed, followups: Followups, poller: Poller, monkeypatch: Patch) -> None:
    """`list`, `watch` and the page have one row for each of three causes, all counts, and the messages, in 2 s each."""
    monkeypatch.setenv("LINES", "60")
    client, texts = application(poller).test_client(), dict[str, str]()
    views: dict[str, Callable[[], str]] = {
        "list": lambda: followups.in_terminal("list").out,
        "watch": lambda: followups.in_terminal("watch", "--once").out,
        "board": lambda: re.sub("<[^>]+>", "", client.get("/", headers={"Host": HOST}).text),
    }
    for name, view in views.items():
        began = time.process_time()
        texts[name] = view()
        assert time.process_time() - began < 2, name
    assert "… and 600 more." in texts["board"]
    for text in texts.values():
        assert all(f"{count} of this cause" in text for count in CAUSES.values())
        assert text.count("followups replay --state=failed --cause=") == len(CAUSES)
        assert "50 not saved, in FailureQueue" in text
    causes = followups("watch", "--json").objects[0]["failed"]["causes"]
    assert sorted(one["count"] for one in causes) == sorted(CAUSES.values())
    assert all(re.fullmatch(r"\w{6}", one["cause"]) for one in causes)
    # Each is read once, a hundred in a call.
    full.world.wire.calls.clear()
    assert len(followups("list", "--state", "failed", "--json").objects) == sum(CAUSES.values())
    assert [len(full.world.wire.of(f"dynamodb.{name}")) for name in ("BatchGetItem", "Query")] == [10, 4]
