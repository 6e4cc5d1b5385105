"""The measurements of one run; each is made when a section first asks for it."""

import re
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from bench import cold, worker
from bench.subjects import SLEEP_SECONDS, TITLES

LATENCIES = (50, 300, 2000)
_WARM = ("floor", "ours", "sleeping")
Later = dict[Any, "Future[Any]"]


class Spread(NamedTuple):
    """The median, and the values that four fifths lie between."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median, and the values that four fifths lie between."""
    ordered, tenth = sorted(values), len(values) // 10
    return Spread(statistics.median(ordered), ordered[tenth], ordered[-1 - tenth])


@contextmanager
def logged(what: str) -> Iterator[None]:
    """Print how long something took."""
    began = time.monotonic()
    yield
    print(f"{time.strftime('%H:%M:%S')} {what}: {time.monotonic() - began:.0f} s", flush=True)


class Run:
    """The measurements, in few samples if `quick`."""

    def __init__(self, url: str, *, quick: bool) -> None:
        self.url, self.quick = url, quick
        self._next_number = 0
        # What goes by CPU time, by instructions or by virtual time may run beside others.
        self._threads = ThreadPoolExecutor(2)

    def _numbers(self, count: int) -> int:
        self._next_number += count
        return self._next_number - count

    @cached_property
    def counts(self) -> dict[str, Any]:
        """What is counted of one notification of each subject; `default` is with the template's parameters."""
        found = {subject: worker.run("handlers.study", subject) for subject in TITLES}
        return found | {"default": worker.run("handlers.study", "ours", REDIRECT_ALLOWED_ORIGINS="")}

    @cached_property
    def billed(self) -> dict[tuple[str, int], Spread]:
        """Milliseconds of every subject at every latency, in rounds, so that all share the machine's quiet minutes."""
        counts = {50: 4, 300: 2, 2000: 1} if self.quick else {50: 12, 300: 6, 2000: 1}
        found: dict[tuple[str, int], list[float]] = defaultdict(list)
        with logged("billed compute"):
            for subject in list(TITLES) * (1 if self.quick else 3):
                # Nearly all of their time is waiting, so the three latencies run at once.
                started = {
                    latency: worker.start(
                        "subjects.measure", subject, self._numbers(count), count, 1, latency_ms=latency, url=self.url
                    )
                    for latency, count in counts.items()
                }
                for latency, process in started.items():
                    found[subject, latency] += worker.finish(process)[0]["ms"]
        slept = {"sleeping": SLEEP_SECONDS * 1000}
        return {key: spread([ms + slept.get(key[0], 0) for ms in each]) for key, each in found.items()}

    @cached_property
    def starts(self) -> dict[str, list[cold.Start]]:
        """The cold starts of every variant."""
        with logged("cold starts"):
            return cold.measure(self.url, self._numbers(1_000), quick=self.quick)

    @cached_property
    def warm(self) -> dict[str, dict[str, float]]:
        """What a warm notification takes, ProcessPaidOrder answering at once; the median of rounds in turn."""
        rounds, count = (1, 60) if self.quick else (4, 150)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with logged("warm invocations"):
            for subject in _WARM * rounds:
                given = subject, self._numbers(count), count, 20
                found[subject].append(worker.run("subjects.measure", *given, latency_ms=0, url=self.url))
        names = ("cpu_ms", "log_bytes")
        return {s: {n: statistics.median(one[n] for one in each) for n in names} for s, each in found.items()}

    @cached_property
    def sweep(self) -> dict[str, float]:
        """What a sweep takes, over HTTP."""
        count = 300 if self.quick else 1_000
        with logged("sweep"):
            return dict(worker.run("handlers.sweep", self._numbers(count), count, url=self.url))

    @cached_property
    def bursts(self) -> Later:
        """How bursts end, by rate and seconds, in virtual time."""
        bursts = ((10, 10), (100, 2)) if self.quick else ((10, 60), (100, 20), (1_000, 5), (5_000, 2))
        return {(rate, s): self._later(f"burst of {rate:,}/s", "simulation.burst", rate, s) for rate, s in bursts}

    @cached_property
    def backlogs(self) -> Later:
        """How backlogs end, in virtual time; those that wait differ in their time alone, so fewer of them do."""
        sizes = {"due": 2_000, "waiting": 2_000} if self.quick else {"due": 100_000, "waiting": 10_000}
        cpu_ms = self.sweep["cpu_ms"]
        return {s: self._later(f"backlog, {s}", "simulation.backlog", s, n, cpu_ms) for s, n in sizes.items()}

    @cached_property
    def instructions(self) -> Later:
        """Instructions by callgrind, if it is installed, of runs of 4 and of 24 notifications."""
        if self.quick or shutil.which("valgrind") is None:
            return {}
        return {(s, n): self._threads.submit(self._instructions, s, n) for s in ("floor", "ours") for n in (4, 24)}

    def start_all(self) -> None:
        """Measure what needs the machine for itself, then start the rest."""
        _ = self.billed, self.starts, self.warm, self.sweep
        _ = self.backlogs, self.bursts, self.instructions

    def _instructions(self, subject: str, count: int) -> int:
        tool = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        how: dict[str, Any] = {"prefix": tool, "latency_ms": 0, "url": self.url, "PYTHONMALLOC": "malloc"}
        with logged(f"instructions of {count}, {subject}"):
            process = worker.start("subjects.measure", subject, self._numbers(count), count, 2, **how)
            return int(re.findall(r"Collected : (\d+)", worker.finish(process)[1])[-1])

    def _later(self, what: str, function: str, *given: object) -> "Future[Any]":
        def job() -> object:
            with logged(what):
                return worker.run(function, *given)

        return self._threads.submit(job)
