"""A program as a person sees it: run in a pseudo-terminal with its colours, and kept as a picture in SVG."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

_ROWS = 44
_INK, _GREY, _PAPER = (40, 46, 54), (125, 133, 144), (222, 227, 233)
_RED, _GREEN, _AMBER, _BLUE = (255, 133, 124), (99, 195, 137), (224, 179, 70), (116, 165, 240)
_VIOLET, _TEAL = (198, 146, 233), (92, 190, 200)
_THEME = TerminalTheme(
    (24, 28, 34),
    _PAPER,
    [_INK, _RED, _GREEN, _AMBER, _BLUE, _VIOLET, _TEAL, _PAPER],
    [_GREY, _RED, _GREEN, _AMBER, _BLUE, _VIOLET, _TEAL, _PAPER],
)
_FONTS = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def capture(command: Sequence[str], environment: Mapping[str, str], columns: int = 100) -> str:
    """Run a program to its end in a terminal of its own and return all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    colours = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**environment, **colours}
    ):
        os.close(theirs)
        written = _all_of(ours)
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def draw(written: str, title: str, file: Path, columns: int = 100) -> None:
    """Write a picture of what a program wrote; it fetches nothing from anywhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(written.rstrip()))
    svg = console.export_svg(title=title, theme=_THEME, unique_id=file.stem)
    # Rich's own would fetch its font from a web site, and names another.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(" https://www.textualize.io", "")
    file.write_text(re.sub(r"font-family: [^;]+;", f"font-family: {_FONTS};", svg))


def _all_of(descriptor: int) -> bytes:
    parts = bytearray()
    try:
        while part := os.read(descriptor, 65_536):
            parts += part
    except OSError:  # Linux says so when the last program has closed its end
        pass
    return bytes(parts)
