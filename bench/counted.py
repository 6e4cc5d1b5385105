"""What is counted, not timed: AWS calls and billed units of one notification, in process; for tests, too."""

import importlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass

from bench.environment import variables
from bench.inprocess import listen
from bench.server import furnished
from bench.standins import Standins
from bench.tables import projected, size
from bench.template import table_shape


@dataclass(frozen=True)
class Counts:
    """One notification of a subject: calls and table units, and what its record weighs in the end.

    `cold_calls` are those of the first delivery, which reads the merchant's key, too; `warm_calls` those of each
    invocation of a warm function.
    """

    calls: Counter[str]
    cold_calls: int
    warm_calls: list[int]
    writes: int
    index_writes: int
    due_writes: int
    reads: float
    record_bytes: int
    index_bytes: dict[str, int]


def counts(subject: str, **more: str) -> Counts:
    """Run one warm notification and count; this replaces what the process's clients do."""
    os.environ.update(variables(300) | more)
    standins = furnished(Standins(), range(2))
    listen(standins)
    with redirect_stdout(io.StringIO()):
        steps = importlib.import_module(f"bench.subjects.{subject}").steps()
        cold, *_ = [_calls(standins, step, 0) for step in steps]
        standins.calls.clear()
        standins.forget_units()
        warm = [_calls(standins, step, 1) for step in steps]
    units = sum((table.units for table in standins.tables.values()), Counter[str]())
    indexes = sum(count for name, count in units.items() if name.startswith("index "))
    record, kept = _kept(standins)
    calls = (standins.calls, cold, warm)
    return Counts(*calls, units["write"], indexes, units["index due"], units["read"], record, kept)


def _calls(standins: Standins, step: Callable[[int], object], number: int) -> int:
    before = standins.calls.total()
    step(number)
    return standins.calls.total() - before


def _kept(standins: Standins) -> tuple[int, dict[str, int]]:
    shape = table_shape("CreditCardNotifyTable")
    item = json.loads(list(standins.tables["CreditCardNotifyTable"].items.values())[-1])
    # 100 bytes are what DynamoDB adds to each item and each entry of an index.
    entries = {index.name: projected(item, index, shape.key) for index in shape.indexes}
    return size(item) + 100, {name: size(entry) + 100 for name, entry in entries.items() if entry}
