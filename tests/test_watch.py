"""The board in a terminal: what it says, how much it reads, and that it goes on whatever happens."""

import io
import json
import re
from collections.abc import Iterator
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

from callback.clock import moment, stamp
from followups import overview
from followups.notifications import WANTED, Wanted
from followups.overview import Look, Looker, Part
from followups.picture import Picture
from followups.problems import problem
from followups.row import Row
from followups.stack import Stack, StackError
from followups.watch import USUAL, as_data, show_once, watch
from local.scene import LATE_ORDER
from tests.busy import make_busy, use_few_shards
from tests.deployed import Deployed
from tests.wire import refuse
from tests.world import CHARGE, ORDER

NOW = moment("2026-11-22T09:30:17.250000Z")
CURSOR_SHOWN, OTHER_SCREEN_LEFT = "\x1b[?25h", "\x1b[?1049l"


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    use_few_shards(monkeypatch)


@pytest.fixture
def looker(deployed: Deployed) -> Iterator[Looker]:
    """A look at a stack in which much has happened."""
    world = deployed.world
    make_busy(world)
    with world.wire:
        yield Looker(Stack(), clock=lambda: world.now)


@pytest.fixture
def bare(deployed: Deployed) -> Iterator[Looker]:
    """A look at a stack in which nothing has happened."""
    with deployed.world.wire:
        yield Looker(Stack(), clock=lambda: deployed.world.now)


def printed(looker: Looker, shown: tuple[Wanted, ...] = USUAL, width: int = 100) -> list[str]:
    """The lines of one picture."""
    out = io.StringIO()
    show_once(looker, shown, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_picture_says_what_is_late_what_failed_and_what_waits(looker: Looker) -> None:
    """Each section has its notifications, most urgent first, with lateness, reasons, countdowns and claims."""
    lines = printed(looker)
    assert lines[:2] == [
        "Follow-ups of payment3-follow-up-dev  looked at 09:30:17 UTC",
        "8 waiting · 1 late · 2 failed in 24 h (1 in the last hour) · 3 done in 1 h",
    ]
    late, failed, waiting = (lines.index(title) for title in ("Late  1", "Failed in the last day  2", "Waiting  8"))
    assert re.fullmatch(rf"{LATE_ORDER} +chrg_\S+ +2 +1  7 min 19 s", lines[late + 2])
    assert lines[failed + 3] == "  PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    assert re.match(r"ORDER-1977 .* 2  5 h 8 min ago$", lines[failed + 4])
    assert re.fullmatch(r"ORDER-\d+ +chrg_\S+ +1 +1  claimed", lines[waiting + 2])
    assert re.fullmatch(r"ORDER-\d+ +chrg_\S+ +2 +0  6 s +━+╺?━*", lines[waiting + 3])


def test_picture_of_nothing_says_so(bare: Looker) -> None:
    """An empty section is a sentence, not a gap."""
    assert printed(bare, WANTED)[1:] == [
        "0 waiting · 0 late · 0 failed in 24 h (0 in the last hour) · 0 done in 1 h",
        *("", "Nothing is late.", "", "Nothing failed in the last day.", "", "Nothing waits."),
        *("", "Nothing was done in the last hour."),
    ]


def test_only_the_states_asked_for_are_read(looker: Looker, deployed: Deployed) -> None:
    """`--state done` lists what is done, with how long it took, and asks the index for nothing else."""
    lines = printed(Looker(looker.stack, ("done",), looker.clock), ("done",))
    assert lines[1:4] == ["3 done in 1 h", "", "Done in the last hour  3"]
    assert re.match(r"ORDER-\d+ .* 2 +2  \d+ min( \d+ s)? ago +1 min( \d+ s)?$", lines[5])
    queries = deployed.world.wire.of("dynamodb.Query")
    assert {query["ExpressionAttributeValues"][":shard"]["S"][:5] for query in queries} == {"DONE#"}


def test_look_reads_no_more_than_its_bound(bare: Looker, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, a look reads its bound and one more, and its count says that there is more."""
    monkeypatch.setattr(overview, "BOUNDS", dict.fromkeys(WANTED, 5))
    for number in range(40):
        _put(deployed, f"n-{number}", sweepShard=number % 2)
    read: list[int] = []
    deployed.world.wire.after["dynamodb.Query"] = lambda call: read.append(call.request["Limit"])
    late = bare.start().part("overdue")
    assert (late.count, len(late.rows)) == ("5+", 5)
    assert set(read) == {3}


def test_what_does_not_fit_is_counted() -> None:
    """The rows end with the terminal, and a line says how many more there are, or that they are more than that."""
    rows = tuple(_row(number) for number in range(50))
    look = Look(NOW, (60,), {"overdue": Part(rows, cut=True), "failed": Part(), "pending": Part(rows)})
    for height in (16, 24, 40, 60):
        text = _drawn(Picture("stack", look, NOW, USUAL), height)
        lines = text.splitlines()
        assert len(lines) <= height
        late, waiting = (int(more) for more in re.findall(r"… and (?:more than )?(\d+) more", text))
        assert sum(line.startswith("ORDER-") for line in lines) == 100 - late - waiting
    assert "… and more than " in text
    assert "… and more than " not in _drawn(Picture("stack", look, NOW, ("pending",)), 24)


def test_picture_fits_narrow_terminals(looker: Looker) -> None:
    """Nothing is wider than the terminal, nor is a line broken in two."""
    for width in (60, 80, 120):
        lines = printed(looker, WANTED, width)
        assert max(map(len, lines)) <= width
    assert len(printed(looker, WANTED, 80)) == len(printed(looker, WANTED, 120))


def test_watch_goes_on_after_a_failed_read(looker: Looker, deployed: Deployed) -> None:
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

    watch(looker, USUAL, console, 2, sleep)
    said = ["The last look failed" in picture for picture in pictures]
    assert said == [False, False, True, False, False]
    assert "AWS asks for patience; the next look may succeed." in pictures[2]
    assert LATE_ORDER in pictures[2]
    looked = [re.findall(r"looked at (\S+)", picture)[0][-2:] for picture in pictures]
    assert looked == ["17", "19", "19", "23", "25"]


def test_watch_gives_the_terminal_back(bare: Looker) -> None:
    """After Ctrl-C the cursor is shown and the screen is the one that was there before."""
    console = _terminal()

    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    watch(bare, USUAL, console, 2, stop)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert written.rindex(CURSOR_SHOWN) > written.rindex("\x1b[?25l")
    assert written.rindex(OTHER_SCREEN_LEFT) > written.rindex("\x1b[?1049h")


def test_first_look_that_fails_ends_the_watch(bare: Looker, deployed: Deployed) -> None:
    """There is no picture to keep yet, and most likely the profile is wrong."""
    deployed.world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    with pytest.raises(ClientError, match="AccessDenied"):
        watch(bare, USUAL, _terminal(), 2, lambda _seconds: None)


def test_data_has_the_records_own_names(looker: Looker) -> None:
    """`--json`: each state with its rows, and whether there are more."""
    data = json.loads(json.dumps(as_data(looker.start())))
    assert data["at"] == "2026-11-22T09:30:17.250000Z"
    assert {name: len(data[name]["rows"]) for name in WANTED} == {"overdue": 1, "failed": 2, "pending": 8, "done": 3}
    assert not any(data[name]["more"] for name in WANTED)
    [late] = data["overdue"]["rows"]
    assert late["orderId"] == LATE_ORDER
    assert set(late) == {"orderId", "chargeId", "notificationId", "pass", "attempts", "nextPassDue", "lastError"}
    assert data["failed"]["rows"][0]["lastError"].startswith("PassFailed: pass 2")


def test_spoilt_record_is_a_row_that_says_so(bare: Looker, deployed: Deployed) -> None:
    """A record that another hand has spoilt hides no other one, and ends no board."""
    _put(deployed, "spoilt", nextPassDue="2026-11-22T08 o'clock")
    _put(deployed, "nameless", attempts=None, orderId=None)
    _put(deployed, "waiting", attempts=None, nextPassDue=stamp(deployed.world.now))
    _put(deployed, "well")
    text = "\n".join(printed(bare))
    assert text.count("the record is not what `save` writes: mend it by hand") == 3
    assert "Late  3" in text
    assert f"{ORDER} " in text


def test_due_and_claimed_ones_have_no_countdown(bare: Looker, deployed: Deployed) -> None:
    """Due for less than a timer may be late it only waits; a late one that is claimed is said to be."""
    now = deployed.world.now
    _put(deployed, "due", nextPassDue=stamp(now - timedelta(seconds=30)))
    _put(deployed, "later", nextPassDue=stamp(now + timedelta(seconds=90)), passesDone=7)
    _put(deployed, "claimed", leaseUntil=stamp(now + timedelta(seconds=9)))
    lines = printed(bare)
    ends = [re.sub("━+$", "━", line).split()[-2:] for line in lines if line.startswith(ORDER)]
    assert ends == [["h", "claimed"], ["due", "━"], ["30", "s"]]


def test_hostile_ids_reach_no_terminal(bare: Looker, deployed: Deployed) -> None:
    """What an order id holds is shown, and neither obeyed by the terminal nor by rich."""
    _put(deployed, "n", orderId="\x1b]0;x\x07[red]me\n")
    assert "?]0;x?[red]me?" in "\n".join(printed(bare))


def test_looks_are_shared_for_a_while(bare: Looker, deployed: Deployed) -> None:
    """However many ask, the tables are asked no more often than agreed."""
    looker = Looker(bare.stack, clock=bare.clock, at_most_every=timedelta(seconds=2))
    seen = looker.look()
    deployed.world.wait(1.9)
    assert looker.look() is seen
    deployed.world.wait(0.1)
    assert looker.look() is not seen


@pytest.mark.parametrize("arguments", [("--once",), ()])
def test_command_prints_one_picture_into_a_pipe(
    looker: Looker, deployed: Deployed, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """`followups watch --once`, and without it where nobody could press Ctrl-C for want of a terminal."""
    assert looker
    assert deployed.run("watch", *arguments) == 0
    out = capsys.readouterr().out
    assert out.count("Follow-ups of payment3-follow-up-dev") == 1
    assert LATE_ORDER in out
    assert "\x1b" not in out


def test_command_prints_one_look_as_json(
    looker: Looker, deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """`followups watch --json` ends after one look, too; only the states asked for are in it."""
    assert looker
    assert deployed.run("watch", "--json", "--state", "failed", "--state", "failed") == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {"at", "failed"}
    assert len(data["failed"]["rows"]) == 2


def test_command_watches_a_terminal_until_ctrl_c(
    looker: Looker, deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal it waits between looks as long as it is told, and Ctrl-C is its proper end."""
    assert looker
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


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "Sign in"),
        (ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "old"}}, "Query"), "Sign in"),
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Query"), "may not read"),
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
    said = problem(error)
    assert said.what == " ".join(str(error).split())
    assert advice in said.advice


def test_error_shows_no_secret() -> None:
    """An error of AWS's may quote what it was sent."""
    assert "4242" not in problem(StackError("card 4242424242424242")).what


def _terminal(height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=height, color_system=None)


def _plain(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", console.file.getvalue())


def _drawn(picture: Picture, height: int) -> str:
    console = _terminal(height)
    console.print(picture)
    return _plain(console)


def _row(number: int) -> Row:
    return Row(f"charge-{number}", "n", f"ORDER-{number}", 2, 0, due=NOW - timedelta(minutes=number))


def _put(deployed: Deployed, notification: str, **changes: object) -> None:
    """A notification late for its second pass; a change to None leaves the attribute out."""
    item: dict[str, object] = {
        "chargeId": CHARGE,
        "notificationId": notification,
        "orderId": ORDER,
        "state": "PENDING",
        "passesDone": 1,
        "attempts": 1,
        "attemptsBefore": 1,
        "sweepShard": len(notification) % 2,
        "nextPassDue": stamp(deployed.world.now - timedelta(hours=1)),
    } | changes
    kept = {name: value for name, value in item.items() if value is not None}
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=kept)
