"""Item 5: does anything grow? 100 to 10,000 notifications, and a sweep beside them."""

import json
import math
import subprocess
import sys
from typing import Any

from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.subject import begin, environment

OVERDUE = 100


def sizes(*, quick: bool) -> tuple[int, ...]:
    """How many notifications there are in each run."""
    return (100, 1_000, 3_000) if quick else (100, 1_000, 10_000)


def begun(count: int) -> "subprocess.Popen[str]":
    """Start the process that runs so many."""
    line = [sys.executable, "-m", "bench.scale_worker", str(count), str(OVERDUE)]
    return begin(line, environment(300, "http://127.0.0.1:1"))


def section(printed: dict[int, str], counts: Counts, swept: dict[str, float]) -> Section:
    """Show what was found: what each worker printed, and what a sweep takes over HTTP."""
    by_count = {count: json.loads(text) for count, text in printed.items()}
    section = Section("5. Scale")
    section.say(
        "In one process, with the stand-ins in the place where botocore sends a call, so that CPU time and memory "
        "are this code's and the stand-ins' (they keep each record as text). Memory is what the process has resident."
    )
    head = ("notifications", "CPU ms each", "bytes resident each", "of them records")
    sweep = (f"a sweep with {OVERDUE} overdue, CPU ms", "queries", "read units")
    section.table((*head, *sweep), [_row(count, one) for count, one in by_count.items()])
    _growth(section, by_count)
    indexes = ", ".join(f"`{name}` {size}" for name, size in counts.index_bytes.items())
    section.say(
        f"Over HTTP a sweep that finds nothing takes {swept['idle_ms']:.0f} ms, and one that finds many "
        f"{swept['cpu_ms']:.1f} ms of CPU for each: it moves the record back in its line and invokes Recheck. A "
        f"finished record takes {counts.record_bytes} bytes as DynamoDB counts (100 of them its own), and in its "
        f"indexes: {indexes}. Its body is the sample's."
    )
    return section


def _row(count: int, one: Any) -> tuple[object, ...]:  # noqa: ANN401 - what the worker printed
    sizes = (f"{one['grown'] / count:,.0f}", f"{one['kept'] / count:,.0f}")
    sweep = (f"{one['sweep_ms']:.1f}", one["queries"], one["read_units"])
    return f"{count:,}", f"{one['seconds'] / count * 1000:.3f}", *sizes, *sweep


def _growth(section: Section, by_count: dict[int, Any]) -> None:
    seconds = {count: one["seconds"] for count, one in by_count.items()}
    grown = {count: one["grown"] / 1e6 for count, one in by_count.items()}
    # Below a thousand the process's memory grows by whole arenas, if at all.
    time, memory = _slope(seconds), _slope({count: size for count, size in grown.items() if count >= 1_000})
    section.say(f"Slope in the log-log plot: time {time:.3f}, memory from 1,000 on {memory:.3f}; 1 is flat.")
    drawn = {"time of all, s": seconds, "memory of all, MB": grown}
    series = {name: (list(values), list(values.values())) for name, values in drawn.items()}
    lines("scale.svg", series, xscale="log", yscale="log", xlabel="notifications", ylabel="s, MB")
    section.plot("scale.svg", "Time and memory against the number of notifications")
    section.aim(
        Target(
            "time and memory per notification, 100 to 10,000",
            "flat: slopes of 0.9 to 1.1",
            f"{time:.3f} and {memory:.3f}, to {max(by_count):,}",
            0.9 <= time <= 1.1 and 0.9 <= memory <= 1.1,
            "Something grows with what was there before; the table of section 5 shows from where on.",
        )
    )


def _slope(values: dict[int, float]) -> float:
    points = [(math.log(x), math.log(max(y, 1e-9))) for x, y in values.items()]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return float(above / sum((x - mean_x) ** 2 for x, _ in points))
