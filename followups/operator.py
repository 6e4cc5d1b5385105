"""Who runs a command: what was asked for beside it, and the clock and the patience that tests bring their own of."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from click import UsageError

from callback.clock import Clock, utc_now
from followups.local_stack import local_account
from followups.output import Output
from followups.stack import DEFAULT, Account, Stack


@dataclass
class Operator:
    """The options that every command takes are in `given`, by name; unset ones are not."""

    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    given: dict[str, Any] = field(default_factory=dict)
    when_stopped: str = "Stopped; nothing was changed."

    @cached_property
    def output(self) -> Output:
        """Where to print."""
        return Output(as_json=bool(self.given.get("as_json")))

    @cached_property
    def stack(self) -> Stack:
        """The stack that was asked for. Raises `StackError` where it is a local one and none is up."""
        return Stack(self.given.get("stack", DEFAULT), self._account())

    @property
    def where(self) -> list[str]:
        """The options that lead another command to the same stack."""
        options = [f"--{name}={self.given[name]}" for name in ("stack", "profile", "region") if name in self.given]
        return options + (["--local"] if self.given.get("local") else [])

    def command(self, *words: str, ids: tuple[str, ...] = ()) -> str:
        """Return a command for the same stack, fit to be pasted into a shell."""
        return shlex.join(["followups", *words, *self.where, *(["--", *ids] if ids else [])])

    def _account(self) -> Account:
        named = {"profile_name": self.given.get("profile"), "region_name": self.given.get("region")}
        if not self.given.get("local"):
            return Account({name: value for name, value in named.items() if value})
        if any(named.values()):
            raise UsageError("--local has an account and a region of its own: leave out --profile and --region")
        return local_account()
