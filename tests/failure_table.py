"""docs/failure-table.md, written from what the stories of tests/faults.py showed. `make failure-table` renews it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

import pytest

from local.emulator import ROOT
from tests.direct import asked_directly
from tests.faults import Cell, cells
from tests.quietly import quietly
from tests.wire import listening
from tests.world import made

FILE = ROOT / "docs" / "failure-table.md"
TEST = "tests/test_failures.py::test_promise_holds_whatever_fails_at"
_HEAD = """# What fails, what remains, who finishes it

Written by `make failure-table` from the stories that the test suite tells; a test fails when it is stale.

One notification is delivered and one AWS call fails in one way: the process **dies before** or **after** the call took
effect; the call's **answer is lost** after its effect; the call is **throttled**, **denied**, or met by a
**server error**. Each of that is told with and without Lambda's retries, and with a timer that fires once, twice,
40 minutes late or never; the sweep comes as late as "every 5 minutes" allows. Then the world comes to rest, and the
promise is checked: two passes at least 60 s apart, or a failure store from which one command brings the notification
back.

**{cells} stories, {lost} lost.** In {duplicates} of them a pass ran once more than needed, as it must bear.

"Redelivered" is with Lambda's retries; "not" is without any, the event going straight to its dead-letter queue. The
times count from the delivery to `DONE`, `FAILED` or the dead letter, and are the longest of all timers: where the timer
never comes a notification waits for the sweep, 8 minutes in all; a fault beside that adds what the row says. The model
counts Lambda's retries at 1 and 2 minutes and the timer at the end of its minute.
"""
_SECTION = """
## {function}: {site}

`{test}[{function}-{site}]`

| fails so | remains | redelivered: who finishes it | at most | not redelivered: who finishes it | at most |
|---|---|---|---|---|---|
"""
_TAIL = """
## Not covered

{not_covered}
"""
NOT_COVERED = """- **Two faults at once** are covered by the random stories of `tests/test_promise.py`, not one by one.
- **A fault that lasts** ends in `FAILED` or in a dead letter, and with an alarm; how long it may last before that is
  `MAX_ATTEMPTS`: three attempts come in each 5 minutes or so.
- **Loss inside AWS**: DynamoDB is taken to keep what it acknowledged, and Lambda to deliver what it accepted or to hand
  it to OnFailure. An event that Lambda drops before its first attempt was never saved, and nobody here can know of it;
  the bank's own repeat is what is left.
- **Notify** failing to invoke DelayedNotify: it is not part of this project.
- **The same id with another body** is refused loudly and ends in the dead-letter queue; redrive refuses it again.
- **An invalid event** likewise: it was never saved, and only a mended copy can be processed.
- **A record changed by another hand**: a wrong type in the index ends in `FAILED`; one that was taken out of the index,
  or whose `sweepShard` is outside 0 to 15, is not found by the sweep.
- **ProcessPaidOrder** that answers without having done its work: any answer is a completed pass.
- **Mails** beyond the hourly limit are told together, by the next one or by the sweep, not sent; where the error log
  cannot be written either, each warm function mails once an hour. The alarms do not depend on them.
- **The model** of Lambda and Scheduler is our reading of AWS's documents; no test here speaks to AWS."""


def written(told: Iterable[Cell]) -> str:
    """The whole document."""
    stories = list(told)
    rows: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in stories:
        rows[cell.point[:2]][cell.fault].append(cell)
    lost, again = (sum(map(bool, told)) for told in ([c.wrong for c in stories], [c.duplicates for c in stories]))
    parts = [_HEAD.format(cells=len(stories), lost=lost, duplicates=again)]
    for (function, site), by_fault in rows.items():
        parts += [_SECTION.format(function=function, site=site, test=TEST), *_lines(by_fault)]
    return "".join([*parts, _TAIL.format(not_covered=NOT_COVERED)])


def _lines(by_fault: dict[str, list[Cell]]) -> list[str]:
    # Faults that look the same share a line.
    alike: dict[str, list[str]] = defaultdict(list)
    for fault, told in by_fault.items():
        halves = (_half([c for c in told if c.redelivered]), _half([c for c in told if not c.redelivered]))
        alike[f"{_joined(c.remains for c in told)} | {' | '.join(halves)} |"].append(fault)
    return [f"| {', '.join(faults)} | {line}\n" for line, faults in alike.items()]


def _half(told: list[Cell]) -> str:
    if not told:
        return "cannot happen | "
    who = _joined(_who(cell) for cell in told)
    return f"{who} | {_minutes(max(cell.took for cell in told))}"


def _who(cell: Cell) -> str:
    end = {"DONE": "", "FAILED": "FAILED, then `replay`", "dead letter": "dead letter, then `redrive`"}[cell.end]
    return end or " and ".join(dict.fromkeys(cell.finishers)) or "nobody needs to"


def _joined(words: Iterable[str]) -> str:
    return "; ".join(sorted(set(words)))


def _minutes(time: timedelta) -> str:
    seconds = -(-time // timedelta(seconds=1))
    return f"{seconds // 60} min {seconds % 60:02} s"


def main() -> None:
    """Write the document anew."""
    with pytest.MonkeyPatch.context() as patch:
        wire = listening(patch)
        with made(wire, patch) as world, quietly(), asked_directly(wire):
            FILE.write_text(written(cells(world)))


if __name__ == "__main__":
    main()
