"""Whatever call fails, in whatever way, and whoever comes to help: nothing is lost (docs/failure-table.md)."""

from collections.abc import Iterator

import pytest

from tests.direct import asked_directly
from tests.failure_table import FILE, written
from tests.faults import FAULTS, Cell, cells
from tests.quietly import quietly
from tests.wire import listening
from tests.world import made

# Every AWS call of ours. One more in the code fails the first test here, until it is listed and its rows are written.
ERROR_PATH = ["log the error", "count the mail", "send the mail", "remember the mail", "forget the held mails"]
SITES = [
    *(("DelayedNotify", site) for site in ("read the merchant key", "mark the payment record", "read the order")),
    *(("DelayedNotify", site) for site in ("save the notification", "claim the pass", "run the pass")),
    *(("DelayedNotify", site) for site in ("record the pass", "arm the schedule", "give the claim back", *ERROR_PATH)),
    *(("Recheck", site) for site in ("claim the pass", "run the pass", "read the order", "record the pass")),
    *(("Recheck", site) for site in ("arm the schedule", "give the claim back", *ERROR_PATH)),
    *(("Sweep", site) for site in ("read a shard", "hand over to Recheck", "give the notification up", *ERROR_PATH)),
    ("Sweep", "look for held mails"),
]


@pytest.fixture(scope="module")
def stories() -> Iterator[list[Cell]]:
    """Every story, told once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        wire = listening(patch)
        with made(wire, patch) as world, quietly(), asked_directly(wire):
            told = list(cells(world))
        yield told


def test_every_call_has_its_rows(stories: list[Cell]) -> None:
    """A call that the code makes and the table does not know, or the other way, fails the suite."""
    assert {cell.point[:2] for cell in stories} == set(SITES)


@pytest.mark.parametrize(("function", "site"), SITES, ids="-".join)
def test_promise_holds_whatever_fails_at(stories: list[Cell], function: str, site: str) -> None:
    """Two passes at least 60 s apart, or a loud end that one command brings back: for every fault of this call."""
    here = [cell for cell in stories if cell.point[:2] == (function, site)]
    assert {cell.fault for cell in here} == set(FAULTS)
    assert [cell for cell in here if cell.wrong] == []


def test_nothing_is_lost(stories: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    """The count that the project is about."""
    lost = sum(bool(cell.wrong) for cell in stories)
    with capsys.disabled():
        print(f"\n{len(stories)} stories of one fault each, lost = {lost}")  # noqa: T201 - the figure is the proof
    assert lost == 0
    assert len(stories) > 1000


def test_failure_table_is_what_the_stories_showed(stories: list[Cell]) -> None:
    """docs/failure-table.md says what happens now, not what happened once: `make failure-table` renews it."""
    assert FILE.read_text() == written(stories)
