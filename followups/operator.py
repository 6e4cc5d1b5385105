"""What every command gets: the common options, the stack, the output, and a clock that tests replace."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from click import FloatRange, UsageError, confirm, option

from callback.clock import Clock, utc_now

if TYPE_CHECKING:
    from followups.output import Output
    from followups.stack import Account, Stack

DEFAULT = "payment3-follow-up-dev"
T = TypeVar("T")
_RATE = FloatRange(min=0, min_open=True, max=50)
rate_option = option("--rate", type=_RATE, default=5, show_default=True, metavar="N", help="at most so many a second")


@dataclass
class Operator:
    """`given` holds the common options that are set, by name."""

    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    given: dict[str, Any] = field(default_factory=dict)
    when_stopped: str = "Stopped; nothing was changed."

    @cached_property
    def output(self) -> "Output":
        """Where to print."""
        from followups.output import Output  # noqa: PLC0415 - rich, which --help does not need

        return Output(as_json=bool(self.given.get("as_json")))

    @cached_property
    def zone(self) -> tzinfo:
        """The zone of times that a person types and reads: --tz, else the machine's on a terminal, else UTC."""
        if name := self.given.get("tz"):
            try:
                return ZoneInfo(name)
            except (KeyError, ValueError, OSError) as error:
                raise UsageError(f"--tz {name}: no such zone; name one such as Asia/Bangkok") from error
        return (self.clock().astimezone().tzinfo or UTC) if self.output.is_table else UTC

    def confirms(self, question: str, *words: str, ids: tuple[str, ...] = ()) -> bool:
        """Ask on a terminal; elsewhere print the command that does it without a question."""
        if self.output.is_table and sys.stdin.isatty():
            return confirm("".join(letter if letter.isprintable() else "?" for letter in question))
        self.print_command(*words, ids=ids)
        return False

    def print_command(self, *words: str, ids: tuple[str, ...] = ()) -> None:
        """Print the command that does what was only planned."""
        self.output.note(f"Nothing was changed. To do it:  {self.stack.command(*words, ids=ids)}")

    def paced(self, items: Iterable[T], rate: float, is_work: Callable[[T], bool] = lambda _: True) -> Iterator[T]:
        """Yield items; one that is work starts no sooner than 1/rate seconds after the one before."""
        earliest = self.monotonic()
        for item in items:
            if is_work(item):
                self.sleep(max(0.0, earliest - self.monotonic()))
                earliest = self.monotonic() + 1 / rate
            yield item

    @cached_property
    def stack(self) -> "Stack":
        """The stack that was named. Raises `StackError` where it is the local one and that is not up."""
        from followups.stack import Stack  # noqa: PLC0415 - boto3, which --help does not need

        return Stack(self.given.get("stack", DEFAULT), self._account())

    def _account(self) -> "Account":
        from followups.stack import Account, local_account  # noqa: PLC0415 - boto3, which --help does not need

        named = {name: self.given[name] for name in ("profile", "region") if name in self.given}
        if not self.given.get("local"):
            options = tuple(word for name, value in named.items() for word in (f"--{name}", value))
            return Account({f"{name}_name": value for name, value in named.items()}, options=options)
        if named:
            raise UsageError("--local has an account and a region of its own: leave out --profile and --region")
        return local_account()
