"""The measurements of one run; each is made when a section first asks for it."""

import itertools
import statistics
from collections import defaultdict
from functools import cached_property
from typing import Any

from bench import cold, worker

LATENCIES = (50, 300, 2000)
TITLES = {
    "sleeping": "sleeping function",
    "durable": "durable functions, bare",
    "ours": "this project",
    "floor": "floor: bare boto3, the same calls",
}


class Run:
    """The measurements, in few samples if `quick`."""

    def __init__(self, url: str, *, quick: bool) -> None:
        self.url, self.quick = url, quick
        # No measurement takes more notifications.
        self._numbers = itertools.count(0, 1_000)

    def _measure(self, function: str, latency_ms: int, count: int, *more: int) -> Any:  # noqa: ANN401 - a process
        return worker.start(function, next(self._numbers), count, *more, latency_ms=latency_ms, url=self.url)

    @cached_property
    def counts(self) -> dict[str, Any]:
        """The counts for one notification, as it is measured and with the template's default parameters."""
        default = worker.run("handlers.study", REDIRECT_ALLOWED_ORIGINS="")
        return {"ours": worker.run("handlers.study"), "default": default}

    @cached_property
    def billed(self) -> dict[str, dict[int, list[float]]]:
        """Billed milliseconds by latency; alternatives are calculated from this project's calls to AWS."""
        found = {name: defaultdict[int, list[float]](list) for name in TITLES}
        counts = dict(zip(LATENCIES, (4, 4, 4) if self.quick else (30, 15, 3), strict=True))
        for _ in range(1 if self.quick else 4):
            # Nearly all of their time is spent waiting, so the three latencies run at once.
            processes = {t: self._measure("handlers.measure", t, n, 2) for t, n in counts.items()}
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
        return {name: dict(each) for name, each in found.items()}

    @cached_property
    def starts(self) -> dict[str, dict[str, list[float]]]:
        """The cold starts of every variant."""
        return cold.measure(self.url, next(self._numbers), quick=self.quick)

    @cached_property
    def warm(self) -> dict[str, float]:
        """What a warm notification takes, ProcessPaidOrder answering at once: medians, and its bytes of log."""
        found = worker.finish(self._measure("handlers.measure", 0, 60 if self.quick else 1_000, 20))
        cpu_ms, calls_cpu_ms = (statistics.median(found[name]) for name in ("cpu_ms", "calls_cpu_ms"))
        return {"cpu_ms": cpu_ms, "calls_cpu_ms": calls_cpu_ms, "log_bytes": found["log_bytes"]}

    @cached_property
    def sweep(self) -> dict[str, float]:
        """What a sweep takes, over HTTP."""
        return dict(worker.finish(self._measure("handlers.sweep", 300, 300 if self.quick else 1_000)))

    @cached_property
    def simulated(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """How bursts (by rate and seconds) and backlogs (by kind, size and the sweep's CPU) end, in virtual time."""
        bursts = ((10, 10), (100, 2)) if self.quick else ((10, 60), (100, 20), (1_000, 5), (5_000, 2))
        # Those that wait differ only in their time, so fewer of them are enough.
        sizes = {"due": 2_000, "waiting": 2_000} if self.quick else {"due": 100_000, "waiting": 10_000}
        given = {"backlog": [(*each, self.sweep["cpu_ms"]) for each in sizes.items()], "burst": bursts}
        started = {kind: {one: worker.start(f"simulation.{kind}", *one) for one in given[kind]} for kind in given}
        return {kind: {one: worker.finish(p) for one, p in each.items()} for kind, each in started.items()}
