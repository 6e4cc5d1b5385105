"""The measurements of one run; each is made when a section first asks for it."""

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from bench import cold, worker

LATENCIES = (50, 300, 2000)
TITLES = {
    "sleeping": "sleeping function",
    "durable": "durable functions, bare",
    "ours": "this project",
    "floor": "floor: bare boto3, the same calls",
}
Later = dict[Any, "Future[Any]"]


class Spread(NamedTuple):
    """The median, and the range of the middle four fifths."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median, and the range of the middle four fifths."""
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

    def __init__(self, url: str, threads: ThreadPoolExecutor, *, quick: bool) -> None:
        self.url, self.quick = url, quick
        self._next_number = 0
        # Simulations may run at the same time: their time is virtual.
        self._threads = threads

    def _numbers(self, count: int) -> int:
        self._next_number += count
        return self._next_number - count

    @cached_property
    def counts(self) -> dict[str, Any]:
        """What is counted of one notification, as it is measured and with the template's default parameters."""
        default = worker.run("handlers.study", REDIRECT_ALLOWED_ORIGINS="")
        return {"ours": worker.run("handlers.study"), "default": default}

    @cached_property
    def billed(self) -> dict[str, dict[int, Spread]]:
        """Billed milliseconds by latency; alternatives are calculated from this project's calls to AWS."""
        found: dict[str, dict[int, list[float]]] = {name: {t: [] for t in LATENCIES} for name in TITLES}
        with logged("billed compute"):
            for _ in range(1 if self.quick else 4):
                # Nearly all of their time is spent waiting, so the three latencies run at once.
                processes = {t: self._start(t, 4 if self.quick else n) for t, n in ((50, 30), (300, 15), (2000, 3))}
                for t, process in processes.items():
                    one = worker.finish(process)
                    found["ours"][t] += one["ms"]
                    found["floor"][t] += one["calls_ms"]
            executions = {t: worker.start("durable.measure", t, 2 if self.quick else 6) for t in LATENCIES}
            for t, process in executions.items():
                # A notification makes 10 calls, two of them of ProcessPaidOrder; these alternatives make 5.
                calls_ms = (statistics.median(found["floor"][t]) - 2 * t) / 2
                found["durable"][t] = [ms + calls_ms for ms in worker.finish(process)]
                found["sleeping"][t] = [60_000 + 2 * t + calls_ms]
        return {name: {t: spread(ms) for t, ms in each.items()} for name, each in found.items()}

    def _start(self, latency_ms: int, count: int) -> "subprocess.Popen[str]":
        return worker.start("handlers.measure", self._numbers(count), count, 2, latency_ms=latency_ms, url=self.url)

    @cached_property
    def starts(self) -> dict[str, list[cold.Start]]:
        """The cold starts of every variant."""
        with logged("cold starts"):
            return cold.measure(self.url, self._numbers(1_000), quick=self.quick)

    @cached_property
    def warm(self) -> dict[str, float]:
        """What a warm notification takes, ProcessPaidOrder answering at once."""
        count = 60 if self.quick else 1_000
        with logged("warm invocations"):
            found = worker.run("handlers.measure", self._numbers(count), count, 20, latency_ms=0, url=self.url)
        cpu_ms, calls_cpu_ms = (statistics.median(found[name]) for name in ("cpu_ms", "calls_cpu_ms"))
        return {"cpu_ms": cpu_ms, "calls_cpu_ms": calls_cpu_ms, "log_bytes": found["log_bytes"]}

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
        return {burst: self._threads.submit(self._simulate, "burst", *burst) for burst in bursts}

    @cached_property
    def backlogs(self) -> Later:
        """How backlogs end, in virtual time; those that wait differ in their time alone, so fewer of them do."""
        sizes = {"due": 2_000, "waiting": 2_000} if self.quick else {"due": 100_000, "waiting": 10_000}
        cpu_ms = self.sweep["cpu_ms"]
        return {s: self._threads.submit(self._simulate, "backlog", s, n, cpu_ms) for s, n in sizes.items()}

    def _simulate(self, what: str, *given: object) -> Any:  # noqa: ANN401 - the worker's result
        with logged(f"{what} {given}"):
            return worker.run(f"simulation.{what}", *given)

    def start_all(self) -> None:
        """Measure what needs the machine for itself, then start the rest."""
        _ = self.billed, self.starts, self.warm, self.sweep, self.backlogs, self.bursts
