"""docs/failure-table.md, from what fault_scenarios.py showed. `make failure-table` writes it anew."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from local.emulator import ROOT
from tests.support.aws import worlds
from tests.support.fault_scenarios import Cell, cells

FILE = ROOT / "docs" / "failure-table.md"
_HEAD = """# What fails, what remains, who finishes it

Written by `make failure-table` from the stories that `tests/functions/test_fault_scenarios.py` plays; that test fails
when this page is stale.

One notification is delivered, and one AWS call fails in one way: the process **dies before** or **after** the call
took effect; the call's **answer is lost** after its effect; the call is **throttled**, **denied**, or met by a
**server error**. The timer fires once, twice, 40 minutes late or never; Lambda tries again or does not. The sweep comes
as late as "every minute" allows. Nobody helps; then the promise is checked:

- two completed passes, at least 60 s apart, or an end that was reported and that one command repairs;
- no letter for what is saved, and one at most for the rest; a repeat of a delivery runs no pass;
- no error, error row or mail but the fault's own: none for a duplicate, an early timer or a lost race;
- a sweep that could not read all its shards reports no `OldestOverdue`.

**{cells} stories, {lost} lost.** In {duplicates} of them a pass ran once more than needed, which it must bear.

"At most" is the time from the delivery to the end, the longest of all timers, in the scenario in which the call occurs:
2 min 03 s where nothing fails, 4 min 02 s where the timer never comes and the sweep runs the pass. A notification that
cannot be saved waits 12 minutes in the retry queue.
"""
_SECTION = """
## {function}

| call | fails so | remains | finished by | at most |
|---|---|---|---|---|
"""
_TAIL = """
## Not covered

- **Two faults at once**: the random stories of `tests/functions/test_random_scenarios.py` have them, not one by one.
- **A fault that lasts**: [outages.md](outages.md).
- **Loss inside AWS**: DynamoDB and SQS are taken to keep what they acknowledged, and Lambda to run what it accepted or
  to hand it to OnFailure. What Lambda drops before its first attempt was never saved; the alarm `EventsDropped` rings.
- **Notify** failing to invoke DelayedNotify: it is not part of this project.
- **A refused event** whose answer from SQS is lost may leave two letters in the refused queue.
- **A record that another hand took out of the index** `due`, or whose `sweepShard` is not 0 to 15: no sweep finds it.
- **ProcessPaidOrder** that answers without having done its work: any answer is a completed pass.
- **The model** of Lambda, SQS and Scheduler is a reading of AWS's documents; no test speaks to AWS.
"""


def written(found: Iterable[Cell]) -> str:
    stories = list(found)
    tables: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in stories:
        tables[cell.section][cell.point[1]].append(cell)
    lost, again = sum(bool(cell.wrong) for cell in stories), sum(bool(cell.duplicates) for cell in stories)
    parts = [_HEAD.format(cells=len(stories), lost=lost, duplicates=again)]
    for function, by_call in tables.items():
        lines = [line for call, found in by_call.items() for line in _lines(call, found)]
        parts += [_SECTION.format(function=function), *lines]
    return "".join([*parts, _TAIL])


def _lines(call: str, cells_of_call: list[Cell]) -> list[str]:
    # Faults that end alike share a line.
    alike: dict[str, list[str]] = defaultdict(list)
    for fault in dict.fromkeys(cell.fault for cell in cells_of_call):
        found = [cell for cell in cells_of_call if cell.fault == fault]
        seconds = -(-max(cell.took for cell in found) // timedelta(seconds=1))
        remains, who = ("; ".join(sorted(set(words))) for words in ([cell.remains for cell in found], map(_who, found)))
        alike[f"{remains} | {who} | {seconds // 60} min {seconds % 60:02} s |"].append(fault)
    return [f"| {call} | {', '.join(faults)} | {line}\n" for line, faults in alike.items()]


def _who(cell: Cell) -> str:
    ends = {"FAILED": "FAILED, then `replay`", "refused queue": "refused queue", "failure queue": "failure queue"}
    return ends.get(cell.end) or " and ".join(dict.fromkeys(cell.finishers)) or "nobody needs to"


def main() -> None:
    with worlds() as world:
        FILE.write_text(written(cells(world)))


if __name__ == "__main__":
    main()
