"""The board as it looks in a terminal: what is late, what failed, what waits, and a line of totals."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from followups.notifications import Wanted
from followups.overview import HOUR, Look, Part
from followups.problems import Problem
from followups.row import Row, shortened
from followups.times import clock_time, span

Cell = RenderableType
# The most urgent first.
URGENCY: tuple[Wanted, ...] = ("overdue", "failed", "pending", "done")
_FEWEST_ROWS = 2
_ROWS_ANYWHERE = 10  # where the picture goes to no terminal, whose height would say
_PROBLEM_LINES = 4
_SHORT = 17
_BAR = 40  # or what room there is
_NEVER = "?"


@dataclass(frozen=True)
class _Section:
    title: str
    nothing: str
    style: str
    when: str
    detail: str


_SECTIONS: dict[Wanted, _Section] = {
    "overdue": _Section("Late", "Nothing is late.", "bold red", "late by", ""),
    "failed": _Section("Failed in the last day", "Nothing failed in the last day.", "bold red", "ended", ""),
    "pending": _Section("Waiting", "Nothing waits.", "bold", "due in", ""),
    "done": _Section("Done in the last hour", "Nothing was done in the last hour.", "bold", "ended", "took"),
}


@dataclass(frozen=True)
class Picture:
    """A look, drawn as of `now` into whatever space there is: rich asks again after a resize.

    Where a later look failed, `problem` says so above the last picture there is.
    """

    name: str
    look: Look
    now: datetime
    wanted: tuple[Wanted, ...]
    problem: Problem | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw all of it, cut to the terminal's height."""
        looked = f"  looked at {clock_time(self.look.at, self.now)}"
        yield Text.assemble((f"Follow-ups of {self.name}", "bold"), (looked, "dim"), no_wrap=True)
        if self.problem:
            yield Text(f"The last look failed, this is an older one: {self.problem.what}", "bold red")
            yield Text(self.problem.advice, "red")
        yield _totals(self.look, self.now)
        rows = self._rows(options.height or (console.height if console.is_terminal else None))
        for wanted, count in rows.items():
            yield from self._section(wanted, self.look.part(wanted), count)

    def _rows(self, height: int | None) -> dict[Wanted, int]:
        asked = [wanted for wanted in URGENCY if wanted in self.wanted]
        if height is None:
            return dict.fromkeys(asked, _ROWS_ANYWHERE)
        left = height - 2 - _PROBLEM_LINES * bool(self.problem)
        rows: dict[Wanted, int] = {}
        for position, wanted in enumerate(asked):
            # An empty line, the title, the head and the line of what is left out; a section that needs less leaves it.
            fair = left // (len(asked) - position) - 4
            there = self.look.part(wanted).rows
            lines = 1 + any(row.reason for row in there)
            rows[wanted] = max(fair // lines, _FEWEST_ROWS)
            left -= 4 + lines * min(rows[wanted], len(there))
        return rows

    def _section(self, wanted: Wanted, part: Part, count: int) -> Iterator[RenderableType]:
        about = _SECTIONS[wanted]
        yield Text()
        if not part.rows:
            yield Text(about.nothing, "dim")
            return
        yield Text.assemble((about.title, about.style), f"  {part.count}")
        yield _head(about)
        for row in part.rows[:count]:
            yield self._line(wanted, row)
            if row.reason:
                yield Padding(Text(row.reason, "red", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 2))
        if (more := len(part.rows) - count) > 0:
            yield Text(f"… and {'more than ' if part.cut else ''}{more} more", "dim")

    def _line(self, wanted: Wanted, row: Row) -> Table:
        line = _columns()
        line.add_row(*self._cells(wanted, row))
        return line

    def _cells(self, wanted: Wanted, row: Row) -> tuple[Cell, ...]:
        cells = {"overdue": self._late, "failed": self._failed, "pending": self._waiting, "done": self._done}[wanted]
        # Of what is done, the last pass; of all else, the one that is missing.
        number = row.number - (wanted == "done")
        ids = (Text(shortened(row.order, _SHORT)), Text(shortened(row.charge, _SHORT)))
        return *ids, str(number), str(row.attempts), *cells(row)

    def _late(self, row: Row) -> tuple[Cell, Cell]:
        return Text(_since(row.due, self.now), "red"), "claimed" if row.is_claimed(self.now) else ""

    def _failed(self, row: Row) -> tuple[Cell, Cell]:
        return f"{_since(row.ended, self.now)} ago", ""

    def _waiting(self, row: Row) -> tuple[Cell, Cell]:
        if row.is_claimed(self.now):
            return Text("claimed"), ""
        if row.due is None:
            return _NEVER, ""
        left, wait = (row.due - self.now).total_seconds(), row.wait(self.look.delays)
        bar = _bar(wait, left) if wait else ""
        return (span(row.due - self.now) if left > 0 else "due"), bar

    def _done(self, row: Row) -> tuple[Cell, Cell]:
        took = span(row.ended - row.received) if row.ended and row.received else _NEVER
        return f"{_since(row.ended, self.now)} ago", took


def _since(earlier: datetime | None, now: datetime) -> str:
    return span(now - earlier) if earlier else "?"


def _bar(wait: float, left: float) -> ProgressBar:
    # One colour all the way: only what is wrong is to catch the eye.
    return ProgressBar(wait, min(max(wait - left, 0), wait), _BAR, complete_style="cyan", finished_style="cyan")


def _head(about: _Section) -> Table:
    head = _columns()
    head.add_row("order", "charge", "pass", "tries", about.when, about.detail, style="dim")
    return head


def _columns() -> Table:
    # Of fixed widths, so that the sections stand under each other.
    columns = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=True)
    columns.add_column(width=_SHORT, no_wrap=True)
    columns.add_column(width=_SHORT, no_wrap=True)
    columns.add_column(width=4, no_wrap=True)
    columns.add_column(width=5, justify="right", no_wrap=True)
    columns.add_column(width=16, no_wrap=True)
    columns.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    return columns


def _totals(look: Look, now: datetime) -> Text:
    failed = look.part("failed")
    said: dict[Wanted, tuple[str, str]] = {
        "pending": (f"{look.part('pending').count} waiting", ""),
        "overdue": (f"{look.part('overdue').count} late", "red" if look.part("overdue").rows else ""),
        "failed": (
            f"{failed.count} failed in 24 h ({failed.ended_since(now - HOUR).count} in the last hour)",
            "red" if failed.rows else "",
        ),
        "done": (f"{look.part('done').count} done in 1 h", ""),
    }
    parts = [said[one] for one in ("pending", "overdue", "failed", "done") if one in look.parts]
    separated = [piece for part in parts for piece in (part, (" · ", "dim"))][:-1]
    return Text.assemble(*separated)
