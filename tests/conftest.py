"""The fixtures: one world a test."""

import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from local.emulator import REGION
from tests.support.aws import World, made
from tests.support.deployed import Deployed, use_few_shards
from tests.support.recorded_calls import RecordedCalls, listening

# No test may find an AWS account that this machine is set up for.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_DEFAULT_REGION"] = REGION

# The same examples in every run; `make fuzz` and `make soak` find new ones.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Measure coverage only in the rooms that test what is measured: it nearly doubles the time."""
    if item.path.parent.name not in {"functions", "followups"}:
        item.add_marker("no_cover")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a figure at the end of the run, whichever process found it."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that the tests found."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(str(text))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> RecordedCalls:
    """Every AWS call from here on."""
    return listening(monkeypatch)


@pytest.fixture
def world(wire: RecordedCalls, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh world, with the handlers in it."""
    with made(wire, monkeypatch) as world:
        yield world


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """A fresh world as operators reach it, its indexes spread over few shards."""
    use_few_shards(monkeypatch)
    return Deployed(world)
