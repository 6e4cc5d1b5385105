"""The board in a terminal: what it says, how much it reads, and that it goes on whatever happens."""

import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

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

from callback.clock import format_utc, parse_utc
from followups import snapshot as snapshots
from followups.records import STATES, Found, State, read
from followups.snapshot import Poller, Snapshot
from followups.stack import Stack, StackError, explain
from followups.watch import WatchView, show_once, watch
from tests.support.aws import ORDER
from tests.support.busy_stack import LATE_ORDER, make_busy, use_few_shards
from tests.support.deployed import Deployed, unstyled
from tests.support.recorded_calls import refuse

NOW = parse_utc("2026-11-22T09:30:17.250000Z")
CURSOR_SHOWN, OTHER_SCREEN_LEFT = "\x1b[?25h", "\x1b[?1049l"
Print = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    use_few_shards(monkeypatch)


@pytest.fixture
def bare(deployed: Deployed) -> Iterator[Poller]:
    """A look at a stack in which nothing has happened."""
    with deployed.world.wire:
        yield Poller(Stack(), clock=lambda: deployed.world.now)


@pytest.fixture
def poller(deployed: Deployed, bare: Poller) -> Poller:
    """A look at a stack in which much has happened."""
    make_busy(deployed)
    return bare


def printed(poller: Poller, states: tuple[State, ...] = STATES, width: int = 110) -> list[str]:
    """The lines of one picture."""
    out = io.StringIO()
    show_once(poller, states, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_picture_says_what_is_late_what_failed_and_what_waits(poller: Poller) -> None:
    """Each section has its notifications, most urgent first, with lateness, reasons, countdowns and status."""
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


def test_picture_of_nothing_says_so(bare: Poller) -> None:
    """An empty section is a sentence, not a gap."""
    assert printed(bare)[1:] == [
        "0 late · 0 failed · 0 waiting",
        *("", "Nothing is late.", "", "Nothing has failed.", "", "Nothing waits."),
    ]


def test_only_the_states_asked_for_are_read(poller: Poller, deployed: Deployed) -> None:
    """`--state failed` asks the other index for nothing."""
    lines = printed(Poller(poller.stack, ("failed",), poller.clock), ("failed",))
    assert lines[1:4] == ["2 failed", "", "Failed  2"]
    assert {query["IndexName"] for query in deployed.world.wire.of("dynamodb.Query")} == {"failed"}


def test_look_reads_no_more_than_its_bound(bare: Poller, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, its counts say that there is more; what was not read is not said to be nothing."""
    monkeypatch.setattr(snapshots, "BOUND", 5)
    for number in range(12):
        deployed.put_waiting(f"n{number}")
    found = bare.start()
    assert [(found.part(state).count, len(found.part(state).rows)) for state in STATES] == [
        ("0+", 0),
        ("5+", 5),
        ("0", 0),
    ]
    assert "None of what was read." in printed(bare)
    read_keys = [
        len(asked["Keys"])
        for request in deployed.world.wire.of("dynamodb.BatchGetItem")
        for asked in request["RequestItems"].values()
    ]
    assert max(read_keys) <= 100


def test_what_does_not_fit_is_counted(deployed: Deployed) -> None:
    """The rows end with the terminal, and a line says how many more there are, or that they are more than that."""
    for number in range(50):
        cause = "E: " + "x" * number  # each has one of its own
        deployed.put_waiting(f"n{number}", number + 3, orderId=f"ORDER-{number}", lastError=cause)
    rows = tuple(map(read, deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")))
    look = Snapshot(NOW, (60,), {"overdue": Found(rows, more=True), "failed": Found(), "pending": Found(rows)})
    for height in (16, 24, 40, 60):
        text = _drawn(WatchView(Stack(), look, NOW, STATES), height)
        lines = text.splitlines()
        assert len(lines) <= height
        late, waiting = (int(more) for more in re.findall(r"… and (?:more than )?(\d+) more", text))
        assert sum(line.startswith("ORDER-") for line in lines) == 100 - late - waiting
    assert "… and more than " in text
    assert "… and more than " not in _drawn(WatchView(Stack(), look, NOW, ("pending",)), 24)


def test_picture_fits_narrow_terminals(poller: Poller) -> None:
    """Nothing is wider than the terminal, nor is a line broken in two."""
    for width in (60, 80, 120):
        assert max(map(len, printed(poller, width=width))) <= width
    assert len(printed(poller, width=80)) == len(printed(poller, width=120))


def test_watch_goes_on_after_a_failed_read(poller: Poller, deployed: Deployed) -> None:
    """A throttled look is said in the board, above the last picture; the next one replaces it. Ctrl-C ends it."""
    world, console, pictures = deployed.world, _terminal(), list[str]()

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


def test_watch_gives_the_terminal_back(bare: Poller) -> None:
    """After Ctrl-C the cursor is shown and the screen is the one that was there before."""
    console = _terminal()

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    watch(bare, STATES, console, 2, stop)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert written.rindex(CURSOR_SHOWN) > written.rindex("\x1b[?25l")
    assert written.rindex(OTHER_SCREEN_LEFT) > written.rindex("\x1b[?1049h")


def test_first_look_that_fails_ends_the_watch(bare: Poller, deployed: Deployed) -> None:
    """There is no picture to keep yet, and most likely the profile is wrong."""
    deployed.world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    with pytest.raises(ClientError, match="AccessDenied"):
        watch(bare, STATES, _terminal(), 2, lambda _seconds: None)


def test_due_and_claimed_ones_have_no_countdown(bare: Poller, deployed: Deployed) -> None:
    """Due for less than a timer may be late it only waits; what is claimed or tried again is said to be."""
    now = deployed.world.now
    deployed.put_waiting("due", 0.5)
    deployed.put_waiting("later", -1.5, passesDone=7)
    deployed.put_waiting("again", -0.5, attempts=2)
    deployed.put_waiting("claimed", leaseUntil=format_utc(now + timedelta(seconds=9)))
    lines = printed(bare)
    ends = [re.sub("━+$", "━", line).split()[-2:] for line in lines if line.startswith(ORDER)]
    assert ends == [["h", "running"], ["due", "━"], ["s", "retrying"], ["s", "waiting"]]


def test_looks_are_shared_for_a_while(bare: Poller, deployed: Deployed) -> None:
    """However many ask, the tables are asked no more often than agreed."""
    poller = Poller(bare.stack, clock=bare.clock, at_most_every=timedelta(seconds=2))
    seen = poller.poll()
    deployed.world.wait(1.9)
    assert poller.poll() is seen
    deployed.world.wait(0.1)
    assert poller.poll() is not seen


@pytest.mark.usefixtures("poller")
@pytest.mark.parametrize("arguments", [("--once",), ()])
def test_command_prints_one_picture_into_a_pipe(deployed: Deployed, capsys: Print, arguments: tuple[str, ...]) -> None:
    """`followups watch --once`, and without it where nobody could press Ctrl-C for want of a terminal."""
    assert deployed.run("watch", *arguments) == 0
    out = capsys.readouterr().out
    assert out.count("Follow-ups of payment3-follow-up-dev") == 1
    assert LATE_ORDER in out
    assert "\x1b" not in out


@pytest.mark.usefixtures("poller")
def test_command_prints_one_look_as_json(deployed: Deployed, capsys: Print) -> None:
    """`followups watch --json` ends after one look, too: the records by their own names, and whether there are more."""
    assert deployed.run("watch", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["at"] == "2026-11-22T09:30:17.250000Z"
    assert {name: len(data[name]["rows"]) for name in STATES} == {"overdue": 1, "failed": 2, "pending": 8}
    assert not any(data[name]["more"] for name in STATES)
    [late] = data["overdue"]["rows"]
    assert (late["orderId"], late["status"], late["attempts"]) == (LATE_ORDER, "retrying", 3)
    assert data["failed"]["rows"][0]["lastError"].startswith("GaveUp: pass 2")
    assert deployed.run("watch", "--json", "--state", "failed", "--state", "failed") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"version", "at", "failed", "notSaved", "waiting"}


@pytest.mark.usefixtures("poller")
def test_command_watches_a_terminal_until_ctrl_c(
    deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal it waits between looks as long as it is asked to, and Ctrl-C is its proper end."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(deployed.world, "wait", wait)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert deployed.run("watch", "--every", "7") == 0
    assert waits == [7, 7, 7]
    assert OTHER_SCREEN_LEFT in capsys.readouterr().out
    assert deployed.run("watch", "--every", "0.5") == 2


def test_many_of_one_cause_are_one_row_with_one_command(bare: Poller, deployed: Deployed) -> None:
    """What failed is folded: how many, since when, and the command for all of them; the totals stay exact."""
    for number in range(40):
        deployed.put_failed(f"a{number}", number, orderId=f"ORDER-{number}", lastError=f"GaveUp: order ORDER-{number}")
    deployed.put_failed("b", 3, lastError="GaveUp: another cause")
    lines = printed(bare)
    assert lines[1] == "0 late · 41 failed · 0 waiting"
    [place] = [number for number, line in enumerate(lines) if "of this cause" in line]
    assert lines[place] == "  40 of this cause, 08:51:17 UTC to 09:30:17 UTC"
    assert re.fullmatch(
        r"  followups replay --state=failed --cause=\w{6} --stack payment3-follow-up-dev", lines[place + 1]
    )
    found: Any = bare.start().as_data()
    assert [cause["count"] for cause in found["failed"]["causes"]] == [40, 1]


def test_letters_and_all_that_waits_are_counted(
    bare: Poller, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be saved is in red, with the command; beyond the bound what waits is counted without a read."""
    monkeypatch.setattr(snapshots, "BOUND", 5)
    with deployed.world.wire.aside():
        deployed.put_each_kind()
    for number in range(12):
        deployed.put_waiting(f"n{number}", -1)
    lines = printed(bare)
    assert lines[1] == "0+ late · 0 failed · 5+ waiting · 12 waiting in all"
    assert lines[3:5] == [
        "1 not saved, in RefusedQueue",
        "  followups dead-letters list --stack payment3-follow-up-dev",
    ]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "Sign in"),
        (ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "old"}}, "Query"), "Sign in"),
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Query"), "docs/operations.md"),
        (ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "Query"), "patience"),
        (ClientError({"Error": {"Code": "ValidationException", "Message": "no index"}}, "Query"), "deploy it anew"),
        (ClientError({"Error": {"Code": "Strange", "Message": "?"}}, "Query"), "Check profile"),
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
    """Whoever looks reads what happened and what helps."""
    said = explain(error)
    assert said
    assert said.what == " ".join(str(error).split())
    assert advice in said.advice


def test_error_shows_no_secret() -> None:
    """An error of AWS's may quote what it was sent."""
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
