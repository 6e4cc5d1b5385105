"""What is printed: a table on a terminal, a line for each thing into a pipe, JSON for programs.

Most of it is what others sent: nothing of it may be obeyed, neither by a terminal nor by rich.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from followups.text import visible

STYLES = {"info": "", "ok": "green", "warn": "yellow", "bad": "bold red"}


@dataclass(frozen=True)
class Column:
    """A column of a table: of a fixed width, or with its part (`ratio`) in what is left; `beyond` this width only."""

    title: str
    width: int | None = None
    ratio: int | None = None
    beyond: int = 0


Cell = str | tuple[str, str]
"""A text, or a text and its style."""


class Output:
    """Where a command prints."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    @cached_property
    def console(self) -> Console:
        """Rich's, which asks the terminal for its width and colours, and NO_COLOR whether it may use them."""
        return Console(markup=False, emoji=False, highlight=False)

    @property
    def is_table(self) -> bool:
        """Whether a person looks at it."""
        return not self.as_json and self.console.is_terminal

    def line(self, *parts: str) -> None:
        """Print one line of text."""
        print("  ".join(visible(part) for part in parts if part), flush=True)

    def styled(self, text: str, style: str) -> None:
        """Print a text, coloured where a person looks at it."""
        if self.is_table:
            self.console.print(Text(visible(text), style=style))
        else:
            self.line(text)

    def document(self, content: Mapping[str, object]) -> None:
        """Print one JSON document on one line, with the version of its fields (docs/operations.md, For programs)."""
        print(json.dumps({"version": 1} | plain(content), default=str), flush=True)

    def note(self, *parts: str) -> None:
        """Print what is for people beside the result: programs get it apart from the JSON."""
        text = "  ".join(visible(part) for part in parts if part)
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def warn(self, text: str, style: str = "yellow") -> None:
        """Print what is for people, apart from what programs read."""
        if self.is_table:
            self.console.print(Text(visible(text), style=style), soft_wrap=True)
        else:
            print(visible(text), file=sys.stderr, flush=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show how far a long command has come, to a person only; what it yields is to be called for each step."""
        if not self.is_table or total <= 1:
            yield lambda: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


class Sheet:
    """Rows as they come: each becomes a row of a table, a line, or a JSON line. To be used with `with`.

    A table is printed every so many rows, and none is kept: thousands take no more memory than a few.
    """

    def __init__(self, output: Output, *columns: Column, at_once: int = 1) -> None:
        self._output = output
        self._columns = columns
        self._at_once = at_once
        self._begun = False
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, cells: Iterable[Cell], line: Iterable[str], record: Mapping[str, object]) -> None:
        """Print a row in the form that is asked for."""
        if self._output.as_json:
            self._output.document(record)
        elif not self._output.is_table:
            self._output.line(*line)
        else:
            self._rows.append(tuple(cells))
            if len(self._rows) >= self._at_once:
                self.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Print what is left, whatever happened."""
        self.flush()

    def flush(self) -> None:
        """Print the rows that are waiting."""
        if not self._rows:
            return
        width = self._output.console.width
        shown = [number for number, column in enumerate(self._columns) if width >= column.beyond]
        table = Table(box=box.SIMPLE_HEAD, show_header=not self._begun, expand=True, pad_edge=False, show_edge=False)
        for column in (self._columns[number] for number in shown):
            table.add_column(column.title, width=column.width, ratio=column.ratio, overflow="fold")
        for row in self._rows:
            table.add_row(*(_text(row[number]) for number in shown))
        self._output.console.print(table)
        self._begun, self._rows = True, []


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON and DynamoDB know
    """Return a value as JSON knows it: amounts and what is no whole number as texts, so that they stay exact."""
    if isinstance(value, Mapping):
        return {name: str(inner) if name == "amount" else plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _text(cell: Cell) -> Text:
    text, style = cell if isinstance(cell, tuple) else (cell, "")
    return Text("\n".join(visible(line) for line in text.split("\n")), style=style)
