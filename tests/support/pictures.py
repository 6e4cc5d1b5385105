"""`make pictures`: docs/images, the operators' tools on a stack in which much has happened."""

import io
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Literal

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from followups.board import HOST, application, server
from followups.stack import Stack
from followups.watch import Poller
from local.emulator import REGION, ROOT
from tests.support.aws import worlds
from tests.support.deployed import FAILED_ORDER, LATE_ORDER, Deployed, make_busy
from tests.support.programs import chromium

IMAGES = ROOT / "docs" / "images"
# A picture's name, and the command in it.
COMMANDS: Mapping[str, Sequence[str]] = {
    "watch": ("watch", "--once"),
    "list": ("list",),
    "show": ("show", FAILED_ORDER),
    "dead-letters": ("dead-letters", "list"),
    "verify": ("verify", "events/wrong-checksum.json"),
    "replay": ("replay", "--dry-run", LATE_ORDER, FAILED_ORDER),
}
# A picture's name, the theme, the page's width and height, and what is asked for.
PAGES: dict[str, tuple[Literal["light", "dark"], int, int, str]] = {
    "board-light": ("light", 1120, 900, ""),
    "board-dark": ("dark", 1120, 900, ""),
    "board-timeline": ("light", 1080, 640, f"?find={FAILED_ORDER}"),
    "board-phone": ("light", 360, 760, ""),
}
COLUMNS = 120
_TERMINAL = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "COLORTERM": "truecolor", "TERM": "xterm-256color"}
_INK, _GREY, _PAPER = (40, 46, 54), (125, 133, 144), (222, 227, 233)
_HUES = [(255, 133, 124), (99, 195, 137), (224, 179, 70), (116, 165, 240), (198, 146, 233), (92, 190, 200)]
_THEME = TerminalTheme((24, 28, 34), _PAPER, [_INK, *_HUES, _PAPER], [_GREY, *_HUES, _PAPER])
_FONTS = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> None:
    logging.disable()  # the functions' own lines
    os.environ |= _TERMINAL | {"AWS_DEFAULT_REGION": REGION}
    with worlds() as world:
        world.empty()
        deployed = Deployed(world)
        deployed.put_each_kind()
        make_busy(deployed)
        for name, command in COMMANDS.items():
            (IMAGES / f"{name}.svg").write_text(draw(name, f"followups {' '.join(command)}", _run(deployed, *command)))
        with world.wire:
            _photograph_board(Poller(Stack(), clock=lambda: world.now))


def _run(deployed: Deployed, *command: str) -> str:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(terminal):
        deployed.run(*command)
    terminal.seek(0)
    return terminal.read()


def draw(name: str, title: str, written: str) -> str:
    """Return what a program wrote as an SVG that fetches nothing from anywhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(written.rstrip()))
    svg = console.export_svg(title=title, theme=_THEME, unique_id=name)
    # Rich's own would fetch its font from a web site, and names another.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(" https://www.textualize.io", "")
    return re.sub(r"font-family: [^;]+;", f"font-family: {_FONTS};", svg)


def _photograph_board(poller: Poller) -> None:
    with server(application(poller), 0) as served, chromium() as started:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        for name, (scheme, width, height, query) in PAGES.items():
            with started.new_context(color_scheme=scheme, reduced_motion="reduce") as context:
                page = context.new_page()
                page.set_viewport_size({"width": width, "height": height})
                page.goto(f"http://{HOST}:{served.port}/{query}")
                page.screenshot(path=IMAGES / f"{name}.png")
        served.shutdown()


if __name__ == "__main__":
    main()
