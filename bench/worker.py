"""A process that runs one subject: `python -m bench.worker SUBJECT FIRST COUNT WARM`, and prints what it measured."""

import contextlib
import gc
import importlib
import io
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable

from bench.environment import WARMING, notification
from bench.timing import Stopwatch

Steps = tuple[Callable[[int], object], ...]


def main() -> None:
    """Run the notifications and print one JSON line."""
    name, first, count, warm = sys.argv[1], *(int(text) for text in sys.argv[2:5])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        steps: Steps = importlib.import_module(f"bench.subjects.{name}").steps()
        run(steps, range(WARMING.start + first, WARMING.start + first + warm))
        printed.seek(0)
        printed.truncate()
        numbers = range(first, first + count)
        run((), numbers)
        cpu, each = time.process_time(), run(steps, numbers)
        cpu = time.process_time() - cpu
        log = len(printed.getvalue().encode()) / count
        peak = allocated(steps, first + count) if "--allocations" in sys.argv else None
    print(json.dumps({"ms": each, "cpu_ms": cpu / count * 1000, "log_bytes": log, "peak_bytes": peak}))


def run(steps: Steps, numbers: range) -> list[list[float]]:
    """Return the milliseconds of each invocation of each notification."""
    each = []
    for number in numbers:
        notification(number)  # is made outside of what is timed
    for number in numbers:
        taken = []
        for which, step in enumerate(steps):
            if which and os.environ.get("REALLY_SLEEP"):
                time.sleep(61)  # in the one run that waits in earnest, beside the others (bench/billed.py)
            Stopwatch.reset()
            started = time.perf_counter()
            step(number)
            taken.append((Stopwatch.seconds if Stopwatch.own else time.perf_counter() - started) * 1000)
        each.append(taken)
    return each


def allocated(steps: Steps, number: int) -> int:
    """Return the most bytes that one notification had allocated at a time."""
    gc.collect()
    tracemalloc.start()
    run(steps, range(number, number + 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


if __name__ == "__main__":
    main()
