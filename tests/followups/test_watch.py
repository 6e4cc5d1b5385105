"""The board in a terminal: what it says, how much it reads, and that it goes on whatever happens."""

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from callback.table import format_utc, parse_utc
from followups.records import STATES, Found, read
from followups.stack import Stack
from followups.watch import Poller, Snapshot, WatchView
from tests.followups.conftest import Followups
from tests.support.busy_stack import LATE_ORDER
from tests.support.deployed import Deployed, unstyled
from tests.support.recorded_calls import refuse

NOW = parse_utc("2026-11-22T09:30:17.250000Z")


def printed(followups: Followups, *options: str, width: int = 110) -> list[str]:
    """The lines of one picture in a pipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        return [line.rstrip() for line in followups("watch", *options).lines]


def test_picture_shows_what_is_late_what_failed_and_what_waits(busy: Deployed, followups: Followups) -> None:
    """Most urgent first, with lateness, reasons, countdowns (none for what runs) and status, on one line each."""
    busy.put_waiting("due", 0.5, orderId="ORDER-5000")
    again = format_utc(NOW + timedelta(minutes=5))
    busy.put_waiting("urgent", 30, orderId="ORDER-6000", nextPassDue=again, sweepAt=again, attempts=2)
    lines = printed(followups)
    assert lines[:2] == ["Follow-ups of payment3-follow-up-dev  as of 09:30:17 UTC", "2 late · 2 failed · 9 waiting"]
    late, failed, waiting = (lines.index(title) for title in ("Late  2", "Failed  2", "Waiting  9"))
    assert re.fullmatch(r"ORDER-6000 +valid +2 +1 +30 min +retrying in 5 min", lines[late + 2])
    assert re.fullmatch(rf"{LATE_ORDER} +valid +2 +2 +7 min 19 s +retrying in 2 min", lines[late + 3])
    assert lines[late + 4] == "  PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    assert re.match(r"ORDER-1977 .* 2 +3 +5 h 8 min ago +failed$", lines[failed + 4])
    assert re.fullmatch(r"ORDER-5000 +valid +2 +0 +due +waiting", lines[waiting + 2])
    assert re.fullmatch(r"ORDER-3000 +valid +1 +1 +running", lines[waiting + 3])
    assert re.fullmatch(r"ORDER-2004 +valid +2 +0 +4 s +waiting", lines[waiting + 4])
    for width in (60, 80, 120):
        narrow = printed(followups, width=width)
        assert max(map(len, narrow)) <= width
        assert len(narrow) == len(lines)


def test_snapshot_is_bounded_and_counts_the_rest(
    deployed: Deployed, followups: Followups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A + where there is more; what was not read is not called nothing; what could not be saved has its command."""
    monkeypatch.setattr("followups.watch.BOUND", 5)
    for number in range(12):
        deployed.put_waiting(f"n{number}", -10)
    deployed.put_each_kind()
    lines = printed(followups)
    assert lines[1] == "0+ late · 0 failed · 5+ waiting · 12 waiting in all"
    assert "1 not saved, in RefusedQueue\n  followups dead-letters list --stack payment3" in "\n".join(lines)
    assert {"None of what was read.", "Nothing has failed."} < set(lines)


def test_what_does_not_fit_is_counted(deployed: Deployed) -> None:
    """The rows end with the terminal, and a line says how many more there are, or that they are more than that."""
    for number in range(50):
        cause = "E: " + "x" * number  # each has one of its own
        deployed.put_waiting(f"n{number}", number + 3, orderId=f"ORDER-{number}", lastError=cause)
    rows = tuple(map(read, deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")))
    parts: Any = {"overdue": Found(rows, more=True), "failed": Found(), "pending": Found(rows)}
    for height in (16, 24, 40, 60):
        console = Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)
        console.print(WatchView(Stack(), Snapshot(NOW, parts), NOW))
        text = unstyled(console.file.getvalue())  # type: ignore[attr-defined]
        lines = text.splitlines()
        assert len(lines) <= height
        late, waiting = map(int, re.findall(r"… and (?:more than )?(\d+) more", text))
        assert sum(line.startswith("ORDER-") for line in lines) == 100 - late - waiting
        assert text.count("… and more than ") == 1


def test_snapshots_are_shared_for_a_while(poller: Poller, deployed: Deployed) -> None:
    """However many ask, the tables are asked no more often than agreed."""
    shared = Poller(poller.stack, clock=poller.clock, at_most_every=timedelta(seconds=2))
    seen = shared.poll()
    deployed.world.wait(1.9)
    assert shared.poll() is seen
    deployed.world.wait(0.1)
    assert shared.poll() is not seen


@pytest.mark.usefixtures("busy")
def test_command_prints_one_snapshot_as_json(followups: Followups) -> None:
    """The records by their own names, and whether there are more, for each state that is asked for."""
    [data] = followups("watch", "--json").objects
    assert (data["version"], data["at"]) == (1, "2026-11-22T09:30:17.250000Z")
    assert {name: len(data[name]["rows"]) for name in STATES} == {"overdue": 1, "failed": 2, "pending": 8}
    assert not any(data[name]["more"] for name in STATES)
    [late] = data["overdue"]["rows"]
    assert (late["orderId"], late["status"], late["attempts"]) == (LATE_ORDER, "retrying", 3)
    assert data["failed"]["rows"][0]["lastError"].startswith("GaveUp: pass 2")
    [data] = followups("watch", "--json", "--state", "failed", "--state", "failed").objects
    assert set(data) == {"version", "at", "failed", "notSaved", "waiting"}


def test_command_watches_a_terminal_until_ctrl_c(
    busy: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many seconds; a read that fails is reported above the last picture. Ctrl-C gives the terminal back."""
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
    for begin, end in (("\x1b[?25l", "\x1b[?25h"), ("\x1b[?1049h", "\x1b[?1049l")):  # the cursor, the other screen
        assert written.rindex(end) > written.rindex(begin)
    world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    assert [busy.run("watch", *every) for every in ([], ["--every", "0.5"])] == [2, 2]  # a first read must succeed
    assert "AccessDenied" in capsys.readouterr().err
