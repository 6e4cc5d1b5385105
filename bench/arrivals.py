"""Item 6: past one machine. On paper from published quotas, and by simulation with throttling turned on."""

import json
import subprocess
import sys
from typing import Any

from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.quotas import limits, read
from bench.subject import begin, end, environment

RATES = (10, 100, 1_000, 5_000)
LATENCY_MS = 300
_SECONDS = {10: 60, 100: 20, 1_000: 5, 5_000: 2}
_QUICK_SECONDS = {10: 10, 100: 2, 1_000: 1}


class Storms:
    """Each rate in a process of its own; their time is virtual, so they may run beside others."""

    def __init__(self, *, quick: bool) -> None:
        self._seconds = _QUICK_SECONDS if quick else _SECONDS
        self._running = {rate: _begun(rate, seconds) for rate, seconds in self._seconds.items()}

    def results(self) -> dict[int, Any]:
        """Wait for their end and return what each printed."""
        return {rate: json.loads(end(one)) | {"seconds": self._seconds[rate]} for rate, one in self._running.items()}


def _begun(rate: int, seconds: int) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "bench.storm", str(rate), str(seconds), str(LATENCY_MS)]
    return begin(line, environment(LATENCY_MS, "http://127.0.0.1:1"))


def section(found: dict[int, Any], counts: Counts, billed_ms: float) -> Section:
    """Tell what was found."""
    told = Section("6. Past one machine")
    told.say(
        "**On paper.** What each steady rate needs of each quota (`bench/quotas.toml`, with sources and dates), and "
        f"in bold what it exceeds. Concurrency counts our functions, {billed_ms:.0f} ms a notification at "
        f"{LATENCY_MS} ms, and ProcessPaidOrder itself, which holds a place of the same quota while it runs."
    )
    needs = {rate: _needs(rate, counts, billed_ms) for rate in RATES}
    _on_paper(told, needs)
    told.say(_USERS)
    _simulated(told, found)
    return told


def _on_paper(told: Section, needs: dict[int, dict[str, float]]) -> None:
    quotas = read("quotas")
    cells = {n: [_cell(needs[rate][n], q["limit"]) for rate in RATES] for n, q in quotas.items()}
    rows = [(_title(n), f"{q['limit']:,}", *cells[n], q["raise"]) for n, q in quotas.items()]
    told.table(("", "quota", *(f"{rate:,}/s" for rate in RATES), "to raise it"), rows)
    about = [f"{_title(n)}: {q['per']} ([source]({q['source']}), read {q['read']})" for n, q in quotas.items()]
    told.say(f"Each quota: {'; '.join(about)}.")
    (first, capacity), *others = sorted(_capacity(needs[1_000]).items(), key=lambda pair: pair[1])
    then = ", ".join(f"{_title(name)} at {rate:,.0f}" for name, rate in others)
    told.say(f"The first that binds is **{_title(first)}**, at {capacity:,.0f} notifications a second; then {then}.")
    shares = {_title(n): (list(RATES), [needs[r][n] / quotas[n]["limit"] for r in RATES]) for n in quotas}
    axes = {"xlabel": "notifications a second", "ylabel": "share of the quota"}
    lines("quotas.svg", shares, xscale="log", yscale="log", **axes)
    told.plot("quotas.svg", "Share of each quota against the rate")


_USERS = (
    "What the user sees then is delay. Lambda keeps an asynchronous event that finds no place for up to 6 hours and "
    "tries it again; a throttled table or CreateSchedule fails the invocation, which is tried again after one and "
    "two minutes and then lies in the OnFailure queue, with an alarm and a mail, until `make redrive`; a saved "
    "notification without a timer is found by the sweep, 1,600 in each 5 minutes. Nothing of it is lost."
)


def _simulated(told: Section, found: dict[int, Any]) -> None:
    told.say(
        "**By simulation.** The real handlers in virtual time, over the stand-ins, with these quotas turned on "
        f"(CreateSchedule at {limits()['create_schedule']:,}/s; each call taken to last 5 ms): a burst, then 6 hours "
        "of quiet, in which the sweep runs; then `make redrive` of what failed in all tries. Seconds are from the "
        "save to the second pass."
    )
    told.table(_COLUMNS, [_burst(rate, one) for rate, one in found.items()])
    sent, done, lost = (sum(one[name] for one in found.values()) for name in ("sent", "done", "lost"))
    told.aim(
        Target(
            "notifications lost in a burst beyond the quotas",
            "none: delayed, never lost",
            f"{lost} of {sent:,}, {done:,} done, up to {max(found):,}/s",
            lost == 0,
            "A notification was accepted and is neither done nor kept: a fault, to be found before anything else.",
        )
    )


_COLUMNS = (
    *("burst", "sent", "done by itself", "median s", "99 % s", "last s"),
    *("dead letters", "done after redrive", "lost", "throttled"),
)


def _burst(rate: int, one: dict[str, Any]) -> tuple[str, ...]:
    times = [f"{one[name]:,.0f}" for name in ("p50", "p99", "p100")]
    throttled = ", ".join(f"{_title(name)} {count:,}" for name, count in one["throttles"].items())
    ends = (f"{one['letters']:,}", f"{one['done']:,}", f"**{one['lost']}**", throttled or "none")
    return f"{rate:,}/s for {one['seconds']} s", f"{one['sent']:,}", f"{one['by_itself']:,}", *times, *ends


def _needs(rate: int, counts: Counts, billed_ms: float) -> dict[str, float]:
    busy = rate * (billed_ms + 2 * LATENCY_MS) / 1000
    # One index takes one or two units of a notification's writes at each of its turns, over 16 partitions.
    return {
        "lambda_concurrency": busy,
        "lambda_scaling": busy / 2 / 2,
        "create_schedule": rate,
        "scheduler_invocations": rate,
        "table_writes": rate * (counts.writes - 1),
        "partition_writes": rate * counts.due_writes / 16,
    }


def _capacity(at_thousand: dict[str, float]) -> dict[str, float]:
    return {name: limit / at_thousand[name] * 1000 for name, limit in limits().items()}


def _title(name: str) -> str:
    return name.replace("_", " ").replace("lambda", "Lambda").replace("create schedule", "CreateSchedule")


def _cell(need: float, limit: int) -> str:
    return f"**{need:,.0f}**" if need > limit else f"{need:,.0f}"
