"""Item 7: what a million notifications cost, from one file of prices, and item 4: the memory size that costs least."""

from dataclasses import dataclass

from bench.billed import LATENCIES, Billed
from bench.cold import OURS, Start
from bench.counted import Counts
from bench.page import Section, Target
from bench.plots import lines
from bench.quotas import CALL_SECONDS, price, read
from bench.subject import TITLES, spread
from bench.template import alarms, memory_sizes
from bench.warm import Warm

# What Lambda itself writes of each invocation: START, END and REPORT. AWS's own lines, about so long.
_OWN_LINES = 320
# CPU of a size: a whole core at 1,769 MB, says AWS (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
_WHOLE_CORE_MB = 1769


# A month of the sweep: every 5 minutes, and what one reads that finds nothing (tests/ceilings.toml counts its calls).
_SWEEPS, _SWEEP_CALLS, _SWEEP_READS = 30 * 24 * 12, 17, 9
# Saved, RecheckLateness, OldestOverdue, Failed, MailsHeld; Checksums by 4 statuses; Passes by 2 numbers and 2 outcomes.
_METRICS = 5 + 4 + 4


@dataclass(frozen=True)
class Bill:
    """Dollars of one notification, by what they are for."""

    compute: float
    requests: float
    waiting: float
    tables: float
    logs: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.requests + self.waiting + self.tables + self.logs


def bill(subject: str, billed: Billed, counts: Counts, log_bytes: float, memory: int) -> Bill:
    """Price one notification of a subject."""
    invocations = billed.invocations
    log = log_bytes + invocations * _OWN_LINES
    return Bill(
        compute=billed.median / 1000 * memory / 1024 * price("lambda_gb_second", "arm64"),
        requests=invocations * price("lambda_request"),
        waiting=_waiting(subject),
        tables=(counts.writes + counts.index_writes) * price("dynamodb_write_unit")
        + counts.reads * price("dynamodb_read_unit"),
        logs=log / 1024**3 * price("log_gb"),
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


def section(bills: dict[tuple[str, int], Bill]) -> Section:
    """Tell what was found."""
    told = Section("7. Money")
    told.say(
        "Dollars for a million notifications (us-east-1, arm64, after free tiers, without storage and the secret's "
        "reads, which are the same for all), from `bench/prices.toml`. Everyone writes to the template's tables with "
        "their indexes; the alternatives are as bare as the floor, so they print nothing and count no failures."
    )
    subjects = list(dict.fromkeys(name for name, _ in bills))
    titles = TITLES | {"step_functions": "Step Functions Standard, bare"}
    for latency in LATENCIES:
        told.say(f"ProcessPaidOrder at {latency} ms:")
        rows = [(titles[s], *_row(bills[s, latency], bills["sleeping", latency])) for s in subjects]
        told.table(("", "compute", "requests", "waiting", "tables", "logs", "**all**", "the sleep costs"), rows)
    monthly = [
        (titles[s], *(f"{bills[s, 300].total * number:,.2f}" for number in (10_000, 1_000_000, 100_000_000)))
        for s in subjects
    ]
    told.say("Dollars a month at 300 ms:")
    told.table(("", "10 thousand", "1 million", "100 million"), monthly)
    _fixed(told)
    prices = [(f"`{n}`", p.get("price", p.get("arm64")), p["source"], p["read"]) for n, p in read("prices").items()]
    told.table(("price", "dollars", "source", "read"), prices)
    _target(told, bills)
    return told


def _fixed(told: Section) -> None:
    size, watched = memory_sizes()[1], alarms()
    compute = _SWEEP_CALLS * CALL_SECONDS * size / 1024 * price("lambda_gb_second", "arm64")
    run = price("lambda_request") + _SWEEP_READS * price("dynamodb_read_unit") + compute
    parts = {
        f"{watched} alarms": watched * price("cloudwatch_alarm"),
        f"{_METRICS} metrics of ours": _METRICS * price("cloudwatch_metric"),
        f"{_SWEEPS:,} sweeps that find nothing": _SWEEPS * run,
    }
    told.say("Beside that, whatever comes, dollars a month of this project (the dashboard is one of three free ones):")
    told.table(("", "dollars"), [*((n, f"{d:.2f}") for n, d in parts.items()), ("all", f"{sum(parts.values()):.2f}")])
    told.say(
        "For few notifications it is most of the bill: knowing that none is lost costs more than following them up."
    )


def _row(one: Bill, sleeping: Bill) -> tuple[str, ...]:
    parts = (one.compute, one.requests, one.waiting, one.tables, one.logs, one.total)
    return *(f"{part * 1e6:,.2f}" for part in parts), f"{sleeping.total / one.total:.1f} times"


def _target(told: Section, bills: dict[tuple[str, int], Bill]) -> None:
    ours, sleeping = bills["ours", 300], bills["sleeping", 300]
    ratio, allowed = sleeping.total / ours.total, sleeping.total / 25
    told.aim(
        Target(
            "everything billed at 300 ms against the sleep",
            "at least 25 times cheaper",
            f"{ratio:.1f} times (${ours.total * 1e6:.2f} against ${sleeping.total * 1e6:.2f} a million)",
            ratio >= 25,
            f"It would have to be ${allowed * 1e6:.2f} a million. Even the floor, which does nothing but the calls, is "
            f"only {sleeping.total / bills['floor', 300].total:.1f} times cheaper, and this project would be "
            f"{sleeping.total / (ours.total - ours.tables):.1f} times cheaper if its tables were free. They are "
            f"${ours.tables * 1e6:.2f}: "
            "durability is four writes of the record (save, pass 1, claim, pass 2) and one of the payment record, "
            "and a record of more than a kilobyte, since it holds the raw body, takes two units each time; four "
            "indexes are written as it moves. The compute, which the sleep was about, is "
            f"{sleeping.compute / ours.compute:.0f} times cheaper. To get there: the body in an item of its own that "
            "is written once, the claim of pass 2 without a write of its own, and the operators' indexes "
            "`notification` and `ended` given up; each takes something from who looks for a lost order.",
        )
    )


def memory_section(starts: dict[str, list[Start]], warm: Warm, billed: dict[int, Billed]) -> Section:
    """Item 4: peak memory, and the cost of each size."""
    told = Section("4. Memory")
    rows = [
        (name, f"{spread([s.peak_mb for s in each])[0]:.0f}", f"{max(s.later_peak_mb for s in each):.0f}")
        for name, each in starts.items()
    ]
    told.say("The most that each function's process had resident, in the emulator (Linux's VmHWM):")
    told.table(("", "MB after the first invocation", "most, after up to 20"), rows)
    told.say(
        "What a size costs: CPU is shared out by size (a whole core at 1,769 MB), so that a smaller function "
        "computes longer and is billed longer, while waiting for ProcessPaidOrder costs by size alone. From the CPU "
        "time of item 3 and the billed time of item 1; a model, with this machine's core for Lambda's."
    )
    sizes, chosen = memory_sizes()
    costs = {t: [_cost(size, warm.cpu_ms, billed[t].median) for size in sizes] for t in LATENCIES}
    head = ("MB", *(f"$ a million, {t} ms" for t in LATENCIES), "ms billed at 300 ms", "first answer, cold, ms")
    at_300 = [_billed_ms(size, warm.cpu_ms, billed[300].median) for size in sizes]
    first = [_first(size, starts) for size in sizes]
    dollars = [[f"{costs[t][n] * 1e6:.2f}" for t in LATENCIES] for n in range(len(sizes))]
    told.table(head, [(size, *dollars[n], f"{at_300[n]:,.0f}", f"{first[n]:,.0f}") for n, size in enumerate(sizes)])
    drawn = {f"{t} ms": (sizes, [cost * 1e6 for cost in costs[t]]) for t in LATENCIES}
    lines("memory.svg", drawn, xlabel="MB", ylabel="$ of compute, a million notifications")
    told.plot("memory.svg", "Cost against memory size")
    told.say(_choice(sizes, chosen, starts, costs[300]))
    return told


def _choice(sizes: list[int], chosen: int, starts: dict[str, list[Start]], costs: list[float]) -> str:
    peak = max(s.later_peak_mb for name, each in starts.items() if "built" in name for s in each)
    cheapest = sizes[costs.index(min(costs))]
    more = (costs[sizes.index(chosen)] - min(costs)) * 1e6
    return (
        f"The template has {chosen} MB: {chosen / peak:.1f} times the peak of {peak:.0f} MB. At 300 ms the cheapest "
        f"is {cheapest} MB, {cheapest / peak:.1f} times the peak; {chosen} MB cost ${more:.2f} a million more, and "
        f"the first answer of a cold start takes {_first(chosen, starts) / 1000:.1f} s of its share of a core instead "
        f"of {_first(cheapest, starts) / 1000:.1f} s. That, and room for a body of 256 kB with its traceback, is "
        "worth it beside what the tables cost (section 7); `MemorySize` is a parameter for who sees it otherwise."
    )


def _billed_ms(size: int, cpu_ms: float, billed_ms: float) -> float:
    return billed_ms - cpu_ms + cpu_ms * max(1, _WHOLE_CORE_MB / size)


def _cost(size: int, cpu_ms: float, billed_ms: float) -> float:
    return _billed_ms(size, cpu_ms, billed_ms) / 1000 * size / 1024 * price("lambda_gb_second", "arm64")


def _first(size: int, starts: dict[str, list[Start]]) -> float:
    return spread([s.cpu_ms for s in starts[OURS]])[0] * max(1, _WHOLE_CORE_MB / size)
