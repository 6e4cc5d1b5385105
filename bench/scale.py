"""Item 5: does anything grow? 100 to 100,000 notifications, and the sweep against what is overdue and against all."""

import json
import math
import sys
from typing import Any

from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.subject import begin, end, environment

OVERDUE = 100


def run(*, quick: bool) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return what was measured by the number of notifications, and, at 1,000 of them, by how many are overdue."""
    sizes = (100, 1_000, 3_000) if quick else (100, 1_000, 10_000, 100_000)
    by_count = {count: _run(count, OVERDUE) for count in sizes}
    by_overdue = {overdue: _run(1_000, overdue) for overdue in ((0, 100) if quick else (0, 10, 100, 400, 1_600))}
    return by_count, by_overdue


def _run(count: int, overdue: int) -> Any:  # noqa: ANN401 - what the worker printed
    line = [sys.executable, "-m", "bench.scale_worker", str(count), str(overdue)]
    return json.loads(end(begin(line, environment(300, "http://127.0.0.1:1"))))


def section(by_count: dict[int, Any], by_overdue: dict[int, Any], counts: Counts) -> Section:
    """Tell what was found."""
    told = Section("5. Scale")
    told.say(
        "In one process, with the stand-ins in the place where botocore sends a call, so that time and memory are our "
        "code's and the stand-ins' (they keep each record as text). Memory is what the process has resident."
    )
    head = ("notifications", "ms each", "bytes resident each", "of them records")
    sweep = (f"a sweep with {OVERDUE} overdue, ms", "queries", "read units")
    told.table((*head, *sweep), [_row(count, one) for count, one in by_count.items()])
    _growth(told, by_count)
    _sweep_and_record(told, by_overdue, counts)
    return told


def _row(count: int, one: Any) -> tuple[object, ...]:  # noqa: ANN401 - what the worker printed
    sizes = (f"{one['grown'] / count:,.0f}", f"{one['kept'] / count:,.0f}")
    sweep = (f"{one['sweep_ms']:.1f}", one["queries"], one["read_units"])
    return f"{count:,}", f"{one['seconds'] / count * 1000:.3f}", *sizes, *sweep


def _growth(told: Section, by_count: dict[int, Any]) -> None:
    seconds = {count: one["seconds"] for count, one in by_count.items()}
    grown = {count: one["grown"] / 1e6 for count, one in by_count.items()}
    # Below a thousand the process's memory grows by whole arenas, if at all.
    time, memory = _slope(seconds), _slope({count: size for count, size in grown.items() if count >= 1_000})
    told.say(f"Slope in the log-log plot: time {time:.3f}, memory from 1,000 on {memory:.3f}; 1 is flat.")
    drawn = {"time of all, s": seconds, "memory of all, MB": grown}
    series = {name: (list(values), list(values.values())) for name, values in drawn.items()}
    lines("scale.svg", series, xscale="log", yscale="log", xlabel="notifications", ylabel="s, MB")
    told.plot("scale.svg", "Time and memory against the number of notifications")
    told.aim(
        Target(
            "time and memory per notification, 100 to 100,000",
            "flat: slopes of 0.9 to 1.1",
            f"{time:.3f} and {memory:.3f}, to {max(by_count):,}",
            0.9 <= time <= 1.1 and 0.9 <= memory <= 1.1,
            "Something grows with what was there before; the table of section 5 shows from where on.",
        )
    )


def _sweep_and_record(told: Section, by_overdue: dict[int, Any], counts: Counts) -> None:
    told.say(
        "The sweep at 1,000 finished notifications, against what is overdue (its bound is 100 for each of 16 shards):"
    )
    rows = [
        (overdue, f"{one['sweep_ms']:.1f}", one["queries"], one["read_units"], one["started"])
        for overdue, one in by_overdue.items()
    ]
    told.table(("overdue", "ms", "queries", "read units", "handed to Recheck"), rows)
    indexes = ", ".join(f"`{name}` {size}" for name, size in counts.index_bytes.items())
    told.say(
        f"A finished record takes {counts.record_bytes} bytes as DynamoDB counts (100 of them its own), and in its "
        f"indexes: {indexes}. Its body is the sample's; the index `due` holds only what still waits."
    )


def _slope(values: dict[int, float]) -> float:
    points = [(math.log(x), math.log(max(y, 1e-9))) for x, y in values.items()]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return float(above / sum((x - mean_x) ** 2 for x, _ in points))
