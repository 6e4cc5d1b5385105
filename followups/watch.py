"""`followups watch`: what is late, what failed and what waits, live in a terminal."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from followups.command import LETTERS, READ, Operator, manual
from followups.listing import command_of, extent, state_option
from followups.output import STYLES, clock_time, shortened, span, with_command
from followups.records import STATES, Notification, State, grouped, status
from followups.snapshot import Poller, Snapshot, take_snapshot
from followups.stack import Problem, Stack

# The most urgent first: a section's title, its text where it is empty, the head of its column of times, its total.
_SECTIONS: dict[State, tuple[str, str, str, str]] = {
    "overdue": ("Late", "Nothing is late.", "late by", "late"),
    "failed": ("Failed", "Nothing has failed.", "failed", "failed"),
    "pending": ("Waiting", "Nothing waits.", "due in", "waiting"),
}
_WIDTHS = (17, 17, 12, 4, 5, 15)
_A_SECOND = 4  # redraws, so that countdowns move while a snapshot takes its time
_ROWS_ANYWHERE = 10  # into a pipe, which has no height
# The width of a terminal that has room for charges.
_WIDE = 110


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
        above = list(self._above())
        yield from above
        asked = [state for state in _SECTIONS if state in self.states]
        height = options.height or (console.height if console.is_terminal else None)
        left = height - len(above) if height else None
        for position, state in enumerate(asked):
            groups = self._groups(state)
            lines = 1 + any(group[0].reason for group in groups) + 2 * any(len(group) > 1 for group in groups)
            count = _ROWS_ANYWHERE
            if left is not None:
                # An equal part for each, and what others do not need. An empty line, title, head and what is left out.
                count = max((left // (len(asked) - position) - 4) // lines, 1)
                left -= 4 + lines * min(count, len(groups))
            yield from self._section(state, groups, count, options.max_width)

    def _above(self) -> Iterator[Text]:
        as_of = f"  as of {clock_time(self.snapshot.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.stack.name}", "bold"), (as_of, "dim"), no_wrap=True)
        if self.problem:
            yield Text(f"This could not be renewed: {self.problem.what}", "bold red", no_wrap=True, overflow="ellipsis")
            yield Text(self.problem.advice, "red", no_wrap=True, overflow="ellipsis")
        parts = {word: self.snapshot.parts.get(state) for state, (*_, word) in _SECTIONS.items()}
        totals = [f"{part.count} {word}" for word, part in parts.items() if part]
        totals += [f"{self.snapshot.waiting} waiting in all"] if self.snapshot.waiting is not None else []
        yield Text(" · ".join(totals))
        for line in (part for letters in self.snapshot.letters for part in with_command(letters)):
            yield Text(line, "bold red", no_wrap=True, overflow="ignore")

    def _groups(self, state: State) -> list[tuple[Notification, ...]]:
        rows = self.snapshot.part(state).rows
        return [(row,) for row in rows] if state == "pending" else grouped(rows)

    def _section(
        self, state: State, groups: list[tuple[Notification, ...]], count: int, width: int
    ) -> Iterator[RenderableType]:
        part, (title, nothing, when, _) = self.snapshot.part(state), _SECTIONS[state]
        yield Text()
        if not groups:
            yield Text("None of what was read." if part.more else nothing, "dim")
            return
        yield Text.assemble((title, "bold" if state == "pending" else "bold red"), f"  {part.count}")
        yield _line("order", "charge", "checksum", "pass", "tries", when, "status", style="dim", width=width)
        for row, *others in groups[:count]:
            yield self._row(state, row, width)
            if row.reason:
                yield Text(f"  {row.reason}", "red", no_wrap=True, overflow="ellipsis")
            if others:
                yield Text(f"  {1 + len(others)} of this cause, {extent((row, *others), self.now)}", "bold")
                command = command_of(self.stack, row, self.now, "replay")
                yield Text(f"  {command}", "dim", no_wrap=True, overflow="ignore")
        if more := sum(map(len, groups[count:])):
            yield Text(f"… and {'more than ' if part.more else ''}{more} more", "dim")

    def _row(self, state: State, row: Notification, width: int) -> Table:
        current, now = status(row, self.now), self.now
        left = span(current.at - now) if current.at and current.at > now else "due"
        left = "" if current.word == "running" else left
        ago = f"{span(now - current.at)} ago" if current.at else ""
        when = {"overdue": span(current.late), "failed": ago, "pending": left}[state]
        again = f" in {left}" if state == "overdue" and current.word == "retrying" and left != "due" else ""
        proof = Text(row.checksum, "" if row.checksum == "valid" else "yellow")
        ids = (shortened(row.ids[name], _WIDTHS[0]) for name in ("orderId", "chargeId"))
        numbers = (str(row.next_pass), f"{row.attempts_made:>5}", when)
        word = Text(f"{current.word}{again}", STYLES[current.level])
        return _line(*map(Text, ids), proof, *numbers, word, width=width)


def _line(*cells: RenderableType, width: int, style: str = "") -> Table:
    # A separate table of fixed widths: all sections are aligned, and a reason has the whole width.
    line = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
    is_narrow = width < _WIDE
    for size in _WIDTHS[is_narrow:]:
        line.add_column(width=size, no_wrap=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_row(cells[0], *cells[1 + is_narrow :], style=style)
    return line


def _watch(poller: Poller, first: Snapshot, operator: Operator, every: float) -> None:
    def view() -> WatchView:
        snapshot, problem = poller.last
        return WatchView(poller.stack, snapshot or first, poller.clock(), poller.states, problem)

    # The alternate screen: a resize leaves no halves of pictures behind.
    live = Live(get_renderable=view, console=operator.output.console, screen=True, refresh_per_second=_A_SECOND)
    with suppress(KeyboardInterrupt), live:
        while True:
            live.refresh()
            operator.sleep(every)
            poller.poll()


@manual("watch", READ + LETTERS, "followups watch --state overdue --state failed", "followups watch --once --json")
@state_option
@click.option("--every", type=click.FloatRange(min=1), default=2, help="seconds between refreshes (default: 2)")
@click.option("--once", is_flag=True, help="print one picture and end")
def command(operator: Operator, states: tuple[State, ...], every: float, *, once: bool) -> int:
    """Watch what waits, what is late and what failed, until Ctrl-C.

    What waits has a countdown to its pass; what is late, or failed, is above it. When a snapshot cannot be taken, a
    line says why, and the last one stays. It reads at most 300 items of what waits and 1,000 of what failed: beyond
    that a count has a +.

    In a pipe it prints one picture, as with --once; with --json, one JSON document.
    """
    output, stack, states = operator.output, operator.stack, states or STATES
    first = take_snapshot(stack, states, operator.clock())
    if output.as_json:
        output.document(first.as_data())
    elif once or not output.is_terminal:
        output.console.print(WatchView(stack, first, operator.clock(), states))
    else:
        _watch(Poller(stack, states, operator.clock), first, operator, every)
    return 0
