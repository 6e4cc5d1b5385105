"""The board in a terminal: what it says, how much it reads, and that it goes on whatever happens."""

import io
import re
from datetime import timedelta

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
)
from rich.console import Console

from callback.table import format_utc, parse_utc
from followups.records import STATES, Found, read
from followups.snapshot import Poller, Snapshot
from followups.stack import Stack, StackError, explain
from followups.watch import WatchView, show_once, watch
from tests.followups.conftest import Followups
from tests.support.aws import ORDER
from tests.support.busy_stack import LATE_ORDER
from tests.support.deployed import Deployed, unstyled
from tests.support.recorded_calls import refuse

NOW = parse_utc("2026-11-22T09:30:17.250000Z")
pytestmark = pytest.mark.usefixtures("few_shards")


def printed(poller: Poller, width: int = 110) -> list[str]:
    """The lines of one picture."""
    out = io.StringIO()
    show_once(poller, STATES, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.usefixtures("busy")
def test_picture_shows_what_is_late_what_failed_and_what_waits(poller: Poller) -> None:
    """Most urgent first, with lateness, reasons, countdowns and status, on one line at each width."""
    lines = printed(poller)
    assert lines[:2] == [
        "Follow-ups of payment3-follow-up-dev  as of 09:30:17 UTC",
        "1 late · 2 failed · 8 waiting",
    ]
    late, failed, waiting = (lines.index(title) for title in ("Late  1", "Failed  2", "Waiting  8"))
    assert re.fullmatch(rf"{LATE_ORDER} +chrg_\S+ +valid +2 +2  7 min 19 s +retrying in 2 min", lines[late + 2])
    assert lines[late + 3] == "  PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    assert re.match(r"ORDER-1977 .* 2 +3  5 h 8 min ago +failed$", lines[failed + 4])
    assert re.fullmatch(r"ORDER-3000 +chrg_\S+ +valid +1 +1 +running", lines[waiting + 2])
    assert re.fullmatch(r"ORDER-2004 +chrg_\S+ +valid +2 +0  4 s +━+╺?━*", lines[waiting + 3])
    for width in (60, 80, 120):
        narrow = printed(poller, width=width)
        assert max(map(len, narrow)) <= width
        assert len(narrow) == len(lines)


def test_snapshot_is_bounded_and_counts_the_rest(
    poller: Poller, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A + where there is more; what was not read is not called nothing; what could not be saved has its command."""
    monkeypatch.setattr("followups.snapshot.BOUND", 5)
    for number in range(12):
        deployed.put_waiting(f"n{number}", -10)
    with deployed.world.wire.aside():
        deployed.put_each_kind()
    lines = printed(poller)
    assert lines[1] == "0+ late · 0 failed · 5+ waiting · 12 waiting in all"
    assert lines[3:5] == [
        "1 not saved, in RefusedQueue",
        "  followups dead-letters list --stack payment3-follow-up-dev",
    ]
    assert "None of what was read." in lines
    assert "Nothing has failed." in lines


def test_what_does_not_fit_is_counted(deployed: Deployed) -> None:
    """The rows end with the terminal, and a line says how many more there are, or that they are more than that."""
    for number in range(50):
        cause = "E: " + "x" * number  # each has one of its own
        deployed.put_waiting(f"n{number}", number + 3, orderId=f"ORDER-{number}", lastError=cause)
    rows = tuple(map(read, deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")))
    snapshot = Snapshot(NOW, (60,), {"overdue": Found(rows, more=True), "failed": Found(), "pending": Found(rows)})
    for height in (16, 24, 40, 60):
        text = _drawn(WatchView(Stack(), snapshot, NOW, STATES), height)
        lines = text.splitlines()
        assert len(lines) <= height
        late, waiting = (int(more) for more in re.findall(r"… and (?:more than )?(\d+) more", text))
        assert sum(line.startswith("ORDER-") for line in lines) == 100 - late - waiting
    assert "… and more than " in text
    assert "… and more than " not in _drawn(WatchView(Stack(), snapshot, NOW, ("pending",)), 24)


def test_watch_goes_on_after_a_failed_read(poller: Poller, busy: Deployed) -> None:
    """A throttled read is reported above the last picture; the next one replaces it. Ctrl-C ends it."""
    world, console, pictures = busy.world, _terminal(), list[str]()

    def sleep(seconds: float) -> None:
        pictures.append(_plain(console).rpartition("Follow-ups of")[2])
        world.wait(seconds)
        if len(pictures) == 2:
            world.wire.before["dynamodb.Query"] = refuse("ThrottlingException", times=99)
        if len(pictures) == 3:
            del world.wire.before["dynamodb.Query"]
        if len(pictures) == 5:
            raise KeyboardInterrupt

    watch(poller, STATES, console, 2, sleep)
    said = ["This could not be renewed" in picture for picture in pictures]
    assert said == [False, False, True, False, False]
    assert "AWS asks for patience: try again in a moment." in pictures[2]
    assert LATE_ORDER in pictures[2]
    looked = [re.findall(r"as of (\S+)", picture)[0][-2:] for picture in pictures]
    assert looked == ["17", "19", "19", "23", "25"]


def test_due_and_claimed_ones_have_no_countdown(poller: Poller, deployed: Deployed) -> None:
    """What is due for less than a timer may be late only waits; what is claimed or tried again says so."""
    now = deployed.world.now
    deployed.put_waiting("due", 0.5)
    deployed.put_waiting("later", -1.5, passesDone=7)
    deployed.put_waiting("again", -0.5, attempts=2)
    deployed.put_waiting("claimed", leaseUntil=format_utc(now + timedelta(seconds=9)))
    lines = printed(poller)
    ends = [re.sub("━+$", "━", line).split()[-2:] for line in lines if line.startswith(ORDER)]
    assert ends == [["h", "running"], ["due", "━"], ["s", "retrying"], ["s", "waiting"]]


def test_snapshots_are_shared_for_a_while(poller: Poller, deployed: Deployed) -> None:
    """However many ask, the tables are asked no more often than agreed."""
    shared = Poller(poller.stack, clock=poller.clock, at_most_every=timedelta(seconds=2))
    seen = shared.poll()
    deployed.world.wait(1.9)
    assert shared.poll() is seen
    deployed.world.wait(0.1)
    assert shared.poll() is not seen


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("options", [["--once"], []])
def test_command_prints_one_picture_into_a_pipe(deployed: Deployed, followups: Followups, options: list[str]) -> None:
    """Also without --once, since nobody could press Ctrl-C there; only the states that are asked for are read."""
    said = followups("watch", *options, "--state", "failed").lines
    assert said[1:4] == ["2 failed", "", "Failed  2"]
    assert {query["IndexName"] for query in deployed.world.wire.of("dynamodb.Query")} == {"failed"}
    assert "\x1b" not in "".join(said)


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
    deployed: Deployed, followups: Followups, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits as long as it is asked to, and Ctrl-C, exit 0, gives the terminal back; a first read must succeed."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(deployed.world, "wait", wait)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("watch", "--every", "7") == 0
    assert waits == [7, 7, 7]
    written = capsys.readouterr().out
    for begin, end in (("\x1b[?25l", "\x1b[?25h"), ("\x1b[?1049h", "\x1b[?1049l")):  # the cursor, the other screen
        assert written.rindex(end) > written.rindex(begin)
    followups("watch", "--every", "0.5", code=2)
    deployed.world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    assert "AccessDenied" in followups.in_terminal("watch", code=2).err


def aws_error(code: str) -> ClientError:
    """An error that AWS answers."""
    return ClientError({"Error": {"Code": code, "Message": "for a test"}}, "Query")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "Sign in"),
        (aws_error("ExpiredTokenException"), "Sign in"),
        (aws_error("AccessDeniedException"), "docs/operations.md"),
        (aws_error("ThrottlingException"), "patience"),
        (aws_error("ValidationException"), "deploy it anew"),
        (aws_error("Strange"), "Check profile"),
        (ClientError({}, "Query"), "Check profile"),
        (NoRegionError(), "AWS_DEFAULT_REGION"),
        (ProfileNotFound(profile="x"), "list-profiles"),
        (EndpointConnectionError(endpoint_url="http://x"), "cannot be reached"),
        (ReadTimeoutError(endpoint_url="http://x"), "cannot be reached"),
        (BotoCoreError(), "Check profile"),
        (StackError("no stack x: name it (--stack)"), ""),
    ],
    ids=repr,
)
def test_error_comes_with_what_to_do(error: Exception, advice: str) -> None:
    """What happened, and what helps; never what is secret in it."""
    said = explain(error)
    assert said
    assert said.what == " ".join(str(error).split())
    assert advice in said.advice
    assert "4242" not in str(explain(StackError("card 4242424242424242")))


def _terminal(height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)


def _plain(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return unstyled(console.file.getvalue())


def _drawn(view: WatchView, height: int) -> str:
    console = _terminal(height)
    console.print(view)
    return _plain(console)
