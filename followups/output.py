"""What commands print: a table on a terminal, one line per item into a pipe, JSON for programs.

Most of it was sent by others: neither a terminal nor rich may obey any of it.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from followups.text import visible

STYLES = {"info": "", "ok": "green", "warn": "yellow", "bad": "bold red"}
DONE, LEFT, FAILED, PLANNED = ("✓", "green"), ("·", "yellow"), ("✗", "bold red"), ("→", "yellow")
Cell = str | tuple[str, str]
"""A text, or a text and its style."""


class Row(NamedTuple):
    """One item in each form: the cells of a table's row, the parts of a line, a JSON object."""

    cells: Sequence[Cell]
    line: Sequence[str]
    record: Mapping[str, object]


class Output:
    """Where a command prints."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def console(self) -> Console:
        """Rich's: it asks the terminal for width and colours, and honours NO_COLOR."""
        return Console(markup=False, emoji=False, highlight=False)

    @property
    def is_table(self) -> bool:
        """Whether a person reads it."""
        return not self.as_json and self.console.is_terminal

    def line(self, *parts: str, style: str = "") -> None:
        """Print one line of text, coloured where a person reads it."""
        if style and self.is_table:
            self.console.print(Text(_joined(parts), style=style))
        else:
            print(_joined(parts), flush=True)

    def document(self, content: Mapping[str, object]) -> None:
        """Print one JSON document on one line, with the version of its fields (docs/operations.md, For programs)."""
        print(json.dumps({"version": 1} | plain(content), default=str), flush=True)

    def note(self, *parts: str) -> None:
        """Print a summary for people; with --json it goes to stderr."""
        print(_joined(parts), file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def warn(self, text: str, style: str = "yellow") -> None:
        """Print a warning for people; without a terminal it goes to stderr."""
        if self.is_table:
            self.console.print(Text(visible(text), style=style), soft_wrap=True)
        else:
            print(visible(text), file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a person the progress of a long command; call what it yields after each step."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - heavy

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        is_hidden = not self.is_table or total <= 1
        with Progress(*columns, console=self.console, transient=True, disable=is_hidden) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


def column(title: str, width: int | None = None, ratio: int | None = None) -> Column:
    """Return a column of a fixed width, or with its share of what is left."""
    return Column(title, width=width, ratio=ratio, overflow="fold")


class Sheet:
    """Rows as they come, in the form that was asked for; a cell without a column is left out."""

    def __init__(self, output: Output, *columns: Column) -> None:
        self._output, self._columns, self._has_head = output, columns, False

    def add(self, *rows: Row) -> None:
        """Print some rows."""
        if self._output.is_table:
            self._print_table(rows)
            return
        for row in rows:
            if self._output.as_json:
                self._output.document(row.record)
            else:
                self._output.line(*row.line)

    def _print_table(self, rows: Sequence[Row]) -> None:
        shape: dict[str, Any] = {"box": box.SIMPLE_HEAD, "expand": True, "pad_edge": False, "show_edge": False}
        table = Table(*(column.copy() for column in self._columns), show_header=not self._has_head, **shape)
        for row in rows:
            table.add_row(*map(_text, row.cells[: len(self._columns)]))
        self._output.console.print(table)
        self._has_head = True


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON and DynamoDB know
    """Return a value as JSON knows it: amounts and fractions as text, so that they stay exact."""
    if isinstance(value, Mapping):
        return {name: str(inner) if name == "amount" else plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _joined(parts: Sequence[str]) -> str:
    return "  ".join(visible(part) for part in parts if part)


def _text(cell: Cell) -> Text:
    text, style = cell if isinstance(cell, tuple) else (cell, "")
    return Text("\n".join(visible(line) for line in text.split("\n")), style=style)
