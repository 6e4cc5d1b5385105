"""`make bench`: measure everything in one run, write docs/benchmarks.md, and print each target beside it."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bench import arrivals, billed, cold, machine, money, scale, warm
from bench.counted import Counts
from bench.counting import counts_of
from bench.page import WRITTEN, Section, targets_text
from bench.server import serving
from bench.subject import begin, end, environment, stop
from bench.template import ROOT, memory_sizes

_INTRODUCTION = """# Benchmarks

Written by `{mode}`; no figure here comes from elsewhere. A benchmark, not a test: CI holds only counts, those of
`tests/project/ceilings.toml`. Everything runs on one machine, over stand-ins of AWS that answer at once: what AWS's own
services take is in none of the figures."""
T = TypeVar("T")


def main() -> int:
    """Run, write and print; the exit code does not depend on the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look at it in two minutes, with few samples")
    quick = parser.parse_args().quick
    began = time.monotonic()
    # Ends by an exception, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with serving() as url:
            sections = _measure(url, quick=quick)
    finally:
        stop()
    mode = "make bench QUICK=1" if quick else "make bench"
    sections.append(machine.facts(mode, (time.monotonic() - began) / 60))
    text = [_INTRODUCTION.format(mode=mode), targets_text(sections), *(section.text for section in sections)]
    page = _published("\n\n".join(text) + "\n", quick=quick)
    for section in sections:
        for target in section.targets:
            print(target.line)
    print(f"{page.relative_to(ROOT)} is written, in {(time.monotonic() - began) / 60:.1f} minutes")
    return 0


def _measure(url: str, *, quick: bool) -> list[Section]:
    size = memory_sizes()[1]
    counts = {subject: counts_of(subject) for subject in billed.SUBJECTS}
    really = billed.RealRun(url)
    _say("billed compute")
    times = billed.run(url, quick=quick)
    _say("cold starts")
    starts, cold_section = cold.run(url, range(20_000, 40_000), quick=quick)
    _say("warm invocations")
    runs = warm.run(url, range(10_000, 18_000), quick=quick)
    line = [sys.executable, "-m", "bench.sweeping", "500" if quick else "2000"]
    swept: dict[str, float] = json.loads(end(begin(line, environment(300, url))))
    # What follows goes by CPU time, by instructions or by virtual time.
    _say("scale")
    scaled = _two_at_a_time(scale.begun, scale.sizes(quick=quick))
    _say("instructions, backlogs and bursts")
    warmed = warm.results(runs, {} if quick else warm.instructions(url, 18_000))
    backlog, cpu_ms = arrivals.backlog(quick=quick), swept["cpu_ms"] / 2
    backlogs = _two_at_a_time(lambda one: arrivals.begun("backlog", backlog[one], cpu_ms, one), list(backlog))
    storms = _two_at_a_time(lambda burst: arrivals.begun("burst", *burst), arrivals.bursts(quick=quick))
    return [
        billed.section(times, really.results(), memory=size),
        cold_section,
        warm.section(warmed, counts, counts_of("ours", REDIRECT_ALLOWED_ORIGINS="")),
        money.memory_section(starts, warmed["ours"], {t: times["ours", t] for t in billed.LATENCIES}),
        scale.section(scaled, counts["ours"], swept),
        arrivals.section(storms, backlogs, counts["ours"], times["ours", 300].median, swept),
        money.section(_bills(times, counts, warmed, size), counts["ours"], swept),
    ]


def _two_at_a_time(begun: Callable[[T], "subprocess.Popen[str]"], each: Sequence[T]) -> dict[T, str]:
    with ThreadPoolExecutor(2) as threads:
        return dict(zip(each, threads.map(lambda one: end(begun(one)), each), strict=True))


def _published(text: str, *, quick: bool) -> Path:
    """Write the page; a look with few samples never takes the place of what is published."""
    page = WRITTEN / "benchmarks.md"
    page.write_text(text)
    if quick:
        return page
    shutil.copytree(WRITTEN, ROOT / "docs", dirs_exist_ok=True)
    return ROOT / "docs" / page.name


def _bills(
    times: billed.Results, counts: dict[str, Counts], warmed: warm.Results, size: int
) -> dict[tuple[str, int], money.Bill]:
    logs = {"ours": warmed["ours"].log_bytes, "sleeping": warmed["sleeping"].log_bytes}
    made = {key: money.bill(key[0], one, counts[key[0]], logs.get(key[0], 0), size) for key, one in times.items()}
    # A state machine would run the floor's two halves as tasks.
    for latency in billed.LATENCIES:
        bare = made["floor", latency]
        steps = money.bill("step_functions", times["floor", latency], counts["floor"], 0, size)
        made["step_functions", latency] = replace(bare, waiting=steps.waiting)
    return made


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
