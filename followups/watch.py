"""`followups watch`: what is late, what failed and what waits, live in a terminal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from followups.listing import StateChoice, command_of, extent
from followups.manual import LETTERS, READ, manual
from followups.operator import Operator
from followups.output import STYLES
from followups.records import STATES, Notification, State, grouped, status
from followups.snapshot import Poller, Snapshot
from followups.stack import Problem, Stack
from followups.text import clock_time, shortened, span, with_command

# The most urgent first: a section's title, its text where it is empty, the head of its column of times, its total.
_SECTIONS: dict[State, tuple[str, str, str, str]] = {
    "overdue": ("Late", "Nothing is late.", "late by", "late"),
    "failed": ("Failed", "Nothing has failed.", "failed", "failed"),
    "pending": ("Waiting", "Nothing waits.", "due in", "waiting"),
}
_A_SECOND = 4  # redraws, so that countdowns move while a snapshot takes its time
_ROWS_ANYWHERE = 10  # into a pipe, which has no height
_PROBLEM_LINES = 4
# Widths of an id, and of a terminal that has room for charges.
_SHORT, _WIDE = 17, 110
_BAR = 40


def watch(
    poller: Poller, states: Sequence[State], console: Console, every: float, sleep: Callable[[float], None]
) -> None:
    """Show snapshots until Ctrl-C; one that fails is reported above the last one."""
    first = poller.start()
    # The alternate screen: a resize leaves no halves of pictures behind.
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
    console.print(_view(poller, poller.start(), states))


def _view(poller: Poller, first: Snapshot, states: Sequence[State]) -> "WatchView":
    snapshot, problem = poller.last
    return WatchView(poller.stack, snapshot or first, poller.clock(), tuple(states), problem)


@dataclass(frozen=True)
class WatchView:
    """A snapshot, drawn as of `now` into the space that there is; `problem` is why it could not be renewed."""

    stack: Stack
    snapshot: Snapshot
    now: datetime
    states: tuple[State, ...]
    problem: Problem | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw all of it, cut to the terminal's height."""
        as_of = f"  as of {clock_time(self.snapshot.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.stack.name}", "bold"), (as_of, "dim"), no_wrap=True)
        if self.problem:
            yield Text(f"This could not be renewed: {self.problem.what}", "bold red")
            yield Text(self.problem.advice, "red")
        yield self._totals()
        letters = [part for line in self.snapshot.letters for part in with_command(line)]
        for line in letters:
            yield Text(line, "bold red", no_wrap=True, overflow="ignore")
        height = options.height or (console.height if console.is_terminal else None)
        left = height - 2 - _PROBLEM_LINES * bool(self.problem) - len(letters) if height else None
        for state, count in self._rows(left).items():
            yield from self._section(state, count, options.max_width)

    def _totals(self) -> Text:
        parts: list[tuple[str, str]] = []
        for state, (*_, word) in _SECTIONS.items():
            if part := self.snapshot.parts.get(state):
                parts += [(" · ", "dim"), (f"{part.count} {word}", "red" if part.rows and state != "pending" else "")]
        if self.snapshot.waiting is not None:
            parts += [(" · ", "dim"), (f"{self.snapshot.waiting} waiting in all", "")]
        return Text.assemble(*parts[1:])

    def _groups(self, state: State) -> list[tuple[Notification, ...]]:
        rows = self.snapshot.part(state).rows
        return [(row,) for row in rows] if state == "pending" else grouped(rows)

    def _rows(self, left: int | None) -> dict[State, int]:
        """Share the lines that are left among the sections: an equal part for each, and what others do not need."""
        asked = [state for state in _SECTIONS if state in self.states]
        if left is None:
            return dict.fromkeys(asked, _ROWS_ANYWHERE)
        rows: dict[State, int] = {}
        for position, state in enumerate(asked):
            groups = self._groups(state)
            # An empty line, the title, the head and the line of what is left out.
            fair = left // (len(asked) - position) - 4
            lines = 1 + any(group[0].reason for group in groups) + 2 * any(len(group) > 1 for group in groups)
            rows[state] = max(fair // lines, 1)
            left -= 4 + lines * min(rows[state], len(groups))
        return rows

    def _section(self, state: State, count: int, width: int) -> Iterator[RenderableType]:
        part, (title, nothing, when, _) = self.snapshot.part(state), _SECTIONS[state]
        yield Text()
        if not part.rows:
            yield Text("None of what was read." if part.more else nothing, "dim")
            return
        yield Text.assemble((title, "bold" if state == "pending" else "bold red"), f"  {part.count}")
        yield _line("order", "charge", "checksum", "pass", "tries", when, "status", style="dim", width=width)
        groups = self._groups(state)
        for group in groups[:count]:
            yield from self._group(state, group, width)
        if more := sum(map(len, groups[count:])):
            yield Text(f"… and {'more than ' if part.more else ''}{more} more", "dim")

    def _group(self, state: State, group: Sequence[Notification], width: int) -> Iterator[RenderableType]:
        row = group[0]
        order, charge = (Text(shortened(row.ids[name], _SHORT)) for name in ("orderId", "chargeId"))
        proof = Text(row.checksum, "" if row.checksum == "valid" else "yellow")
        numbers = str(row.next_pass), f"{row.attempts_made:>5}"
        yield _line(order, charge, proof, *numbers, *self._time_and_status(state, row), width=width)
        if row.reason:
            yield Padding(Text(row.reason, "red", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2))
        if len(group) > 1:
            yield Text(f"  {len(group)} of this cause, {extent(group, self.now)}", "bold")
            command = command_of(self.stack, row, self.now, "replay")
            yield Text(f"  {command}", "dim", no_wrap=True, overflow="ignore")

    def _time_and_status(self, state: State, row: Notification) -> tuple[RenderableType, RenderableType]:
        current = status(row, self.now)
        left = current.at - self.now if current.at else timedelta()
        word = Text(current.word, STYLES[current.level])
        if state == "overdue":
            again = f" in {span(left)}" if current.word == "retrying" and left > timedelta() else ""
            return Text(span(current.late), "red"), word.append(again)
        if state == "failed":
            return f"{span(left)} ago" if current.at else "", word
        if current.word == "running":
            return "", current.word
        wait = self.snapshot.wait_of(row, current)
        # One colour all the way: only what is wrong is to catch the eye.
        gone = min(max(wait - left.total_seconds(), 0), wait) if wait else 0
        bar = ProgressBar(wait, gone, _BAR, complete_style="cyan", finished_style="cyan")
        return span(left) if left > timedelta() else "due", bar if wait else current.word


def _line(*cells: RenderableType, width: int, style: str = "") -> Table:
    # A separate table of fixed widths: all sections are aligned, and a reason has the whole width.
    line = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
    is_narrow = width < _WIDE
    for size in (_SHORT, _SHORT, 12, 4, 5, 15)[is_narrow:]:
        line.add_column(width=size, no_wrap=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_row(cells[0], *cells[1 + is_narrow :], style=style)
    return line


@manual("watch", READ + LETTERS, "followups watch --state overdue --state failed", "followups watch --once --json")
@click.option("--state", "states", type=StateChoice(), multiple=True, help="may be given several times")
@click.option(
    "--every", type=click.FloatRange(min=1), default=2, metavar="SECONDS", help="between refreshes (default: 2)"
)
@click.option("--once", is_flag=True, help="print one picture and end")
def command(operator: Operator, states: tuple[State, ...], every: float, *, once: bool) -> int:
    """Watch what waits, what is late and what failed, until Ctrl-C.

    What waits has a countdown to its pass; what is late, or failed, is above it. When a snapshot cannot be taken, a
    line says why, and the last one stays. It reads at most 300 items of what waits and 1,000 of what failed: beyond
    that a count has a +.

    In a pipe it prints one picture, as with --once; with --json, one JSON document.
    """
    output = operator.output
    poller = Poller(operator.stack, states or STATES, operator.clock)
    if output.as_json:
        output.document(poller.start().as_data())
    elif once or not output.console.is_terminal:
        show_once(poller, states or STATES, output.console)
    else:
        watch(poller, states or STATES, output.console, every, operator.sleep)
    return 0
