"""Whatever call fails, in whatever way: nothing is lost, and nobody is woken for nothing (docs/failure-table.md)."""

from collections.abc import Iterator

import pytest

from tests.support.aws import World, made
from tests.support.failure_table import FILE, written
from tests.support.fault_scenarios import CROSSINGS, FAULTS, SCENARIOS, Cell, Story, cells
from tests.support.moto_in_process import asked_directly
from tests.support.recorded_calls import listening
from tests.support.without_coverage import without_coverage

# Every AWS call. One more in the code fails the first test here, until it is listed and its rows are written.
_ERRORS = ["record the failed pass", "log the error", "count the mail", "send the mail", "remember the mail"]
_PASS = ["run the pass", "record the pass", "create the timer", "read the order"]
_DELIVERY = ["read the merchant key", "read the payment record", "save the notification", "mark the payment record"]
_SWEEP = ["read a shard", "move back in line", "hand over to Recheck", "end in FAILED"]
SITES = [
    *(("DelayedNotify", call) for call in (*_DELIVERY, *_PASS, *_ERRORS)),
    # DelayedNotify has sent the mail before Retry runs.
    *(("Retry", call) for call in (*_DELIVERY, *_PASS, *_ERRORS[:2], "keep the refused event")),
    *(("Recheck", call) for call in ("claim the pass", *_PASS, *_ERRORS, "end in FAILED")),
    *(("Sweep", call) for call in (*_SWEEP, *_ERRORS[1:])),
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One world for all stories."""
    with pytest.MonkeyPatch.context() as patch:
        wire = listening(patch)
        with made(wire, patch) as world, without_coverage(), asked_directly(wire):
            yield world


@pytest.fixture(scope="module")
def stories(world: World) -> list[Cell]:
    """Every story, told once for all tests here."""
    return list(cells(world))


def test_every_call_has_its_rows(stories: list[Cell]) -> None:
    """A call that the code makes and the table does not know, or the other way, fails the suite."""
    assert {cell.point[:2] for cell in stories} == set(SITES)


@pytest.mark.parametrize(("function", "call"), SITES, ids=["-".join(site) for site in SITES])
def test_promise_holds_whatever_fails_at(stories: list[Cell], function: str, call: str) -> None:
    """Two passes at least 60 s apart, or a loud end that one command repairs: for every fault of this call."""
    here = [cell for cell in stories if cell.point[:2] == (function, call)]
    assert {cell.fault for cell in here} == set(FAULTS)
    assert [cell for cell in here if cell.wrong] == []


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_late_early_and_double_timers_are_log_lines(world: World, crossing: tuple[bool, str]) -> None:
    """Where nothing fails there is no error, row, mail or letter, and no line above INFO, whatever the timer does."""
    story = Story(world, SCENARIOS["as it should"], crossing).told()
    assert [*story.model.errors, *world.errors(), *world.mails()] == []
    assert not any(story.model.queues.values())
    assert {line["level"] for _, _, line in world.lines} == {"INFO"}


def test_nothing_is_lost(stories: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    """The count that the project is about."""
    lost = sum(bool(cell.wrong) for cell in stories)
    with capsys.disabled():
        print(f"\n{len(stories)} stories of one fault each, lost = {lost}")  # noqa: T201 - the figure is the proof
    assert lost == 0
    assert len(stories) > 900


def test_failure_table_is_what_the_stories_showed(stories: list[Cell]) -> None:
    """docs/failure-table.md says what happens now, not what happened once: `make failure-table` renews it."""
    assert FILE.read_text() == written(stories)
