"""Item 7: what a million notifications cost, from one file of prices, and item 4: the memory size that costs least."""

from dataclasses import dataclass

from bench.billed import LATENCIES, Billed
from bench.cold import OURS, Start
from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.quotas import price, read
from bench.subject import TITLES, spread
from bench.template import alarms, memory_sizes, metrics
from bench.warm import Warm

# What Lambda itself writes of each invocation: START, END and REPORT. AWS's own lines, about so long.
_OWN_LINES = 320
# CPU of a size: a whole core at 1,769 MB, says AWS (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
_WHOLE_CORE_MB = 1769
_SWEEPS = 30 * 24 * 60
# With a maximum concurrency Lambda polls an idle queue by five connections, each of which waits for up to 20 s (Lambda
# Developer Guide: "Configuring scaling behavior for SQS event source mappings").
_POLLS = 5 * 3 * _SWEEPS
# What the previous edition and the bare SQS alternative cost with its tables, ProcessPaidOrder at 300 ms.
_PREVIOUS, _PREVIOUS_SQS = 16.26, 13.44


@dataclass(frozen=True)
class Bill:
    """Dollars of one notification, by what they are for."""

    compute: float
    requests: float
    waiting: float
    tables: float
    logs: float

    @property
    def parts(self) -> tuple[float, ...]:
        """Its parts, in the order of the table's columns."""
        return self.compute, self.requests, self.waiting, self.tables, self.logs

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.parts)


def bill(subject: str, billed: Billed, counts: Counts, log_bytes: float, memory: int) -> Bill:
    """Price one notification of a subject."""
    invocations = billed.invocations
    return Bill(
        compute=billed.median / 1000 * memory / 1024 * price("lambda_gb_second", "arm64"),
        requests=invocations * price("lambda_request"),
        waiting=_waiting(subject),
        tables=(counts.writes + counts.index_writes) * price("dynamodb_write_unit")
        + counts.reads * price("dynamodb_read_unit"),
        logs=(log_bytes + invocations * _OWN_LINES) / 1024**3 * price("log_gb"),
    )


def _waiting(subject: str) -> float:
    return {
        "ours": price("schedule"),
        "floor": price("schedule"),
        "delay_queue": 3 * price("sqs_request"),
        # The start, two steps and the wait; what they write is under a kilobyte.
        "durable": 4 * price("durable_operation") + 1024 / 1024**3 * price("durable_gb_written"),
        # Start, pass 1, the wait, pass 2 and the end, each a transition; the rest as the floor.
        "step_functions": 5 * price("step_functions_transition"),
    }.get(subject, 0)


def section(bills: dict[tuple[str, int], Bill], counts: Counts, swept: dict[str, float]) -> Section:
    """Show what was found; `swept` is what a sweep takes."""
    section = Section("7. Money")
    section.say(
        "Dollars for a million notifications (us-east-1, arm64, after free tiers, without storage and the secret's "
        "reads, which are the same for all), from `bench/prices.toml`. All write to the template's tables with their "
        "indexes, and read the order; the alternatives are as bare as the floor: they print nothing, count no failures "
        "and try nothing again."
    )
    subjects = list(dict.fromkeys(name for name, _ in bills))
    titles = TITLES | {"step_functions": "Step Functions Standard, bare"}
    head = ("", "compute", "requests", "waiting", "tables", "logs", "**all**", "the sleep costs")
    for latency in LATENCIES:
        section.say(f"ProcessPaidOrder at {latency} ms:")
        section.table(head, [(titles[s], *_row(bills[s, latency], bills["sleeping", latency])) for s in subjects])
    section.say(
        f"The tables of this project: {counts.writes} write units of the records, {counts.index_writes} of the indexes "
        f"(`due` once in and once out, `order` once), {counts.reads:g} read units."
    )
    section.say("Dollars a month at 300 ms:")
    months = (10_000, 1_000_000, 100_000_000)
    monthly = [(titles[s], *(f"{bills[s, 300].total * number:,.2f}" for number in months)) for s in subjects]
    section.table(("", "10 thousand", "1 million", "100 million"), monthly)
    _fixed(section, swept)
    prices = [(f"`{n}`", p.get("price", p.get("arm64")), p["source"], p["read"]) for n, p in read("prices").items()]
    section.table(("price", "dollars", "source", "read"), prices)
    _targets(section, bills)
    return section


def _fixed(section: Section, swept: dict[str, float]) -> None:
    idle_ms, logged = swept["idle_ms"], swept["log_bytes"] + _OWN_LINES
    compute = idle_ms / 1000 * _WHOLE_CORE_MB / 1024 * price("lambda_gb_second", "arm64")
    # 16 queries that find nothing, half a unit each.
    run = price("lambda_request") + 8 * price("dynamodb_read_unit") + compute + logged / 1024**3 * price("log_gb")
    parts = {
        f"{alarms()} alarms": alarms() * price("cloudwatch_alarm"),
        f"{metrics()} metrics, if each is reported all month": metrics() * price("cloudwatch_metric"),
        f"{_SWEEPS:,} sweeps that find nothing, {idle_ms:.0f} ms at {_WHOLE_CORE_MB:,} MB": _SWEEPS * run,
        f"{_POLLS:,} polls of the empty retry queue": _POLLS * price("sqs_request"),
    }
    section.say(
        "Beside that, whatever comes, dollars a month of this project (the dashboard is one of three free ones):"
    )
    section.table(
        ("", "dollars"), [*((n, f"{d:.2f}") for n, d in parts.items()), ("all", f"{sum(parts.values()):.2f}")]
    )
    section.say("For few notifications that is most of the bill: it buys the knowledge that none is lost.")


def _row(one: Bill, sleeping: Bill) -> tuple[str, ...]:
    return *(f"{part * 1e6:,.2f}" for part in (*one.parts, one.total)), f"{sleeping.total / one.total:.1f} times"


def _targets(section: Section, bills: dict[tuple[str, int], Bill]) -> None:
    ours, sleeping, queue = (bills[name, 300] for name in ("ours", "sleeping", "delay_queue"))
    total = ours.total * 1e6
    section.aim(
        Target(
            "everything billed at 300 ms, a million notifications",
            f"at most $12.50 (previous edition: ${_PREVIOUS})",
            f"${total:.2f}",
            total <= 12.5,
            "The table of section 7 shows which part it is.",
        )
    )
    section.aim(
        Target(
            "... below the bare SQS alternative",
            f"below ${_PREVIOUS_SQS}, its price on the previous edition's tables",
            f"${total:.2f}; on today's tables that alternative costs ${queue.total * 1e6:.2f}",
            total < _PREVIOUS_SQS,
            "The table of section 7 shows which part it is.",
        )
    )
    ratio = sleeping.total / ours.total
    section.aim(
        Target(
            "everything billed at 300 ms against the sleep",
            "at least 25 times cheaper",
            f"{ratio:.1f} times (${total:.2f} against ${sleeping.total * 1e6:.2f} a million)",
            ratio >= 25,
            f"The tables are ${ours.tables * 1e6:.2f} of it: four writes of the record (save, pass 1, claim, pass "
            "2), each of two units, since a record with its body is larger than a kilobyte, one of the payment "
            "record, and three of indexes. Even the floor, which does nothing but the calls, is only "
            f"{sleeping.total / bills['floor', 300].total:.1f} times cheaper. The compute, which the sleep was "
            f"about, is {sleeping.compute / ours.compute:.0f} times cheaper.",
        )
    )


def memory_section(starts: dict[str, list[Start]], warm: Warm, billed: dict[int, Billed]) -> Section:
    """Item 4: peak memory, and the cost of each size."""
    section = Section("4. Memory")
    section.say("The most that each function's process had resident, in the emulator (Linux's VmHWM):")
    rows = [
        (name, f"{spread([s.peak_mb for s in each])[0]:.0f}", f"{max(s.later_peak_mb for s in each):.0f}")
        for name, each in starts.items()
    ]
    section.table(("", "MB after the first invocation", "most, after up to 20"), rows)
    section.say(
        "What a size costs: CPU is shared out by size (a whole core at 1,769 MB), so that a smaller function "
        "computes longer and is billed longer, while waiting for ProcessPaidOrder costs by size alone. From the CPU "
        "time of item 3 and the billed time of item 1; a model, with this machine's core for Lambda's."
    )
    sizes, chosen = memory_sizes()
    costs = {t: [_cost(size, warm.cpu_ms, billed[t].median) for size in sizes] for t in LATENCIES}
    head = ("MB", *(f"$ a million, {t} ms" for t in LATENCIES), "ms billed at 300 ms", "first answer, cold, ms")
    at_300 = [_billed_ms(size, warm.cpu_ms, billed[300].median) for size in sizes]
    dollars = [[f"{costs[t][n] * 1e6:.2f}" for t in LATENCIES] for n in range(len(sizes))]
    first = [_first(size, starts) for size in sizes]
    section.table(head, [(size, *dollars[n], f"{at_300[n]:,.0f}", f"{first[n]:,.0f}") for n, size in enumerate(sizes)])
    drawn = {f"{t} ms": (sizes, [cost * 1e6 for cost in costs[t]]) for t in LATENCIES}
    lines("memory.svg", drawn, xlabel="MB", ylabel="$ of compute, a million notifications")
    section.plot("memory.svg", "Cost against memory size")
    section.say(_choice(sizes, chosen, starts, costs[300]))
    return section


def _choice(sizes: list[int], chosen: int, starts: dict[str, list[Start]], costs: list[float]) -> str:
    peak = max(s.later_peak_mb for name in (OURS, "Recheck", "Sweep") for s in starts[name])
    cheapest = sizes[costs.index(min(costs))]
    more = (costs[sizes.index(chosen)] - min(costs)) * 1e6
    return (
        f"The template has {chosen} MB: {chosen / peak:.1f} times the peak of {peak:.0f} MB. At 300 ms the cheapest "
        f"is {cheapest} MB; {chosen} MB cost ${more:.2f} a million more, and the first answer of a cold start takes "
        f"{_first(chosen, starts) / 1000:.1f} s of its share of a core instead of "
        f"{_first(cheapest, starts) / 1000:.1f} s. That, and room for a large body with its traceback, is worth it; "
        "`MemorySize` is a parameter. The sweep has 1,769 MB, one whole core."
    )


def _billed_ms(size: int, cpu_ms: float, billed_ms: float) -> float:
    return billed_ms - cpu_ms + cpu_ms * max(1, _WHOLE_CORE_MB / size)


def _cost(size: int, cpu_ms: float, billed_ms: float) -> float:
    return _billed_ms(size, cpu_ms, billed_ms) / 1000 * size / 1024 * price("lambda_gb_second", "arm64")


def _first(size: int, starts: dict[str, list[Start]]) -> float:
    return spread([s.cpu_ms for s in starts[OURS]])[0] * max(1, _WHOLE_CORE_MB / size)
