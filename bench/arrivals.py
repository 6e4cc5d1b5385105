"""Item 6: past one machine. On paper from published quotas, and by simulation with throttling turned on."""

import json
import subprocess
import sys
from typing import Any

from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.quotas import limits, read
from bench.subject import begin, environment

RATES = (10, 100, 1_000, 5_000)
LATENCY_MS = 300
_SECONDS = {10: 60, 100: 20, 1_000: 5, 5_000: 2}
_QUICK_SECONDS = {10: 10, 100: 2}
# What the previous edition's sweep handed over: 100 for each of 16 shards, every 5 minutes.
_PREVIOUS_PER_MINUTE = 16 * 100 / 5
_SCENARIOS = {
    "due": "all overdue at once: Recheck could not be invoked for two hours",
    "waiting": "waiting for their next attempt: ProcessPaidOrder was down for two hours",
}

Burst = tuple[int, int]


def bursts(*, quick: bool) -> list[Burst]:
    """The rates that are simulated, each with its seconds."""
    return list((_QUICK_SECONDS if quick else _SECONDS).items())


def begun(*words: object) -> "subprocess.Popen[str]":
    """Start a simulation; its time is virtual, so it may run beside others."""
    line = [sys.executable, "-m", "bench.storm", *map(str, words)]
    return begin(line, environment(LATENCY_MS, "http://127.0.0.1:1"))


def section(
    storms: dict[Burst, str], backlogs: dict[str, str], counts: Counts, billed_ms: float, swept: dict[str, float]
) -> Section:
    """Show what was found: what each simulation printed."""
    section = Section("6. Past one machine")
    section.say(
        "**On paper.** What each steady rate needs of each quota (`bench/quotas.toml`, with sources and dates), and "
        f"in bold what it exceeds. Concurrency counts these functions, {billed_ms:.0f} ms a notification at "
        f"{LATENCY_MS} ms, and ProcessPaidOrder itself, which holds a place of the same quota while it runs."
    )
    needs = {rate: _needs(rate, counts, billed_ms) for rate in RATES}
    _on_paper(section, needs)
    section.say(
        "What is seen then is delay. Lambda keeps an asynchronous event that finds no place for up to 6 hours and "
        "tries it again. What a throttled table does not save is tried again after one and two minutes, then every "
        "12 minutes from the retry queue. What is saved waits in its record, and the sweep hands it over. Nothing of "
        "it is lost."
    )
    _bursts(section, {burst: json.loads(text) for burst, text in storms.items()})
    _backlogs(section, {name: json.loads(text) for name, text in backlogs.items()}, swept["cpu_ms"])
    return section


def _on_paper(section: Section, needs: dict[int, dict[str, float]]) -> None:
    quotas = read("quotas")
    cells = {n: [_cell(needs[rate][n], q["limit"]) for rate in RATES] for n, q in quotas.items()}
    rows = [(_title(n), f"{q['limit']:,}", *cells[n], q["raise"]) for n, q in quotas.items()]
    section.table(("", "quota", *(f"{rate:,}/s" for rate in RATES), "to raise it"), rows)
    about = [f"{_title(n)}: {q['per']} ([source]({q['source']}), read {q['read']})" for n, q in quotas.items()]
    section.say(f"Each quota: {'; '.join(about)}.")
    capacity = {name: limit / needs[1_000][name] * 1000 for name, limit in limits().items()}
    (first, rate), *others = sorted(capacity.items(), key=lambda pair: pair[1])
    then = ", ".join(f"{_title(name)} at {rate:,.0f}" for name, rate in others)
    section.say(f"The first that binds is **{_title(first)}**, at {rate:,.0f} notifications a second; then {then}.")
    shares = {_title(n): (list(RATES), [needs[r][n] / quotas[n]["limit"] for r in RATES]) for n in quotas}
    axes = {"xlabel": "notifications a second", "ylabel": "share of the quota"}
    lines("quotas.svg", shares, xscale="log", yscale="log", **axes)
    section.plot("quotas.svg", "Share of each quota against the rate")


def _bursts(section: Section, found: dict[Burst, Any]) -> None:
    section.say(
        "**Bursts, by simulation.** The real handlers in virtual time, over the stand-ins, with these quotas turned "
        f"on (CreateSchedule at {limits()['create_schedule']:,}/s; each call taken to last 5 ms), and Lambda's "
        "queues as the tests model them: a burst, then two hours in which nobody does anything. Seconds are from "
        "Notify's event to the second pass."
    )
    columns = ("burst", "sent", "done", "median s", "99 % s", "last s", "through the retry queue", "lost", "throttled")
    section.table(columns, [_burst(burst, one) for burst, one in found.items()])
    sent, done, lost = (sum(one[name] for one in found.values()) for name in ("sent", "done", "lost"))
    section.aim(
        Target(
            "notifications lost in a burst beyond the quotas",
            "none: delayed, never lost",
            f"{lost} of {sent:,}, {done:,} done without a person, up to {max(found)[0]:,}/s",
            lost == 0 and done == sent,
            "A notification was accepted and is neither done nor kept: a fault, to be found before anything else.",
        )
    )


def _burst(burst: Burst, one: dict[str, Any]) -> tuple[str, ...]:
    (rate, seconds), times = burst, [f"{one[name]:,.0f}" for name in ("p50", "p99", "p100")]
    ends = (f"{one['held']:,}", f"**{one['lost']}**", _throttled(one))
    return f"{rate:,}/s for {seconds} s", f"{one['sent']:,}", f"{one['done']:,}", *times, *ends


def backlog(*, quick: bool) -> dict[str, int]:
    """How many notifications there are in each scenario; those that wait differ in their time alone, so fewer do."""
    return {"due": 2_000, "waiting": 2_000} if quick else {"due": 100_000, "waiting": 10_000}


def _backlogs(section: Section, found: dict[str, Any], cpu_ms: float) -> None:
    count = found["due"]["by_minute"][-1]
    section.say(
        f"**A backlog, by simulation.** {count:,} notifications are overdue when an outage ends, while 10 a second "
        f"arrive. The sweep has one core, on which each overdue notification takes the {cpu_ms:.1f} ms of CPU that "
        "were measured here in the same run (section 5); everything else is as above, and the index `due` has the "
        "four partitions of a new one. The previous edition's sweep handed over at most 1,600 in 5 minutes: "
        f"{_previous(count):.1f} hours for as many."
    )
    columns = ("", "half done, min", "all done, min", "fresh ones: first pass after at most, s", "... second pass, s")
    section.table((*columns, "throttled"), [_backlog(_SCENARIOS[name], one) for name, one in found.items()])
    shares = {name: [done / one["by_minute"][-1] for done in one["by_minute"]] for name, one in found.items()}
    drawn = {_SCENARIOS[name]: (range(1, len(share) + 1), share) for name, share in shares.items()}
    lines("backlog.svg", drawn, xlabel="minutes after the outage", ylabel="share that is done")
    section.plot("backlog.svg", "Which share of the backlog is done, by the minute")
    for name, most in (("due", 10), ("waiting", 15)):
        one, count = found[name], found[name]["by_minute"][-1]
        section.aim(
            Target(
                f"{count:,} {_SCENARIOS[name]}",
                f"done in {most} minutes, while fresh ones are not held up",
                f"{one['all'] / 60:.1f} minutes ({_previous(count):.1f} hours before); a fresh one's second pass in "
                f"{one['last']:.0f} s, without a backlog {found['due']['usual']:.0f} s",
                one["all"] <= most * 60 and one["last"] <= 180,
                "The table of section 6 shows which quota it met, and section 5 what the sweep takes.",
            )
        )


def _previous(count: int) -> float:
    return count / _PREVIOUS_PER_MINUTE / 60


def _backlog(title: str, one: dict[str, Any]) -> tuple[str, ...]:
    minutes = [f"{one[name] / 60:.1f}" for name in ("half", "all")]
    return title, *minutes, f"{one['first']:.1f}", f"{one['last']:.0f}", _throttled(one)


def _throttled(one: dict[str, Any]) -> str:
    totals: dict[str, int] = {}
    for name, count in one["throttles"].items():
        totals[_title(name)] = totals.get(_title(name), 0) + count
    return ", ".join(f"{name} {count:,}" for name, count in totals.items()) or "none"


def _needs(rate: int, counts: Counts, billed_ms: float) -> dict[str, float]:
    busy = rate * (billed_ms + 2 * LATENCY_MS) / 1000
    # Fresh notifications of proved payments are in 4 of the index's shards.
    return {
        "lambda_concurrency": busy,
        "lambda_scaling": busy / 2 / 2,
        "create_schedule": rate,
        "scheduler_invocations": rate,
        "table_writes": rate * (counts.writes - 1),
        "partition_writes": rate * counts.due_writes / 4,
    }


def _title(name: str) -> str:
    return name.replace("_", " ").replace("lambda", "Lambda").replace("create schedule", "CreateSchedule")


def _cell(need: float, limit: int) -> str:
    return f"**{need:,.0f}**" if need > limit else f"{need:,.0f}"
