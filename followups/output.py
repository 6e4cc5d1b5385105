"""What commands print. Most of it comes from outside: neither a terminal nor rich may obey any of it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from callback.redact import scrub
from callback.table import format_utc

if TYPE_CHECKING:  # a pipe needs nothing of rich
    from rich.console import Console
    from rich.text import Text

STYLES = {"info": "", "ok": "green", "warn": "yellow", "bad": "bold red"}
Cell = str | tuple[str, str]
"""A text, or a text and its style."""
_MAX_LINE = 400
_UNITS = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}


def clock_time(moment: datetime, now: datetime) -> str:
    """Format a time, without its date if that is today."""
    moment, today = moment.astimezone(UTC), now.astimezone(UTC).date()
    return f"{moment:%H:%M:%S} UTC" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def span(length: timedelta) -> str:
    """Format a duration by its two largest units (`2 h 10 min`), without its sign."""
    left, parts = round(abs(length.total_seconds())), []
    for unit, seconds in _UNITS.items():
        count, left = divmod(left, seconds)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2]) or "0 s"


def relative(moment: datetime, now: datetime) -> str:
    """Format a time and its distance from now: `09:31:17 UTC, in 43 s` or `09:28:17 UTC, 2 min ago`."""
    distance = f"in {span(moment - now)}" if moment > now else f"{span(now - moment)} ago"
    return f"{clock_time(moment, now)}, {distance}"


def visible(text: str) -> str:
    """Replace line ends and control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shortened(text: str, width: int) -> str:
    """Shorten a long id, and keep more of its end, where ids differ."""
    clean, start = visible(text), (width - 1) // 3
    return clean if len(clean) <= width else f"{clean[:start]}…{clean[start + 1 - width :]}"


def printable(text: str) -> str:
    """Put a text from outside on one line, without secrets and control characters, and cut it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in scrub(text)).split())[:_MAX_LINE]


def error_line(answer: object) -> str:
    """Return the type and the message of a function's error as Lambda reports it, never its payload."""
    about = answer if isinstance(answer, Mapping) else {}
    return printable(f"{about.get('errorType', 'an error')}: {about.get('errorMessage', 'without a text')}")


def with_command(line: str) -> list[str]:
    """Split off the command that ends a line, so that it can be pasted whole."""
    text, found, command = line.partition("followups ")
    return [text.rstrip(" :;"), f"  {found}{command}"] if found else [line]


def styled(cell: Cell) -> tuple[str, str]:
    """Return the text and the style of a cell."""
    return cell if isinstance(cell, tuple) else (cell, "")


class Row(NamedTuple):
    """One item: the cells of a table's row, which a pipe gets on one line, and a JSON object."""

    cells: Sequence[Cell]
    record: Mapping[str, object]


class Column(NamedTuple):
    """A column of a fixed width, or with its share of what is left."""

    title: str
    width: int | None = None
    ratio: int | None = None


class Output:
    """Where a command prints."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json, self._head = as_json, tuple[Column, ...]()
        # Whether a person reads it.
        self.is_table = not as_json and (bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty())

    @cached_property
    def console(self) -> "Console":
        """Rich's: it asks the terminal for width and colours, and honours NO_COLOR."""
        from rich.console import Console

        return Console(force_terminal=self.is_table, markup=False, emoji=False, highlight=False)

    def line(self, *parts: str, style: str = "", stream: TextIO | None = None) -> None:
        """Print one line of text, coloured where a person reads it."""
        text = "  ".join(visible(part) for part in parts if part)
        if style and self.is_table:
            self.console.print(_text((text, style)), soft_wrap=True)
        else:
            print(text, file=stream or sys.stdout, flush=True)

    def document(self, content: Mapping[str, object]) -> None:
        """Print one JSON document with the version of its fields (docs/operations.md), for programs on one line."""
        print(json.dumps({"version": 1, **content}, default=_json, indent=2 if self.is_table else None), flush=True)

    def note(self, *parts: str) -> None:
        """Print a summary for people; with --json it goes to stderr."""
        self.line(*parts, stream=sys.stderr if self.as_json else sys.stdout)

    def warn(self, text: str, style: str = "yellow") -> None:
        """Print a warning for people; without a terminal it goes to stderr."""
        self.line(text, style=style, stream=sys.stderr)

    def rows(self, columns: tuple[Column, ...], *rows: Row) -> None:
        """Print some rows in the form that was asked for, a table's head before the first."""
        if not self.is_table:
            for row in rows:
                if self.as_json:
                    self.document(row.record)
                else:
                    self.line(*(styled(cell)[0].replace("\n", " ") for cell in row.cells))
            return
        from rich import box, table

        shape: dict[str, Any] = {"box": box.SIMPLE_HEAD, "expand": True, "pad_edge": False, "show_edge": False}
        sheet = table.Table(show_header=columns != self._head, **shape)
        for title, width, ratio in columns:
            sheet.add_column(title, width=width, ratio=ratio, overflow="fold")
        for row in rows:
            sheet.add_row(*map(_text, row.cells))
        self.console.print(sheet)
        self._head = columns


def _json(value: object) -> object:
    """Return fractions as text, so that they remain exact."""
    if isinstance(value, datetime):
        return format_utc(value)
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else str(value)


def _text(cell: Cell) -> "Text":
    from rich.text import Text

    text, style = styled(cell)
    return Text("\n".join(visible(line) for line in text.split("\n")), style=style)
