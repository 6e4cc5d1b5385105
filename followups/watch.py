"""A snapshot of what is followed up, and `followups watch`, which shows a new one every few seconds."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from callback.clock import Clock, format_utc, utc_now
from followups.listing import StateChoice, command_of, extent
from followups.manual import LETTERS, READ, ManualCommand
from followups.operator import Operator
from followups.output import STYLES
from followups.records import STATES, Listing, Notification, State, Status, count_waiting, grouped, listed, status
from followups.stack import ERRORS, Problem, Stack, explain
from followups.text import clock_time, shortened, span, with_command

# What a snapshot may read of what waits and of what failed, whatever there is: beyond it counts have a `+`.
BOUND, FAILED_BOUND = 300, 1000


@dataclass(frozen=True)
class Part:
    """The notifications of a state, most urgent first; `cut` where there are more than were read."""

    rows: tuple[Notification, ...] = ()
    cut: bool = False

    @property
    def count(self) -> str:
        """How many there are, as far as was read."""
        return f"{len(self.rows)}{'+' if self.cut else ''}"

    @property
    def groups(self) -> list[tuple[Notification, ...]]:
        """Those of one cause together."""
        return grouped(self.rows)


@dataclass(frozen=True)
class Snapshot:
    """What was there at one moment, for each state that was asked for; here `pending` is what is not late.

    `delays` is the plan as deployed; `letters` has a line for each queue that is not empty; `waiting` counts all that
    waits, late or not, where there is more than was read.
    """

    at: datetime
    delays: tuple[int, ...]
    parts: Mapping[State, Part]
    letters: Sequence[str] = ()
    waiting: int | None = None

    def part(self, state: State) -> Part:
        """Return one part; an empty one where it was not asked for."""
        return self.parts.get(state, Part())


@dataclass(frozen=True)
class Poll:
    """The last snapshot that could be taken, and why the latest could not; `at` is when that was tried."""

    snapshot: Snapshot | None = None
    problem: Problem | None = None
    at: datetime | None = None


class Poller:
    """Looks when it is asked, yet not more often than `at_most_every`; callers in between share the last snapshot."""

    def __init__(
        self,
        stack: Stack,
        states: tuple[State, ...] = STATES,
        clock: Clock = utc_now,
        at_most_every: timedelta = timedelta(),
    ) -> None:
        self.stack, self.clock, self._states, self._pause = stack, clock, states, at_most_every
        self._lock, self.seen = threading.Lock(), Poll()

    def start(self) -> Snapshot:
        """Look for the first time. Raises what is in the way, since there is no snapshot to keep."""
        first = take_snapshot(self.stack, self._states, self.clock())
        self.seen = Poll(first, at=first.at)
        return first

    def poll(self) -> Poll:
        """Look, or keep the last snapshot and say what went wrong."""
        with self._lock:
            now = self.clock()
            if self.seen.at is None or now - self.seen.at >= self._pause:
                self.seen = self._looked(now)
            return self.seen

    def _looked(self, now: datetime) -> Poll:
        try:
            return Poll(take_snapshot(self.stack, self._states, now), at=now)
        except ERRORS as error:
            return replace(self.seen, problem=explain(error), at=now)


def take_snapshot(stack: Stack, states: tuple[State, ...], now: datetime) -> Snapshot:
    """Read both indexes at once, as far as they are needed."""
    # Made here: threads would make them twice, and boto3 cannot make clients in two threads at once.
    _ = stack.output("CreditCardNotifyTable"), stack.dynamodb, stack.sqs
    # What is late waits, too: one reading finds both, so that neither is missed between two.
    asked: set[State] = {"failed" if state == "failed" else "pending" for state in states}
    with ThreadPoolExecutor(len(asked) + 1) as pool:
        letters = pool.submit(stack.about_letters)
        found = dict(zip(asked, pool.map(lambda state: _read(stack, state, now), asked), strict=True))
    waiting = count_waiting(stack) if "pending" in found and found["pending"].cut else None
    parts: dict[State, Part] = {}
    for state in states:
        part = found["failed" if state == "failed" else "pending"]
        rows = [row for row in part.rows if state == "failed" or status(row, now).is_late == (state == "overdue")]
        parts[state] = Part(tuple(rows if state == "failed" else sorted(rows, key=_first_due)), part.cut)
    return Snapshot(now, stack.delays, parts, letters.result(), waiting)


def _read(stack: Stack, state: State, now: datetime) -> Part:
    found = listed(stack, Listing(state, limit=FAILED_BOUND if state == "failed" else BOUND), now)
    return Part(tuple(found), found.more)


def _first_due(row: Notification) -> str:
    return str(row.item.get("firstDue", ""))


Cell = RenderableType
# The most urgent first.
URGENCY: tuple[State, ...] = ("overdue", "failed", "pending")
_A_SECOND = 4  # redraws, so that countdowns move while a snapshot takes its time
_FEWEST_ROWS = 1
_ROWS_ANYWHERE = 10  # where the picture goes to no terminal, whose height would say
_PROBLEM_LINES = 4
_SHORT, _ROOM_FOR_CHARGES = 17, 110
_BAR = 40  # or what room there is
# A section's title, what is said where it is empty, and the head of its column of times.
_SECTIONS: dict[State, tuple[str, str, str]] = {
    "overdue": ("Late", "Nothing is late.", "late by"),
    "failed": ("Failed", "Nothing has failed.", "failed"),
    "pending": ("Waiting", "Nothing waits.", "due in"),
}


def watch(
    poller: Poller, states: Sequence[State], console: Console, every: float, sleep: Callable[[float], None]
) -> None:
    """Show the board until Ctrl-C, with a new look after each pause; one that fails is said, and costs no picture."""
    first = poller.start()
    # A screen of its own, given back in the end: a resize leaves no halves of pictures behind.
    live = Live(
        get_renderable=lambda: _view(poller, first, states), console=console, screen=True, refresh_per_second=_A_SECOND
    )
    with suppress(KeyboardInterrupt), live:
        while True:
            live.refresh()
            sleep(every)
            poller.poll()


def show_once(poller: Poller, states: Sequence[State], console: Console) -> None:
    """Print one picture."""
    first = poller.start()
    console.print(_view(poller, first, states))


def as_data(snapshot: Snapshot) -> dict[str, object]:
    """Return a look for programs: the notifications of each state, and whether there are more than were read."""
    parts: dict[str, object] = {
        state: {
            "rows": [row.as_data(snapshot.at) for row in part.rows],
            "more": part.cut,
            "causes": [{"cause": g[0].cause_id, "text": g[0].cause, "count": len(g)} for g in part.groups],
        }
        for state, part in snapshot.parts.items()
    }
    return {"at": format_utc(snapshot.at), "notSaved": list(snapshot.letters), "waiting": snapshot.waiting, **parts}


def wait_of(notification: Notification, current: Status, delays: Sequence[int]) -> int | None:
    """Return the seconds from the last pass to this one, None where the plan does not say them or it is tried again."""
    before = notification.next_pass - 1
    return delays[before - 1] if current.word == "waiting" and 0 < before <= len(delays) else None


def _view(poller: Poller, first: Snapshot, states: Sequence[State]) -> "WatchView":
    seen = poller.seen
    commands = partial(command_of, poller.stack)
    return WatchView(poller.stack.name, seen.snapshot or first, poller.clock(), tuple(states), seen.problem, commands)


@dataclass(frozen=True)
class WatchView:
    """A snapshot, drawn as of `now` into whatever space there is: rich asks again after a resize.

    Where a later one could not be taken, `problem` says so above the last.
    """

    name: str
    snapshot: Snapshot
    now: datetime
    states: tuple[State, ...]
    problem: Problem | None = None
    commands: Callable[[Notification, datetime, str], str] = lambda row, _now, word: f"{word} --cause={row.cause_id}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw all of it, cut to the terminal's height."""
        as_of = f"  as of {clock_time(self.snapshot.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.name}", "bold"), (as_of, "dim"), no_wrap=True)
        if self.problem:
            yield Text(f"This could not be renewed: {self.problem.what}", "bold red")
            yield Text(self.problem.advice, "red")
        yield self._totals()
        for line in self._letters():
            yield Text(line, "bold red", no_wrap=True, overflow="ignore")
        rows = self._rows(options.height or (console.height if console.is_terminal else None))
        for state, count in rows.items():
            yield from self._section(state, self.snapshot.part(state), count, options.max_width)

    def _letters(self) -> list[str]:
        return [part for line in self.snapshot.letters for part in with_command(line)]

    def _groups(self, state: State) -> list[tuple[Notification, ...]]:
        part = self.snapshot.part(state)
        return [(row,) for row in part.rows] if state == "pending" else part.groups

    def _totals(self) -> Text:
        said = {"overdue": "late", "failed": "failed", "pending": "waiting"}
        parts = [
            (f"{part.count} {said[state]}", "red" if part.rows and state != "pending" else "")
            for state in URGENCY
            if (part := self.snapshot.parts.get(state))
        ]
        parts += [(f"{self.snapshot.waiting} waiting in all", "")] if self.snapshot.waiting is not None else []
        return Text.assemble(*[piece for part in parts for piece in (part, (" · ", "dim"))][:-1])

    def _rows(self, height: int | None) -> dict[State, int]:
        asked = [state for state in URGENCY if state in self.states]
        if height is None:
            return dict.fromkeys(asked, _ROWS_ANYWHERE)
        left = height - 2 - _PROBLEM_LINES * bool(self.problem) - len(self._letters())
        rows: dict[State, int] = {}
        for position, state in enumerate(asked):
            # An empty line, the title, the head and the line of what is left out; a section that needs less leaves it.
            fair = left // (len(asked) - position) - 4
            there = self._groups(state)
            lines = 1 + any(group[0].reason for group in there) + 2 * any(len(group) > 1 for group in there)
            rows[state] = max(fair // lines, _FEWEST_ROWS)
            left -= 4 + lines * min(rows[state], len(there))
        return rows

    def _section(self, state: State, part: Part, count: int, width: int) -> Iterator[RenderableType]:
        title, nothing, when = _SECTIONS[state]
        yield Text()
        if not part.rows:
            yield Text("None of what was read." if part.cut else nothing, "dim")
            return
        yield Text.assemble((title, "bold" if state == "pending" else "bold red"), f"  {part.count}")
        yield _line("order", "charge", "checksum", "pass", "tries", when, "status", style="dim", width=width)
        groups = self._groups(state)
        for group in groups[:count]:
            row = group[0]
            yield _line(*self._cells(state, row), width=width)
            if row.reason:
                yield Padding(Text(row.reason, "red", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2))
            if len(group) > 1:
                yield Text(f"  {len(group)} of this cause, {extent(group, self.now)}", "bold")
                command = self.commands(row, self.now, "replay")
                yield Text(f"  {command}", "dim", no_wrap=True, overflow="ignore")
        if (more := sum(map(len, groups[count:]))) > 0:
            yield Text(f"… and {'more than ' if part.cut else ''}{more} more", "dim")

    def _cells(self, state: State, row: Notification) -> tuple[Cell, ...]:
        current = status(row, self.now)
        ids = (Text(shortened(row.ids[name], _SHORT)) for name in ("orderId", "chargeId"))
        cells = {"overdue": self._late, "failed": self._failed, "pending": self._waiting}[state]
        proof = Text(row.checksum, "" if row.checksum == "valid" else "yellow")
        return *ids, proof, str(row.next_pass), str(row.attempts_made), *cells(row, current)

    def _late(self, _row: Notification, current: Status) -> tuple[Cell, Cell]:
        again = f" in {span(current.at - self.now)}" if current.at and current.at > self.now else ""
        said = f"{current.word}{again if current.word == 'retrying' else ''}"
        return Text(span(current.late), "red"), Text(said, STYLES[current.level])

    def _failed(self, _row: Notification, current: Status) -> tuple[Cell, Cell]:
        return f"{span(self.now - current.at)} ago" if current.at else "", Text(current.word, STYLES[current.level])

    def _waiting(self, row: Notification, current: Status) -> tuple[Cell, Cell]:
        left = current.at - self.now if current.at else timedelta()
        if current.word == "running":
            return "", current.word
        wait = wait_of(row, current, self.snapshot.delays)
        return span(left) if left > timedelta() else "due", _bar(wait, left) if wait else current.word


def _bar(wait: int, left: timedelta) -> ProgressBar:
    # One colour all the way: only what is wrong is to catch the eye.
    gone = min(max(wait - left.total_seconds(), 0), wait)
    return ProgressBar(wait, gone, _BAR, complete_style="cyan", finished_style="cyan")


def _line(*cells: Cell, width: int, style: str = "") -> Table:
    # A table of its own, of fixed widths: so all sections are aligned, and a reason has the whole width.
    line = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
    if width < _ROOM_FOR_CHARGES:
        cells = (cells[0], *cells[2:])
    else:
        line.add_column(width=_SHORT, no_wrap=True)
    line.add_column(width=_SHORT, no_wrap=True)
    line.add_column(width=12, no_wrap=True)
    line.add_column(width=4, no_wrap=True)
    line.add_column(width=5, justify="right", no_wrap=True)
    line.add_column(width=15, no_wrap=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_row(*cells, style=style)
    return line


_HELP = """Watch what waits, what is late and what failed, until Ctrl-C.

What waits has a countdown to its pass; what is late, or failed, is above it. When a snapshot cannot be taken, a line
says why, and the last one stays. It reads at most 300 items of each of the indexes `due` and `failed`: beyond that a
count has a +.

In a pipe it prints one picture, as with --once; with --json, one JSON document."""


@click.command(
    "watch",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups watch": "until Ctrl-C",
        "followups watch --state overdue --state failed": "only what needs somebody",
        "followups watch --once": "one picture",
        "followups watch --once --json": "a snapshot, as JSON",
    },
    exits={0: "shown, or ended by Ctrl-C", 2: "the first snapshot could not be taken"},
    permissions=[*READ, *LETTERS],
)
@click.option("--state", "states", type=StateChoice(), multiple=True, help="may be given several times")
@click.option(
    "--every", type=click.FloatRange(min=1), default=2, metavar="SECONDS", help="between refreshes (default: 2)"
)
@click.option("--once", is_flag=True, help="print one picture and end")
@click.pass_obj
def command(operator: Operator, states: tuple[State, ...], every: float, *, once: bool) -> int:
    """Show the board once, or until Ctrl-C."""
    output = operator.output
    poller = Poller(operator.stack, states or STATES, operator.clock)
    if output.as_json:
        output.document(as_data(poller.start()))
    elif once or not output.console.is_terminal:
        show_once(poller, states or STATES, output.console)
    else:
        watch(poller, states or STATES, output.console, every, operator.sleep)
    return 0
