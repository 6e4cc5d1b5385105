"""The tables of docs/benchmarks.md, section by section: what was measured, and what follows. Each draws its plots."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench import cold, page
from bench.facts import price, read, template
from bench.run import LATENCIES, TITLES, Run

Tables = dict[str, page.Rows]
# What Lambda itself writes for each invocation: START, END and REPORT. AWS's own lines are about this long.
_OWN_LOG_BYTES = 320
# CPU of a size: a whole core at 1,769 MB, says AWS (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
_WHOLE_CORE_MB = 1769
_SWEEPS = 30 * 24 * 60
# With a maximum concurrency Lambda polls an idle queue over five connections, each of which waits up to 20 s (Lambda
# Developer Guide: "Configuring scaling behavior for SQS event source mappings").
_POLLS = 5 * 3 * _SWEEPS
# What an alternative would be billed for the tables: the function with the sleep and the durable one write the payment
# record, the record and its entry in the index `order`, and read the order. Others need this project's writes less one:
# a record without what only checks and logs need is saved in one unit.
_FEW_WRITES, _FEW_READS = 3, 1
# The lines that the description of the function with the sleep prints.
_SLEEPING_LOG_BYTES = 271
_QUEUE = "SQS DelaySeconds, bare"
# How a plot names a backlog, and in how many minutes it is to be done.
_BACKLOGS = {"due": ("overdue at once", 10), "waiting": ("waiting to be tried again", 15)}


def billed(run: Run) -> Tables:
    """Section 1."""
    found = run.billed
    medians = {name: {t: median(ms) for t, ms in each.items()} for name, each in found.items()}
    with page.plot("billed.svg", xscale="log", xlabel="billed ms, ProcessPaidOrder at 300 ms") as axes:
        drawn = axes.barh(list(TITLES.values()), [medians[name][300] for name in TITLES])
        axes.bar_label(drawn, fmt="{:,.0f}", padding=2)
        axes.invert_yaxis()
    pairs = [(t, medians["ours"][t], medians["floor"][t]) for t in LATENCIES]
    over = ", ".join(f"{a - b:+.1f} ms ({a / b - 1:+.1%}) at {t} ms" for t, a, b in pairs)
    ratio = medians["sleeping"][300] / medians["ours"][300]
    return {
        "billed": [tuple(_spread(each[t], ",.1f") for t in LATENCIES) for each in found.values()],
        "targets": [
            _target(f"{ratio:.1f} times", ratio >= 60),
            _target(over, all(a - b <= max(10, b / 10) for _, a, b in pairs)),
        ],
    }


def cold_starts(run: Run) -> Tables:
    """Section 2."""
    found = run.starts
    with page.plot("cold.svg", xlabel="init, ms") as axes:
        inits = [each["init"] for each in found.values()]
        axes.boxplot(inits, orientation="horizontal", tick_labels=list(found), widths=0.5)
        axes.set_xlim(0)
        axes.invert_yaxis()
    ours, plain, compiled = (found[name] for name in (cold.OURS, cold.PLAIN, cold.COMPILED))
    # Compared start by start: both of a turn have the same load. A shallow clone has no previous edition.
    turns = {part: zip(ours[part], found.get(cold.PREVIOUS, {}).get(part, ()), strict=False) for part in ours}
    init, first, cpu = (median([a / b for a, b in turns[part]] or [math.nan]) for part in ("init", "first", "cpu"))
    shown = {name: list(each.values())[:4] for name, each in found.items()}
    return {
        "cold": [(name, *(_spread(values, ".0f") for values in each)) for name, each in shown.items()],
        "targets": [
            _target(f"init {init:.2f}, first invocation {first:.2f}, CPU {cpu:.2f} times", max(init, first) <= 1.02),
            _compared(ours["init"], plain["init"], 1),
            _compared(ours["init"], compiled["init"], 1.25),
        ],
    }


def _compared(ours: Sequence[float], other: Sequence[float], most: float) -> tuple[str, str]:
    one, two = median(ours), median(other)
    return _target(f"{one:.0f} ms against {two:.0f} ms ({one / two:.2f})", one / two <= most)


def _spread(values: Sequence[float], spec: str) -> str:
    """Return the median, and the range of the middle four fifths if there is one."""
    ordered, tenth = sorted(values), len(values) // 10
    low, high = ordered[tenth], ordered[-1 - tenth]
    return f"{median(values):{spec}}" + (f" ({low:{spec}} to {high:{spec}})" if low < high else "")


def warm(run: Run) -> Tables:
    """Section 3."""
    found, ours, default = run.warm, run.counts["ours"], run.counts["default"]
    ratio, (delivery, recheck) = found["cpu_ms"] / found["calls_cpu_ms"], default["warm_calls"]
    calls = f"{delivery} warm and {default['cold_calls']} cold, and {recheck}"
    allowed = f"with an allowed origin {ours['warm_calls'][0]} warm and {ours['cold_calls']} cold"
    return {
        "warm": [(f"{found['cpu_ms']:.2f}",), (f"{found['calls_cpu_ms']:.2f}",), (f"{found['log_bytes']:,.0f}",)],
        "calls": [(f"`{name}`", n, default["calls"].get(name, 0)) for name, n in sorted(ours["calls"].items())],
        "targets": [
            _target(f"{calls}; {allowed}", default["cold_calls"] <= 7 and recheck <= 3),
            _target(f"{found['log_bytes']:,.0f}", found["log_bytes"] <= 1500),
            _target(f"{ratio:.2f} times", ratio <= 1.3),
        ],
    }


def memory(run: Run) -> Tables:
    """Section 4."""
    cpu_ms, first_ms, billed_ms = run.warm["cpu_ms"], median(run.starts[cold.OURS]["cpu"]), run.billed["ours"]
    sizes: dict[int, list[float]] = {}
    for size in template()["memory_sizes"]:
        slower = max(1, _WHOLE_CORE_MB / size)
        ms = [median(billed_ms[t]) + cpu_ms * (slower - 1) for t in LATENCIES]
        sizes[size] = [*(_compute(each, size) * 1e6 for each in ms), first_ms * slower / 1000]
    drawn = {f"{t} ms": (list(sizes), [each[n] for each in sizes.values()]) for n, t in enumerate(LATENCIES)}
    page.draw_lines("memory.svg", drawn, xlabel="MB", ylabel="$ of compute, a million notifications")
    peaks = [(name, median(each["peak"]), max(each["later peak"])) for name, each in run.starts.items()]
    return {
        "peaks": [(name, f"{first:.0f}", f"{most:.0f}") for name, first, most in peaks],
        "sizes": [(size, *(f"{figure:.2f}" for figure in each)) for size, each in sizes.items()],
    }


def quotas(run: Run) -> Tables:
    """Section 6, on paper."""
    counts, places = run.counts["ours"], median(run.billed["ours"][300]) / 1000 + 2 * 0.3
    needs = {
        "table writes": counts["writes"] - 1,  # one is the payment record's
        "Lambda concurrency": places,
        "CreateSchedule": 1,
        "Scheduler invocations": 1,
        # Fresh notifications of proved payments are in 4 of the index's shards.
        "partition writes": counts["due_writes"] / 4,
        "Lambda scaling": places / 2 / 2,
    }
    limits = read("quotas")
    return {"needs": [(f"{limits[n]:,}", f"{need:.2f}", f"{limits[n] / need:,.0f}") for n, need in needs.items()]}


def simulations(run: Run) -> Tables:
    """Sections 5 and 6: the sweep, bursts and backlogs."""
    bursts, backlogs = run.simulated["burst"], {kind: one for (kind, *_), one in run.simulated["backlog"].items()}
    done = {_BACKLOGS[kind][0]: one["by_minute"] for kind, one in backlogs.items()}
    drawn = {name: (range(1, len(each) + 1), [count / each[-1] for count in each]) for name, each in done.items()}
    page.draw_lines("backlog.svg", drawn, xlabel="minutes after the outage", ylabel="share that is done")
    sent, through, lost = (sum(one[name] for one in bursts.values()) for name in ("sent", "done", "lost"))
    found = f"{lost} of {sent:,}, {through:,} done without a person, up to {max(bursts)[0]:,}/s"
    idle_ms, cpu_ms, ours = run.sweep["idle_ms"], run.sweep["cpu_ms"], run.counts["ours"]
    return {
        "sweep": [(f"{idle_ms:.0f}",), (f"{cpu_ms:.1f}",), (ours["record_bytes"],), (ours["entry_bytes"],)],
        "bursts": [(f"{rate:,}/s for {seconds} s", *_burst(one)) for (rate, seconds), one in bursts.items()],
        "backlogs": [_backlog(one) for one in backlogs.values()],
        "targets": [
            _target(found, lost == 0 and through == sent),
            *(_in_time(one, _BACKLOGS[kind][1]) for kind, one in backlogs.items()),
        ],
    }


def _burst(one: Mapping[str, Any]) -> tuple[str, ...]:
    figures = (f"{one[name]:,.0f}" for name in ("sent", "done", "p50", "p99", "p100", "held"))
    return (*figures, f"**{one['lost']}**", _throttled(one))


def _backlog(one: Mapping[str, Any]) -> tuple[str, ...]:
    minutes = (f"{one[name]:.1f}" for name in ("half", "all"))
    return (f"{one['count']:,}", *minutes, f"{one['first']:.1f}", f"{one['last']:.0f}", _throttled(one))


def _in_time(one: Mapping[str, Any], minutes: int) -> tuple[str, str]:
    text = f"{one['all']:.1f} minutes; a fresh one's second pass in {one['last']:.0f} s"
    return _target(text, one["all"] <= minutes and one["last"] <= 180)


def _throttled(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in one["throttles"].items()) or "none"


def money(run: Run) -> Tables:
    """Section 7."""
    bills = {latency: _bills(run, latency) for latency in LATENCIES}
    ours, sleeping, queue = (sum(bills[300][title]) for title in (TITLES["ours"], TITLES["sleeping"], _QUEUE))
    fixed = _fixed(run.sweep)
    a_month = sum(dollars for _, dollars in fixed)
    pays = f"{1000 * a_month / (sleeping - ours):.0f} thousand"
    cheaper = f"{sleeping / ours:.1f} times (${ours:.2f} against ${sleeping:.2f} a million)"
    return {
        **{f"bills at {latency}": _bill_rows(each) for latency, each in bills.items()},
        "units": [(run.counts["ours"][name],) for name in ("writes", "index_writes", "reads")],
        "fixed": [*((f"{many:,}", f"{dollars:.2f}") for many, dollars in fixed), ("", f"{a_month:.2f}"), (pays, "")],
        "targets": [
            _target(f"${ours:.2f}", ours <= 12.5),
            _target(f"${ours:.2f}; on today's tables that alternative costs ${queue:.2f}", ours < 13.44),
            _target(cheaper, sleeping / ours >= 25),
        ],
    }


def _bills(run: Run, latency: int) -> dict[str, tuple[float, ...]]:
    """Return the dollars for a million notifications: compute, requests, waiting, tables and logs."""
    ms, counts = {name: median(each[latency]) for name, each in run.billed.items()}, run.counts["ours"]
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


def _bill_rows(bills: Mapping[str, tuple[float, ...]]) -> page.Rows:
    rows, sleeping = {title: (*bill, sum(bill)) for title, bill in bills.items()}, sum(bills[TITLES["sleeping"]])
    return [
        (title, *(f"{part:,.2f}" for part in row), f"{sleeping / row[-1]:.1f} times") for title, row in rows.items()
    ]


def _fixed(sweep: Mapping[str, float]) -> list[tuple[int, float]]:
    """Return how many alarms, metrics, idle sweeps and polls a month has, each with its dollars."""
    logs = (sweep["log_bytes"] + _OWN_LOG_BYTES) / 1024**3 * price("log_gb")
    # 16 queries that find nothing, half a unit each.
    queries, compute = 8 * price("dynamodb_read_unit"), _compute(sweep["idle_ms"], _WHOLE_CORE_MB)
    alarms, metrics = template()["alarms"], template()["metrics"]
    return [
        (alarms, alarms * price("cloudwatch_alarm")),
        (metrics, metrics * price("cloudwatch_metric")),
        (_SWEEPS, _SWEEPS * (price("lambda_request") + queries + compute + logs)),
        (_POLLS, _POLLS * price("sqs_request")),
    ]


def _compute(ms: float, megabytes: int) -> float:
    return ms / 1000 * megabytes / 1024 * price("lambda_gb_second")


def _target(found: str, met: object) -> tuple[str, str]:
    return found, "met" if met else "**missed**"


SECTIONS = {one.__name__: one for one in (billed, cold_starts, warm, memory, quotas, simulations, money)}
