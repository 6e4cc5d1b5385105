"""`followups watch`: the board in a terminal, looked at again and again until Ctrl-C."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live

from callback.clock import format_utc as stamp
from followups.notifications import Wanted
from followups.overview import Look, Looker
from followups.picture import Picture

Sleep = Callable[[float], None]
# Done ones are many, and only counted unless they are asked for.
USUAL: tuple[Wanted, ...] = ("overdue", "failed", "pending")
_A_SECOND = 4  # redraws, so that countdowns move while a look takes its time


def watch(looker: Looker, shown: Sequence[Wanted], console: Console, every: float, sleep: Sleep) -> None:
    """Show the board until Ctrl-C, with a new look after each pause; one that fails is said, and costs no picture."""
    first = looker.start()
    # A screen of its own, given back in the end: a resize leaves no halves of pictures behind.
    live = Live(
        get_renderable=lambda: _picture(looker, first, shown),
        console=console,
        screen=True,
        refresh_per_second=_A_SECOND,
    )
    with suppress(KeyboardInterrupt), live:
        while True:
            live.refresh()
            sleep(every)
            looker.look()


def show_once(looker: Looker, shown: Sequence[Wanted], console: Console) -> None:
    """Print one picture."""
    first = looker.start()
    console.print(_picture(looker, first, shown))


def as_data(look: Look) -> dict[str, object]:
    """Return a look for scripts: the rows of each state, and whether there are more than were read."""
    parts: dict[str, object] = {
        wanted: {"rows": [row.as_data() for row in part.rows], "more": part.cut} for wanted, part in look.parts.items()
    }
    return {"at": stamp(look.at), **parts}


def _picture(looker: Looker, first: Look, shown: Sequence[Wanted]) -> Picture:
    seen = looker.seen
    return Picture(looker.stack.name, seen.look or first, looker.clock(), tuple(shown), seen.problem)
