"""What the tests of the operators' commands share: a busy stack, and one way to run a command."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from followups.stack import Stack
from followups.watch import Poller
from tests.support.deployed import PROCESS, Deployed, make_busy, unstyled
from tests.support.recorded_calls import payload

Patch = pytest.MonkeyPatch
Print = pytest.CaptureFixture[str]


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """A stack in which much has happened."""
    make_busy(deployed)
    return deployed


@pytest.fixture
def poller(deployed: Deployed) -> Iterator[Poller]:
    """The reader of `watch` and of the page, on the world's clock."""
    with deployed.world.wire:
        yield Poller(Stack(), clock=lambda: deployed.world.now)


def fail(deployed: Deployed, attempt: Callable[..., object], *arguments: object, answer: object = None) -> None:
    """Run a pass in which ProcessPaidOrder fails, with this answer."""
    deployed.functions[PROCESS] = lambda _call: payload(answer or {}, error="Unhandled")
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        attempt(*arguments)


class _Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Printed:
    """What a command printed."""

    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of stdout as JSON objects."""
        return [json.loads(line) for line in self.lines]


@dataclass(frozen=True)
class Followups:
    """The program, run on the stack of a test."""

    deployed: Deployed
    capsys: Print

    def __call__(self, *arguments: str, code: int = 0) -> Printed:
        """Run a command into a pipe; its exit code must be this one."""
        self.capsys.readouterr()
        found = self.deployed.run(*arguments)
        printed = Printed(*self.capsys.readouterr())
        assert found == code, printed
        return printed

    def in_terminal(self, *arguments: str, code: int = 0, width: int = 80, typed: str = "") -> Printed:
        """Run a command in a terminal of so many columns, type something, and return what it shows, without colours."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}.items():
                patch.setenv(name, value)
            if typed:
                patch.setattr(sys, "stdin", _Keyboard(typed))
            printed = self(*arguments, code=code)
        return Printed(unstyled(printed.out), printed.err)


@pytest.fixture
def followups(deployed: Deployed, capsys: Print) -> Followups:
    """The program, run on the stack of the test."""
    return Followups(deployed, capsys)
