"""`followups watch`: the board in a terminal, looked at again and again until Ctrl-C."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from callback.clock import format_utc
from followups.output import STYLES, shortened
from followups.problems import Problem
from followups.records import Notification, State, Status, status
from followups.snapshot import Part, Poller, Snapshot
from followups.times import clock_time, span

Cell = RenderableType
# The most urgent first.
URGENCY: tuple[State, ...] = ("overdue", "failed", "pending")
_A_SECOND = 4  # redraws, so that countdowns move while a look takes its time
_FEWEST_ROWS = 2
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
        state: {"rows": [row.as_data(snapshot.at) for row in part.rows], "more": part.cut}
        for state, part in snapshot.parts.items()
    }
    return {"at": format_utc(snapshot.at), **parts}


def wait_of(notification: Notification, current: Status, delays: Sequence[int]) -> int | None:
    """Return the seconds from the last pass to this one, None where the plan does not say them or it is tried again."""
    before = notification.next_pass - 1
    return delays[before - 1] if current.word == "waiting" and 0 < before <= len(delays) else None


def _view(poller: Poller, first: Snapshot, states: Sequence[State]) -> "WatchView":
    seen = poller.seen
    return WatchView(poller.stack.name, seen.snapshot or first, poller.clock(), tuple(states), seen.problem)


@dataclass(frozen=True)
class WatchView:
    """A snapshot, drawn as of `now` into whatever space there is: rich asks again after a resize.

    Where a later look failed, `problem` says so above the last snapshot there is.
    """

    name: str
    snapshot: Snapshot
    now: datetime
    states: tuple[State, ...]
    problem: Problem | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw all of it, cut to the terminal's height."""
        looked = f"  looked at {clock_time(self.snapshot.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.name}", "bold"), (looked, "dim"), no_wrap=True)
        if self.problem:
            yield Text(f"The last look failed, this is an older one: {self.problem.what}", "bold red")
            yield Text(self.problem.advice, "red")
        yield self._totals()
        rows = self._rows(options.height or (console.height if console.is_terminal else None))
        for state, count in rows.items():
            yield from self._section(state, self.snapshot.part(state), count, options.max_width)

    def _totals(self) -> Text:
        said = {"overdue": "late", "failed": "failed", "pending": "waiting"}
        parts = [
            (f"{part.count} {said[state]}", "red" if part.rows and state != "pending" else "")
            for state in URGENCY
            if (part := self.snapshot.parts.get(state))
        ]
        return Text.assemble(*[piece for part in parts for piece in (part, (" · ", "dim"))][:-1])

    def _rows(self, height: int | None) -> dict[State, int]:
        asked = [state for state in URGENCY if state in self.states]
        if height is None:
            return dict.fromkeys(asked, _ROWS_ANYWHERE)
        left = height - 2 - _PROBLEM_LINES * bool(self.problem)
        rows: dict[State, int] = {}
        for position, state in enumerate(asked):
            # An empty line, the title, the head and the line of what is left out; a section that needs less leaves it.
            fair = left // (len(asked) - position) - 4
            there = self.snapshot.part(state).rows
            lines = 1 + any(row.reason for row in there)
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
        for row in part.rows[:count]:
            yield _line(*self._cells(state, row), width=width)
            if row.reason:
                yield Padding(Text(row.reason, "red", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2))
        if (more := len(part.rows) - count) > 0:
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
