"""Item 1: the compute that is billed for one notification, from its save to its second pass."""

import json
from collections import defaultdict
from dataclasses import dataclass

from bench.page import Section, Target
from bench.plots import bars
from bench.subject import TITLES, Measured, begin, command, end, environment, spread
from bench.subjects.sleeping import SLEEP_SECONDS

LATENCIES = (50, 300, 2000)
SUBJECTS = ("sleeping", "durable", "delay_queue", "ours", "floor")
_COUNTS = {50: 12, 300: 6, 2000: 1}
_QUICK_COUNTS = {50: 4, 300: 2, 2000: 1}


@dataclass(frozen=True)
class Billed:
    """Milliseconds of one subject at one latency: the median, and what four fifths lie between."""

    median: float
    low: float
    high: float
    invocations: int


Results = dict[tuple[str, int], Billed]


def run(url: str, *, quick: bool) -> Results:
    """Measure every subject at every latency, in rounds, so that all share the machine's quiet minutes."""
    found: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    first = 0
    for _ in range(1 if quick else 3):
        for subject in SUBJECTS:
            running = {}
            # The three at once: nearly all of their time is waiting.
            for latency, count in (_QUICK_COUNTS if quick else _COUNTS).items():
                running[subject, latency] = begin(command(subject, first, count, 1), environment(latency, url))
                first += count
            for key, process in running.items():
                found[key].append(Measured(**json.loads(end(process))))
    return {key: _billed(key[0], runs) for key, runs in found.items()}


class RealRun:
    """The one run that really waits for its 60 s, beside the others, which count them."""

    def __init__(self, url: str) -> None:
        really = environment(300, url, REALLY_SLEEP="1")
        self._running = {s: begin(command(s, 4990 + n, 1, 0), really) for n, s in enumerate(("sleeping", "ours"))}

    def results(self) -> dict[str, float]:
        """Wait for its end and return the milliseconds that were billed."""
        return {s: sum(json.loads(end(process))["ms"][0]) for s, process in self._running.items()}


def section(results: Results, real: dict[str, float], *, memory: int) -> Section:
    """Show what was found."""
    section = Section("1. Billed compute per notification")
    section.say(
        "Milliseconds inside the handlers, warm, both passes; the median, and in brackets what four fifths of the "
        f"notifications lie between. The stand-ins answer at once by HTTP on 127.0.0.1. The {SLEEP_SECONDS} s are "
        "counted, not slept, except in the run below that really sleeps. Cold starts are item 2's."
    )
    rows = [
        (TITLES[s], results[s, 300].invocations, *(_cell(results[s, latency]) for latency in LATENCIES))
        for s in SUBJECTS
    ]
    section.table(("", "invocations", *(f"ProcessPaidOrder {latency} ms" for latency in LATENCIES)), rows)
    gigabytes = [
        (TITLES[s], *(f"{results[s, t].median / 1000 * memory / 1024:.4f}" for t in LATENCIES)) for s in SUBJECTS
    ]
    section.say(f"The same in GB-s at the template's {memory} MB:")
    section.table(("", *(f"{latency} ms" for latency in LATENCIES)), gigabytes)
    section.say(
        f"Really slept, one notification at 300 ms: the sleeping function {real['sleeping']:,.0f} ms, this project "
        f"{real['ours']:,.0f} ms in its two invocations with 61 s between them, in which nothing ran (the first run "
        f"of both processes, so with their first connections): {real['sleeping'] / real['ours']:.0f} times."
    )
    section.say(
        "The durable function's figure contains how its SDK gathers checkpoints before it sends them; its testing "
        "library stands for the service and answers at once."
    )
    bars("billed.svg", {TITLES[s]: [results[s, t].median for t in LATENCIES] for s in SUBJECTS}, LATENCIES)
    section.plot("billed.svg", "Billed milliseconds per notification, logarithmic")
    _targets(section, results)
    return section


def _targets(section: Section, results: Results) -> None:
    ratio = results["sleeping", 300].median / results["ours", 300].median
    section.aim(
        Target(
            "billed compute at 300 ms against the sleep", "at least 60 times less", f"{ratio:.1f} times", ratio >= 60
        )
    )
    over = {t: results["ours", t].median - results["floor", t].median for t in LATENCIES}
    parts = {t: over[t] / results["floor", t].median for t in LATENCIES}
    section.aim(
        Target(
            "billed compute over the floor",
            "at most 10 % or 10 ms",
            ", ".join(f"{over[t]:+.1f} ms ({parts[t]:+.1%}) at {t} ms" for t in LATENCIES),
            all(over[t] <= 10 or parts[t] <= 0.1 for t in LATENCIES),
            "It is what checking, masking and logging take; see section 3.",
        )
    )


def _billed(subject: str, runs: list[Measured]) -> Billed:
    slept = SLEEP_SECONDS * 1000 if subject == "sleeping" else 0
    median, low, high = spread([total + slept for one in runs for total in one.totals])
    return Billed(median, low, high, 2 if subject == "durable" else len(runs[0].ms[0]))


def _cell(billed: Billed) -> str:
    return f"{billed.median:,.1f} ({billed.low:,.1f} to {billed.high:,.1f})"
