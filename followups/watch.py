"""`followups watch`: what is late, what failed and what waits, live in a terminal."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console, ConsoleOptions, OverflowMethod
from rich.live import Live
from rich.text import Text

from callback.clock import Clock, utc_now
from callback.table import format_utc
from followups.cli import LETTERS, READ, Operator, manual
from followups.listing import CHOOSING, extent, group_command, state_option
from followups.output import STYLES, Cell, clock_time, shortened, span, styled, visible, with_command
from followups.records import STATES, Found, Notification, State, grouped, status
from followups.stack import ERRORS, Problem, Stack, explain
from followups.tables import KEY, Listing, count_waiting, listed

# How many of what waits and of what failed a snapshot reads: beyond that, counts have a `+`.
BOUND, FAILED_BOUND = 300, 1000
# The most urgent first: a section's title, its text where it is empty, the head of its column of times, its total.
SECTIONS: dict[State, tuple[str, str, str, str]] = {
    "overdue": ("Late", "Nothing is late.", "late by", "late"),
    "failed": ("Failed", "Nothing has failed.", "failed", "failed"),
    "pending": ("Waiting", "Nothing waits.", "due in", "waiting"),
}
_FILTERS = CHOOSING.keys() - {"limit"}
_WIDTHS = (18, 13, 5, 6, 16, 0)  # order, checksum, pass, tries, time, status


@dataclass(frozen=True)
class Snapshot:
    """The notifications of each state that was asked for, most urgent first; here `pending` is what is not late.

    `letters` has a line for each queue that is not empty, `waiting` counts all that waits if there is more than was
    read.
    """

    at: datetime
    parts: Mapping[State, Found]
    letters: Sequence[str] = ()
    waiting: int | None = None

    def as_data(self) -> dict[str, object]:
        """For programs."""
        data: dict[str, object] = {"at": format_utc(self.at), "notSaved": list(self.letters), "waiting": self.waiting}
        for state, found in self.parts.items():
            groups = ((one[0], len(one)) for one in grouped(found.rows))
            causes = [{"cause": one.cause_id, "text": one.cause, "count": count} for one, count in groups]
            data[state] = {"rows": [row.as_data(self.at) for row in found.rows], "more": found.more, "causes": causes}
        return data


@dataclass
class Poller:
    """Takes snapshots, at most one in `at_most_every`; callers in between share the last one."""

    stack: Stack
    states: tuple[State, ...] = STATES
    clock: Clock = utc_now
    at_most_every: timedelta = timedelta()
    last: tuple[Snapshot | None, Problem | None] = (None, None)
    _next: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> tuple[Snapshot | None, Problem | None]:
        """Return the last snapshot that could be taken, and why the latest could not."""
        with self._lock:
            if (now := self.clock()) >= self._next:
                self._next = now + self.at_most_every
                try:
                    self.last = (take_snapshot(self.stack, self.states, now), None)
                except ERRORS as error:
                    self.last = (self.last[0], explain(error))
            return self.last


def take_snapshot(stack: Stack, states: Sequence[State], now: datetime) -> Snapshot:
    """Read both indexes at once, and count the letters."""
    # What is late waits, too: one read finds both, so that none is missed between two reads.
    asked = (Listing("pending", limit=BOUND), Listing("failed", limit=FAILED_BOUND))
    waiting, failed = stack.at_once(lambda listing: listed(stack, listing, now), asked)
    rows = sorted(waiting.rows, key=lambda row: str(row.item.get("firstDue", "")))
    late, others = (tuple(row for row in rows if status(row, now).is_late == is_late) for is_late in (True, False))
    parts = {"overdue": Found(late, waiting.more), "failed": failed, "pending": Found(others, waiting.more)}
    in_all = count_waiting(stack) if waiting.more and "pending" in states else None
    return Snapshot(now, {state: parts[state] for state in states}, stack.about_letters(), in_all)


@dataclass(frozen=True)
class WatchView:
    """A snapshot, drawn as of `now` into the space that there is; `problem` is why it could not be renewed.

    A whole one has all rows and all ids, however long. Rows with one cause fold, unless they wait or it was `given`.
    """

    stack: Stack
    snapshot: Snapshot
    now: datetime
    problem: Problem | None = None
    is_whole: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draw all of it, cut to the terminal's height."""
        above = list(self._above())
        yield from above
        asked = [state for state in SECTIONS if state in self.snapshot.parts]
        left = (options.height or (console.height if console.is_terminal else 60)) - len(above)
        for position, state in enumerate(asked):
            rows = self.snapshot.parts[state].rows
            groups = [(row,) for row in rows] if state == "pending" or "cause" in self.given else grouped(rows)
            lines = 1 + any(group[0].reason for group in groups) + 2 * any(len(group) > 1 for group in groups)
            # Each gets an equal part, and what others do not need. The 4: a blank, title, head and what is left out.
            count = max((left // (len(asked) - position) - 4) // lines, 1)
            left -= 4 + lines * min(count, len(groups))
            yield from self._section(state, groups, len(groups) if self.is_whole else count)

    def _above(self) -> Iterator[Text]:
        as_of = f"  as of {clock_time(self.snapshot.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.stack.name}", "bold"), (as_of, "dim"), no_wrap=True)
        if self.problem:
            yield _line(f"This could not be renewed: {self.problem.what}", "bold red")
            yield _line(self.problem.advice, "red")
        parts = {word: self.snapshot.parts.get(state) for state, (*_, word) in SECTIONS.items()}
        totals = [f"{part.count} {word}" for word, part in parts.items() if part]
        totals += [f"{self.snapshot.waiting} waiting in all"] if self.snapshot.waiting is not None else []
        yield Text(" · ".join(totals))
        for line in (part for letters in self.snapshot.letters for part in with_command(letters)):
            yield _line(line, "bold red", "ignore")

    def _section(self, state: State, groups: Sequence[tuple[Notification, ...]], count: int) -> Iterator[Text]:
        part, (title, nothing, head, _) = self.snapshot.parts[state], SECTIONS[state]
        yield Text()
        if not groups:
            nothing = "Nothing of what was asked for was found." if self.given.keys() & _FILTERS else nothing
            yield Text("None of what was read." if part.more else nothing, "dim")
            return
        yield Text.assemble((title, "bold" if state == "pending" else "bold red"), f"  {part.count}")
        yield _cells(*((text, "dim") for text in ("order", "checksum", "pass", "tries", head, "status")))
        for row, *others in groups[:count]:
            time, word = when(row, state, self.now)
            order, level = shortened(row.order_id, _WIDTHS[0] - 2), status(row, self.now).level
            proof = (row.checksum, "" if row.checksum == "valid" else "yellow")
            yield _cells(order, proof, str(row.next_pass), str(row.attempts_made), time, (word, STYLES[level]))
            if self.is_whole:
                whole, charge, notification = (visible(row.ids[name]) for name in ("orderId", *KEY))
                charge = f"charge {charge}" if whole == order else f"{whole}, charge {charge}"
                yield Text(f"  {charge}\n  notification {notification}", "dim", overflow="fold")
            if row.reason:
                yield _line(f"  {row.reason}", "red")
            if others:
                yield Text(f"  {1 + len(others)} of this cause, {extent((row, *others), self.now)}", "bold")
                yield _line(f"  {group_command(self.stack, row, self.now, self.given)}", "dim", "ignore")
        if more := sum(map(len, groups[count:])):
            yield Text(f"… and {'more than ' if part.more else ''}{more} more", "dim")


def _line(text: str, style: str, overflow: OverflowMethod = "ellipsis") -> Text:
    return Text(text, style, no_wrap=True, overflow=overflow)


def _cells(*cells: Cell) -> Text:
    parts = ((text.ljust(width), style) for (text, style), width in zip(map(styled, cells), _WIDTHS, strict=True))
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def when(row: Notification, state: State, now: datetime) -> tuple[str, str]:
    """Return how late, how long ago or how soon it is, as the section of that state shows it, and the status."""
    current = status(row, now)
    left = span(current.at - now) if current.at and current.at > now else "due"
    if state == "overdue":
        is_tried = current.word == "retrying" and left != "due"
        return span(current.late), f"{current.word} in {left}" if is_tried else current.word
    if state == "failed":
        left = f"{span(now - current.at)} ago" if current.at else ""
    return "" if current.word == "running" else left, current.word


@manual("watch", READ + LETTERS, "followups watch --state overdue --state failed", "followups watch --once --json")
@state_option
@click.option("--every", type=click.FloatRange(min=1), default=2, help="seconds between refreshes (default: 2)")
@click.option("--once", is_flag=True, help="print one picture and end")
def watch_command(operator: Operator, states: tuple[State, ...], every: float, *, once: bool) -> int:
    """Watch what waits, what is late and what failed, until Ctrl-C.

    What waits has a countdown to its pass; what is late, or failed, is above it. When a snapshot cannot be taken, a
    line says why, and the last one is kept. It reads at most 300 items of what waits and 1,000 of what failed: beyond
    that a count has a +. In a pipe, and with --json, it prints one snapshot.
    """
    output, stack, states = operator.output, operator.stack, states or STATES
    first = take_snapshot(stack, states, operator.clock())
    if output.as_json:
        output.document(first.as_data())
        return 0
    if once or not output.is_table:
        output.console.print(WatchView(stack, first, operator.clock()))
        return 0
    poller = Poller(stack, states, operator.clock)

    def view() -> WatchView:
        return WatchView(stack, poller.last[0] or first, operator.clock(), poller.last[1])

    # The alternate screen: a resize leaves no half-drawn pictures. Countdowns move while a snapshot is taken.
    live = Live(get_renderable=view, console=output.console, screen=True, refresh_per_second=4)
    with suppress(KeyboardInterrupt), live:
        while True:
            live.refresh()
            operator.sleep(every)
            poller.poll()
    return 0
