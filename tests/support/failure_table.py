"""The tables of docs/failure-table.md, from what fault_scenarios.py showed. `make failure-table` writes them anew."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from math import ceil

from followups.output import span
from local.emulator import ROOT
from tests.support.aws import worlds
from tests.support.documents import rewritten
from tests.support.fault_scenarios import Cell, cells

FILE = ROOT / "docs" / "failure-table.md"
_COUNTS = "**{cells} stories, {lost} lost.** In {again} of them a pass ran once more than needed, which it must bear.\n"
_SECTION = """
## {function}

| call | fails so | remains | finished by | at most |
|---|---|---|---|---|
"""


def written(found: Iterable[Cell]) -> str:
    stories = list(found)
    tables: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in stories:
        tables[cell.section][cell.point[1]].append(cell)
    lost, again = sum(bool(cell.wrong) for cell in stories), sum(bool(cell.duplicates) for cell in stories)
    parts = [_COUNTS.format(cells=len(stories), lost=lost, again=again)]
    for function, by_call in tables.items():
        lines = [line for call, found in by_call.items() for line in _lines(call, found)]
        parts += [_SECTION.format(function=function), *lines]
    return rewritten(FILE, "".join([*parts, "\n"]))


def _lines(call: str, cells_of_call: list[Cell]) -> list[str]:
    # Faults that end alike share a line.
    alike: dict[str, list[str]] = defaultdict(list)
    for fault in dict.fromkeys(cell.fault for cell in cells_of_call):
        found = [cell for cell in cells_of_call if cell.fault == fault]
        remains, who = ("; ".join(sorted(set(words))) for words in ([cell.remains for cell in found], map(_who, found)))
        took = timedelta(seconds=ceil(max(cell.took for cell in found).total_seconds()))
        alike[f"{remains} | {who} | {span(took)} |"].append(fault)
    return [f"| {call} | {', '.join(faults)} | {line}\n" for line, faults in alike.items()]


def _who(cell: Cell) -> str:
    ends = {"FAILED": "FAILED, then `replay`", "refused queue": "refused queue", "failure queue": "failure queue"}
    return ends.get(cell.end) or " and ".join(dict.fromkeys(cell.finishers)) or "nobody needs to"


def main() -> None:
    with worlds() as world:
        FILE.write_text(written(cells(world)))


if __name__ == "__main__":
    main()
