"""The figures of page.md, section by section: what was measured, and what follows from it. Each draws its plots."""

import math
from statistics import median
from typing import Any

from artefact.size import describe
from bench import cold, page
from bench.facts import price, read, template
from bench.page import table
from bench.run import LATENCIES, TITLES, Run, spread

Figures = dict[str, Any]
_LATENCY_S = 0.3
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
# What an alternative would be billed of the tables: the function with the sleep and the durable one write the payment
# record, the record and its entry in the index `order`, and read the order. Others need this project's writes but one,
# since a record without what only checks and logs need is saved in one unit.
_FEW_WRITES, _FEW_READS = 3, 1
# The lines that the description of the function with the sleep prints.
_SLEEPING_LOG_BYTES = 271
_QUEUE = "SQS DelaySeconds, bare"


def billed(run: Run) -> Figures:
    """Section 1."""
    found = run.billed
    page.bars("billed.svg", {TITLES[s]: found[s][300].median for s in TITLES}, "billed ms, ProcessPaidOrder at 300 ms")
    pairs = [(t, found["ours"][t].median, found["floor"][t].median) for t in LATENCIES]
    ratio = found["sleeping"][300].median / found["ours"][300].median
    return {
        "billed": found,
        "over_floor": ", ".join(f"{a - b:+.1f} ms ({a / b - 1:+.1%}) at {t} ms" for t, a, b in pairs),
        "over_floor_met": _verdict(all(a - b <= max(10, b / 10) for _, a, b in pairs)),
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
        "artefact": describe(cold.FOLDERS / "ours"),
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
    found, (ours, default) = run.warm, (run.counts[name] for name in ("ours", "default"))
    rows = [(f"`{name}`", count, default["calls"].get(name, 0)) for name, count in sorted(ours["calls"].items())]
    ratio = found["cpu_ms"] / found["calls_cpu_ms"]
    return {
        "warm": found,
        "calls": table(("", "this project", "this project by default"), rows),
        "ours": ours,
        "default": default,
        "calls_met": _verdict(default["cold_calls"] <= 7 and default["warm_calls"][1] <= 3),
        "log_met": _verdict(found["log_bytes"] <= 1500),
        "cpu_over": found["cpu_ms"] - found["calls_cpu_ms"],
        "cpu_ratio": ratio,
        "cpu_met": _verdict(ratio <= 1.3),
    }


def memory(run: Run) -> Figures:
    """Section 4."""
    peaks = {name: max(start.later_peak_mb for start in each) for name, each in run.starts.items()}
    rows = [(name, f"{median(s.peak_mb for s in e):.0f}", f"{peaks[name]:.0f}") for name, e in run.starts.items()]
    cpu_ms, first_ms = run.warm["cpu_ms"], median(start.cpu_ms for start in run.starts[cold.OURS])
    sizes: dict[int, list[float]] = {}
    for size in template()["memory_sizes"]:
        slower = max(1, _WHOLE_CORE_MB / size)
        ms = [run.billed["ours"][t].median + cpu_ms * (slower - 1) for t in LATENCIES]
        sizes[size] = [*(_compute(each, size) * 1e6 for each in ms), first_ms * slower / 1000]
    drawn = {f"{t} ms": (list(sizes), [each[n] for each in sizes.values()]) for n, t in enumerate(LATENCIES)}
    page.lines("memory.svg", drawn, xlabel="MB", ylabel="$ of compute, a million notifications")
    head = ("MB", *(f"$ a million, {t} ms" for t in LATENCIES), "first answer, cold, s")
    peak, chosen = max(peaks[name] for name in cold.FUNCTIONS), template()["memory_size"]
    return {
        "peaks": table(("", "MB after the first invocation", "most, after up to 20"), rows),
        "sizes": table(head, [(size, *(f"{figure:.2f}" for figure in each)) for size, each in sizes.items()]),
        "size": {"chosen": chosen, "peak": peak, "times": chosen / peak},
    }


def quotas(run: Run) -> Figures:
    """Section 6, on paper."""
    billed_s, counts = run.billed["ours"][300].median / 1000, run.counts["ours"]
    places = billed_s + 2 * _LATENCY_S
    needs = {
        "lambda_concurrency": places,
        "lambda_scaling": places / 2 / 2,
        "create_schedule": 1,
        "scheduler_invocations": 1,
        "table_writes": counts["writes"] - 1,  # one is the payment record's
        # Fresh notifications of proved payments are in 4 of the index's shards.
        "partition_writes": counts["due_writes"] / 4,
    }
    rows = [(needs[name], quota["limit"] / needs[name], name, quota) for name, quota in read("quotas").items()]
    rows.sort(key=lambda row: row[1])
    cells = [
        (
            _title(name),
            f"{quota['limit']:,} [{quota['per']}]({quota['source']})",
            f"{need:.2f}",
            f"{most:,.0f}",
            quota["raise"],
        )
        for need, most, name, quota in rows
    ]
    head = ("", "quota", "a notification needs", "notifications a second at most", "to raise it")
    return {"billed_ms": billed_s * 1000, "needs": table(head, cells)}


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
    bills = {latency: _bills(run, latency) for latency in LATENCIES}
    total = {title: sum(bill) for title, bill in bills[300].items()}
    monthly = [(title, *(f"{one * millions:,.2f}" for millions in (0.01, 1, 100))) for title, one in total.items()]
    prices = [(f"`{name}`", about["price"], about["source"], about["read"]) for name, about in read("prices").items()]
    ours, sleeping, floor, queue = (
        total[TITLES["ours"]],
        total[TITLES["sleeping"]],
        total[TITLES["floor"]],
        total[_QUEUE],
    )
    fixed = _fixed(run.sweep)
    return {
        "bills": "\n\n".join(f"ProcessPaidOrder at {t} ms:\n\n{_bill_table(each)}" for t, each in bills.items()),
        "monthly": table(("", "10 thousand", "1 million", "100 million"), monthly),
        "fixed": fixed,
        "break_even_thousands": 1000 * fixed["all"] / (sleeping - ours),
        "template": template(),
        "prices": table(("price", "dollars", "source", "read"), prices),
        "total": {"ours": ours, "sleeping": sleeping, "delay_queue": queue},
        "total_met": _verdict(ours <= 12.5),
        "queue_met": _verdict(ours < 13.44),
        "cost_ratio": sleeping / ours,
        "cost_met": _verdict(sleeping / ours >= 25),
        "floor_cost_ratio": sleeping / floor,
        "compute_ratio": bills[300][TITLES["sleeping"]][0] / bills[300][TITLES["ours"]][0],
        "tables_cost": bills[300][TITLES["ours"]][3],
    }


def _bills(run: Run, latency: int) -> dict[str, tuple[float, ...]]:
    """Return the dollars of a million notifications: compute, requests, waiting, tables and logs."""
    ms, counts = {name: each[latency].median for name, each in run.billed.items()}, run.counts["ours"]
    tables = _tables(counts["writes"] + counts["index_writes"], counts["reads"])
    few, bare = _tables(_FEW_WRITES, _FEW_READS), tables - _tables(1, 0)
    # The start, two steps and the wait; what they write is under a kilobyte.
    durable = 4 * price("durable_operation") + 1024 / 1024**3 * price("durable_gb_written")
    # Start, pass 1, the wait, pass 2 and the end, each a transition.
    steps, schedule, message = 5 * price("step_functions_transition"), price("schedule"), 3 * price("sqs_request")
    return {
        TITLES["sleeping"]: _bill(ms["sleeping"], 1, 0, few, _SLEEPING_LOG_BYTES),
        TITLES["durable"]: _bill(ms["durable"], 2, durable, few),
        _QUEUE: _bill(ms["floor"], 2, message, bare),
        TITLES["ours"]: _bill(ms["ours"], 2, schedule, tables, run.warm["log_bytes"]),
        TITLES["floor"]: _bill(ms["floor"], 2, schedule, bare),
        "Step Functions Standard, bare": _bill(ms["floor"], 2, steps, bare),
    }


def _tables(writes: float, reads: float) -> float:
    return writes * price("dynamodb_write_unit") + reads * price("dynamodb_read_unit")


def _bill(ms: float, invocations: int, waiting: float, tables: float, log_bytes: float = 0) -> tuple[float, ...]:
    compute, requests = _compute(ms, template()["memory_size"]), invocations * price("lambda_request")
    logs = (log_bytes + invocations * _OWN_LOG_BYTES) / 1024**3 * price("log_gb")
    return tuple(part * 1e6 for part in (compute, requests, waiting, tables, logs))


def _bill_table(bills: dict[str, tuple[float, ...]]) -> str:
    sleeping = sum(bills[TITLES["sleeping"]])
    rows = [
        (title, *(f"{part:,.2f}" for part in (*bill, sum(bill))), f"{sleeping / sum(bill):.1f} times")
        for title, bill in bills.items()
    ]
    return table(("", "compute", "requests", "waiting", "tables", "logs", "**all**", "the sleep costs"), rows)


def _fixed(sweep: dict[str, float]) -> dict[str, float]:
    """Return the dollars a month that are billed however few notifications there are."""
    logs = (sweep["log_bytes"] + _OWN_LOG_BYTES) / 1024**3 * price("log_gb")
    # 16 queries that find nothing, half a unit each.
    queries, compute = 8 * price("dynamodb_read_unit"), _compute(sweep["idle_ms"], _WHOLE_CORE_MB)
    parts = {
        "alarms": template()["alarms"] * price("cloudwatch_alarm"),
        "metrics": template()["metrics"] * price("cloudwatch_metric"),
        "sweeps": _SWEEPS * (price("lambda_request") + queries + compute + logs),
        "polls": _POLLS * price("sqs_request"),
    }
    return parts | {"all": sum(parts.values())}


def _compute(ms: float, megabytes: int) -> float:
    return ms / 1000 * megabytes / 1024 * price("lambda_gb_second")


def _throttled(one: Figures) -> str:
    return ", ".join(f"{_title(name)} {count:,}" for name, count in one["throttles"].items()) or "none"


def _title(name: str) -> str:
    return name.replace("_", " ").replace("lambda", "Lambda").replace("create schedule", "CreateSchedule")


def _verdict(met: object) -> str:
    return "met" if met else "**missed**"
