"""The figures of page.md, section by section: what was measured, and what follows from it. Each draws its plots."""

import math
from collections import Counter
from statistics import median
from typing import Any

from artefact.size import describe
from bench import cold, page
from bench.facts import limits, price, read, template
from bench.page import table
from bench.run import LATENCIES, Run, spread
from bench.subjects import TITLES

Figures = dict[str, Any]
_LATENCY_S = 0.3
_RATES = (10, 100, 1_000, 5_000)
# The previous edition's sweep handed over 100 for each of 16 shards, every 5 minutes.
_PREVIOUS_PER_HOUR = 16 * 100 * 12
# The latest second pass of a quiet day: a timer fires within its minute, and each pass takes its time.
_USUAL_SECONDS = 60 + 1 + 1 + 60 + 2 * _LATENCY_S
# What Lambda itself writes of each invocation: START, END and REPORT. AWS's own lines, about so long.
_OWN_LOG_BYTES = 320
# CPU of a size: a whole core at 1,769 MB, says AWS (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
_WHOLE_CORE_MB = 1769
_SWEEPS = 30 * 24 * 60
# With a maximum concurrency Lambda polls an idle queue by five connections, each of which waits for up to 20 s (Lambda
# Developer Guide: "Configuring scaling behavior for SQS event source mappings").
_POLLS = 5 * 3 * _SWEEPS
_BILLED = {
    "sleeping": TITLES["sleeping"],
    "durable": TITLES["durable"],
    "delay_queue": "SQS DelaySeconds, bare",
    "ours": TITLES["ours"],
    "floor": TITLES["floor"],
    "step_functions": "Step Functions Standard, bare",
}


def billed(run: Run) -> Figures:
    """Section 1."""
    found = {subject: {t: run.billed[subject, t] for t in LATENCIES} for subject in TITLES}
    ours, floor = ([found[subject][t].median for t in LATENCIES] for subject in ("ours", "floor"))
    page.bars("billed.svg", {TITLES[s]: [one.median for one in found[s].values()] for s in TITLES}, LATENCIES)
    over = [f"{a - b:+.1f} ms ({a / b - 1:+.1%}) at {t} ms" for t, a, b in zip(LATENCIES, ours, floor, strict=True)]
    ratio = found["sleeping"][300].median / found["ours"][300].median
    return {
        "billed": found,
        "over_floor": ", ".join(over),
        "over_floor_met": _verdict(all(a - b <= max(10, b / 10) for a, b in zip(ours, floor, strict=True))),
        "sleep_ratio": ratio,
        "sleep_met": _verdict(ratio >= 60),
    }


def cold_starts(run: Run) -> Figures:
    """Section 2."""
    parts = ("init_ms", "first_ms", "whole_ms", "cpu_ms")
    found = {name: {part: [getattr(s, part) for s in each] for part in parts} for name, each in run.starts.items()}
    page.boxes("cold.svg", {name: each["init_ms"] for name, each in found.items()}, "init, ms")
    rows = [(name, *(f"{spread(values):.0f}" for values in each.values())) for name, each in found.items()]
    init, whole = (
        {key: median(found[name][part]) for key, name in cold.COMPARED.items()} for part in ("init_ms", "whole_ms")
    )
    for times in (init, whole):
        times |= {f"{name}_ratio": times["ours"] / times[name] for name in ("plain", "compiled")}
    previous = {name: _against_previous(run, f"{name}_ms") for name in ("init", "first", "cpu")}
    return {
        "starts_each": len(run.starts[cold.OURS]),
        "cold": table(("", "init ms", "first invocation ms", "together ms", "CPU ms until its answer"), rows),
        "artefact": describe(cold.ROOM / "ours"),
        "imports": ", ".join(f"`{name}` {ms:.1f} ms" for name, ms in cold.import_ms().most_common(8)),
        "init": init,
        "whole": whole,
        "previous": previous,
        "previous_met": _verdict(max(previous["init"], previous["first"]) <= 1.02),  # the machine's own noise
        "plain_met": _verdict(init["plain_ratio"] <= 1),
        "compiled_met": _verdict(init["compiled_ratio"] <= 1.25),
    }


def _against_previous(run: Run, part: str) -> float:
    # Start by start, since both of a turn meet the same load of the machine.
    pairs = zip(run.starts[cold.OURS], run.starts.get(cold.PREVIOUS, []), strict=False)
    ratios = [float(getattr(new, part) / getattr(old, part)) for new, old in pairs]
    return median(ratios or [math.nan])


def warm(run: Run) -> Figures:
    """Section 3."""
    counts, found = run.counts, run.warm
    instructions = {subject: _instructions(run, subject) for subject in ("floor", "ours")}
    calls = {TITLES[s]: counts[s]["calls"] for s in found} | {"this project by default": counts["default"]["calls"]}
    names = sorted({name for made in calls.values() for name in made})
    rows = [(f"`{name}`", *(made.get(name, 0) for made in calls.values())) for name in names]
    default, cpu = counts["default"], {subject: found[subject]["cpu_ms"] for subject in ("floor", "ours")}
    by_cpu, by_instructions = cpu["ours"] / cpu["floor"], instructions["ours"] / instructions["floor"]
    return {
        "warm": found,
        "instructions": instructions,
        "calls": table(("", *calls), rows),
        "ours": counts["ours"],
        "default": default,
        "calls_met": _verdict(default["cold_calls"] <= 7 and default["warm_calls"][1] <= 3),
        "log_met": _verdict(found["ours"]["log_bytes"] <= 1500),
        "cpu_over": cpu["ours"] - cpu["floor"],
        "cpu_ratio": by_cpu,
        "instructions_ratio": by_instructions,
        "cpu_met": _verdict((by_cpu if math.isnan(by_instructions) else by_instructions) <= 1.3),
    }


def _instructions(run: Run, subject: str) -> float:
    """Return the millions of instructions of a notification: a long run less a short one, so that no start is in it."""
    total = {count: later.result() for (of, count), later in run.instructions.items() if of == subject}
    return (total[24] - total[4]) / 20 / 1e6 if total else math.nan


def memory(run: Run) -> Figures:
    """Section 4."""
    sizes, chosen = template()["memory_sizes"], template()["memory_size"]
    peaks = {name: max(start.later_peak_mb for start in each) for name, each in run.starts.items()}
    rows = [(name, f"{median(s.peak_mb for s in e):.0f}", f"{peaks[name]:.0f}") for name, e in run.starts.items()]
    # A smaller function has a smaller share of a core.
    slower = [max(1, _WHOLE_CORE_MB / size) for size in sizes]
    extra = [run.warm["ours"]["cpu_ms"] * (times - 1) for times in slower]
    ms = {t: [run.billed["ours", t].median + more for more in extra] for t in LATENCIES}
    dollars = {t: [_compute(each, size) * 1e6 for each, size in zip(ms[t], sizes, strict=True)] for t in LATENCIES}
    first_s = [median(start.cpu_ms for start in run.starts[cold.OURS]) * times / 1000 for times in slower]
    columns = [*dollars.values(), ms[300], [seconds * 1000 for seconds in first_s]]
    formats = (".2f", ".2f", ".2f", ",.0f", ",.0f")
    cells = [[format(column[n], f) for column, f in zip(columns, formats, strict=True)] for n in range(len(sizes))]
    head = ("MB", *(f"$ a million, {t} ms" for t in LATENCIES), "ms billed at 300 ms", "first answer, cold, ms")
    axes = {"xlabel": "MB", "ylabel": "$ of compute, a million notifications"}
    page.lines("memory.svg", {f"{t} ms": (sizes, dollars[t]) for t in LATENCIES}, **axes)
    peak, here = max(peaks[name] for name in cold.FUNCTIONS), sizes.index(chosen)
    cheapest = dollars[300].index(min(dollars[300]))
    about = {"chosen": chosen, "peak": peak, "times": chosen / peak, "cheapest": sizes[cheapest]}
    about |= {"more": dollars[300][here] - dollars[300][cheapest]}
    return {
        "peaks": table(("", "MB after the first invocation", "most, after up to 20"), rows),
        "sizes": table(head, [(size, *row) for size, row in zip(sizes, cells, strict=True)]),
        "size": about | {"first_s": first_s[here], "cheapest_first_s": first_s[cheapest]},
    }


def quotas(run: Run) -> Figures:
    """Section 6, on paper."""
    published, counts = read("quotas"), run.counts["ours"]
    billed_ms = run.billed["ours", 300].median
    busy = billed_ms / 1000 + 2 * _LATENCY_S
    needs = {
        "lambda_concurrency": busy,
        "lambda_scaling": busy / 2 / 2,
        "create_schedule": 1,
        "scheduler_invocations": 1,
        "table_writes": counts["writes"] - 1,  # one is the payment record's
        # Fresh notifications of proved payments are in 4 of the index's shards.
        "partition_writes": counts["due_writes"] / 4,
    }
    cells = {n: [_cell(rate * need, limits()[n]) for rate in _RATES] for n, need in needs.items()}
    rows = [(_title(n), f"{q['limit']:,}", *cells[n], q["raise"]) for n, q in published.items()]
    about = [f"{_title(n)}: {q['per']} ([source]({q['source']}), read {q['read']})" for n, q in published.items()]
    capacity = Counter({name: -limit / needs[name] for name, limit in limits().items()}).most_common()
    shares = {_title(n): (_RATES, [rate * need / limits()[n] for rate in _RATES]) for n, need in needs.items()}
    axes = {"xlabel": "notifications a second", "ylabel": "share of the quota", "xscale": "log", "yscale": "log"}
    page.lines("quotas.svg", shares, **axes)
    return {
        "billed_ms": billed_ms,
        "needs": table(("", "quota", *(f"{rate:,}/s" for rate in _RATES), "to raise it"), rows),
        "quotas": "; ".join(about),
        "capacity": ", ".join(f"{_title(name)} {-rate:,.0f}" for name, rate in capacity),
    }


def bursts(run: Run) -> Figures:
    """Section 6, bursts."""
    found = {burst: later.result() for burst, later in run.bursts.items()}
    columns = ("burst", "sent", "done", "median s", "99 % s", "last s", "through the retry queue", "lost", "throttled")
    names = ("sent", "done", "p50", "p99", "p100", "held")
    rows = [
        (f"{rate:,}/s for {s} s", *(f"{one[n]:,.0f}" for n in names), f"**{one['lost']}**", _throttled(one))
        for (rate, s), one in found.items()
    ]
    sums = {f"burst_{name}": sum(one[name] for one in found.values()) for name in ("sent", "done", "lost")}
    met = sums["burst_lost"] == 0 and sums["burst_done"] == sums["burst_sent"]
    return sums | {"bursts": table(columns, rows), "burst_rate": max(found)[0], "burst_met": _verdict(met)}


def backlog(run: Run) -> Figures:
    """Sections 5 and 6, the sweep and backlogs."""
    found = {scenario: later.result() for scenario, later in run.backlogs.items()}
    by_minute = {
        "overdue at once": found["due"]["by_minute"],
        "waiting to be tried again": found["waiting"]["by_minute"],
    }
    drawn = {name: (range(1, len(each) + 1), [done / each[-1] for done in each]) for name, each in by_minute.items()}
    page.lines("backlog.svg", drawn, xlabel="minutes after the outage", ylabel="share that is done")
    verdicts = {}
    for (name, one), most in zip(found.items(), (10, 15), strict=True):
        one |= {"throttled": _throttled(one), "previous_hours": one["count"] / _PREVIOUS_PER_HOUR}
        verdicts[f"{name}_met"] = _verdict(one["all"] <= most and one["last"] <= 180)
    return found | verdicts | {"usual_seconds": _USUAL_SECONDS, "sweep": run.sweep}


def money(run: Run) -> Figures:
    """Section 7."""
    bills = {latency: {subject: _bill(run, subject, latency) for subject in _BILLED} for latency in LATENCIES}
    total = {subject: sum(bill) for subject, bill in bills[300].items()}
    monthly = [(_BILLED[s], *(f"{one * millions:,.2f}" for millions in (0.01, 1, 100))) for s, one in total.items()]
    prices = [(f"`{name}`", about["price"], about["source"], about["read"]) for name, about in read("prices").items()]
    ours, sleeping = bills[300]["ours"], bills[300]["sleeping"]
    return {
        "bills": "\n\n".join(f"ProcessPaidOrder at {t} ms:\n\n{_bills(each)}" for t, each in bills.items()),
        "monthly": table(("", "10 thousand", "1 million", "100 million"), monthly),
        "fixed": table(("", "dollars"), _fixed(run.sweep)),
        "prices": table(("price", "dollars", "source", "read"), prices),
        "total": total,
        "total_met": _verdict(total["ours"] <= 12.5),
        "queue_met": _verdict(total["ours"] < 13.44),
        "cost_ratio": total["sleeping"] / total["ours"],
        "cost_met": _verdict(total["sleeping"] / total["ours"] >= 25),
        "floor_cost_ratio": total["sleeping"] / total["floor"],
        "compute_ratio": sleeping[0] / ours[0],
        "tables_cost": ours[3],
    }


def _bill(run: Run, subject: str, latency: int) -> tuple[float, ...]:
    """Return the dollars of a million: compute, requests, waiting, tables and logs."""
    measured = subject if subject in TITLES else "floor"
    counts, invocations = run.counts[measured], 1 if subject == "sleeping" else 2
    log_bytes = run.warm[subject]["log_bytes"] if subject in ("ours", "sleeping") else 0
    writes = counts["writes"] + counts["index_writes"]
    dollars = (
        _compute(run.billed[measured, latency].median, template()["memory_size"]),
        invocations * price("lambda_request"),
        _waiting(subject),
        writes * price("dynamodb_write_unit") + counts["reads"] * price("dynamodb_read_unit"),
        (log_bytes + invocations * _OWN_LOG_BYTES) / 1024**3 * price("log_gb"),
    )
    return tuple(part * 1e6 for part in dollars)


def _waiting(subject: str) -> float:
    prices = {
        "sleeping": 0,
        # The start, two steps and the wait; what they write is under a kilobyte.
        "durable": 4 * price("durable_operation") + 1024 / 1024**3 * price("durable_gb_written"),
        "delay_queue": 3 * price("sqs_request"),
        # Start, pass 1, the wait, pass 2 and the end, each a transition.
        "step_functions": 5 * price("step_functions_transition"),
    }
    return prices.get(subject, price("schedule"))


def _bills(bills: dict[str, tuple[float, ...]]) -> str:
    sleeping = sum(bills["sleeping"])
    rows = [
        (_BILLED[s], *(f"{part:,.2f}" for part in (*bill, sum(bill))), f"{sleeping / sum(bill):.1f} times")
        for s, bill in bills.items()
    ]
    return table(("", "compute", "requests", "waiting", "tables", "logs", "**all**", "the sleep costs"), rows)


def _fixed(sweep: dict[str, float]) -> list[tuple[str, str]]:
    logs = (sweep["log_bytes"] + _OWN_LOG_BYTES) / 1024**3 * price("log_gb")
    compute = _compute(sweep["idle_ms"], _WHOLE_CORE_MB)
    # 16 queries that find nothing, half a unit each.
    one = price("lambda_request") + 8 * price("dynamodb_read_unit") + compute + logs
    sweeps = f"{_SWEEPS:,} sweeps that find nothing, {sweep['idle_ms']:.0f} ms at {_WHOLE_CORE_MB:,} MB"
    alarms, metrics = template()["alarms"], template()["metrics"]
    parts = {
        f"{alarms} alarms": alarms * price("cloudwatch_alarm"),
        f"{metrics} metrics, if each is reported all month": metrics * price("cloudwatch_metric"),
        sweeps: _SWEEPS * one,
        f"{_POLLS:,} polls of the empty retry queue": _POLLS * price("sqs_request"),
    }
    return [(name, f"{dollars:.2f}") for name, dollars in (parts | {"all": sum(parts.values())}).items()]


def _compute(ms: float, megabytes: int) -> float:
    return ms / 1000 * megabytes / 1024 * price("lambda_gb_second")


def _throttled(one: Figures) -> str:
    return ", ".join(f"{_title(name)} {count:,}" for name, count in one["throttles"].items()) or "none"


def _title(name: str) -> str:
    return name.replace("_", " ").replace("lambda", "Lambda").replace("create schedule", "CreateSchedule")


def _cell(need: float, limit: int) -> str:
    return f"**{need:,.0f}**" if need > limit else f"{need:,.0f}"


def _verdict(met: object) -> str:
    return "met" if met else "**missed**"
