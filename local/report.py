"""What a run found: the passes, the compute, and whether each promise held."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from callback.report import MAILS_AN_HOUR
from local.emulator import ACCOUNT
from local.run import Progress, began_at, ended_at
from local.stack import CALLS, Options, Stack

_REPORT = re.compile(r"REPORT RequestId: \S+\s+Duration: ([\d.]+) ms.*?Memory Size: (\d+) MB", re.DOTALL)
# Proved and unproved payments have a limit each, per hour; a run may see two hours.
_MOST_MAILS = MAILS_AN_HOUR["retried"] * 2 * 2


@dataclass(frozen=True)
class Invocation:
    """One invocation, as its log reports it, with the lines that the function wrote."""

    function: str
    began: datetime
    ended: datetime
    milliseconds: float
    memory_mb: int
    lines: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what was found."""

    what: str
    found: object
    holds: bool


def show(console: Console, stack: Stack, rows: list[Progress], options: Options) -> bool:
    """Print the report of a run, and return whether everything held."""
    ran = list(_invocations(stack))
    checks = passes_checks(stack, rows, options) + _log_checks(rows, ran) + _error_checks(stack, rows)
    if options.outage:
        healed = [row.finished for row in rows if row.failed_tries]
        checks.append(_check_all("notifications that failed in the outage and healed", healed))
        retried = sum(one.function == "Retry" for one in ran)
        checks.append(Check("messages that RetryFunction took from the retry queue", retried, retried == 1))
    _print_passes(console, rows)
    _print_compute(console, rows, [one for one in ran if one.function in {"DelayedNotify", "Recheck"}])
    print_checks(console, checks)
    return all(check.holds for check in checks)


def _invocations(stack: Stack) -> Iterator[Invocation]:
    paginator, lines = stack.client("logs").get_paginator("filter_log_events"), list[dict[str, Any]]()
    for function in ("DelayedNotify", "Recheck", "Sweep", "Retry"):
        pages = paginator.paginate(logGroupName=stack.outputs[f"{function}LogGroup"])
        # A stream belongs to one process, which runs one invocation after the other.
        for event in sorted((event for page in pages for event in page["events"]), key=itemgetter("logStreamName")):
            lines += [json.loads(text) for text in event["message"].splitlines() if text.startswith("{")]
            if report := _REPORT.search(event["message"]):
                ended, took = datetime.fromtimestamp(event["timestamp"] / 1000, UTC), float(report[1])
                began = ended - timedelta(milliseconds=took)
                yield Invocation(function, began, ended, took, int(report[2]), tuple(lines))
                lines = []


def passes_checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return what every run promises, in containers too."""
    least = min((row.seconds_between for row in rows if row.seconds_between and not row.changed), default=0.0)
    schedules = stack.client("scheduler").list_schedules(GroupName=stack.outputs["ScheduleGroup"])["Schedules"]
    messages = sum(stack.messages().values())
    # ProcessPaidOrder's own notes: the functions under test do not write them.
    calls = sum(int(item.get("completed", 0)) for item in stack.table(CALLS).scan()["Items"])
    return [
        _check_all("records that are DONE", [row.item.get("state") == "DONE" for row in rows]),
        _check_all("notifications with exactly 2 passes", [len(row.passes) == 2 for row in rows]),  # noqa: PLR2004
        Check("... as ProcessPaidOrder counted its calls", calls, calls == 2 * len(rows)),
        Check(f"least time between the passes, at least {options.delay} s", f"{least:.1f} s", least >= options.delay),
        Check("schedules left", len(schedules), not schedules),
        Check("messages left in the queues", messages, not messages),
    ]


def _log_checks(rows: list[Progress], ran: list[Invocation]) -> list[Check]:
    waiting, sweeps = sum(while_waiting(row, ran) for row in rows), sum(one.function == "Sweep" for one in ran)
    failed = sum(row.failed_tries for row in rows)
    right = {"Saved": len(rows), "PassesCompleted": 2 * len(rows), "PassesFailed": failed}
    metrics = {name: sum(line.get(name, 0) for one in ran for line in one.lines) for name in right}
    return [
        Check("function time while waiting", f"{waiting:.0f} ms", waiting == 0 and bool(ran)),
        _check_all("invocations with exactly one log line", [len(one.lines) == 1 for one in ran]),
        Check("metrics in them", ", ".join(f"{name} {count}" for name, count in metrics.items()), metrics == right),
        Check("sweeps that the template's rule started", sweeps, sweeps > 0),
    ]


def while_waiting(row: Progress, ran: list[Invocation]) -> float:
    """Return for how many milliseconds anything ran for this notification in the second half of its wait."""
    if row.schedule_at is None or not row.passes:
        return 0
    # In the first half DelayedNotify still creates the timer and answers.
    half = ended_at(row.passes[0]) + (row.schedule_at - ended_at(row.passes[0])) / 2
    own = row.key["notificationId"]
    mine = [one for one in ran if any(line.get("notificationId") == own for line in one.lines)]
    overlaps = [min(one.ended, row.schedule_at) - max(one.began, half) for one in mine]
    return sum(max(overlap.total_seconds(), 0) * 1000 for overlap in overlaps)


def _error_checks(stack: Stack, rows: list[Progress]) -> list[Check]:
    failed = sum(bool(row.failed_tries) or row.was_unsaved for row in rows)
    logged = [r for r in stack.table(stack.outputs["CallbackErrorLogTable"]).scan()["Items"] if "errorType" in r]
    mails = len(stack.emulator.ask(f"ses/messages?account={ACCOUNT}")["messages"].get(ACCOUNT, []))
    as_logged = mails == sum("mailedAt" in row for row in logged) and bool(mails) == bool(logged)
    return [
        Check(f"errors logged, a row for each of {failed} that failed", len(logged), len(logged) == failed),
        Check(f"error mails, at most {_MOST_MAILS}", mails, as_logged and mails <= _MOST_MAILS),
    ]


def _check_all(what: str, each: list[bool]) -> Check:
    return Check(what, f"{sum(each)} of {len(each)}", bool(each) and all(each))


def _print_passes(console: Console, rows: list[Progress]) -> None:
    names = ("notification", "checksum", "state", "first", "second", "between", "failed")
    columns = (Column(name, no_wrap=True) for name in names)
    table = Table(*columns, title="Passes: when the first ended, and the second began", box=box.SIMPLE)
    for row in rows:
        known = [str(row.item.get(name, "-")) for name in ("checksumStatus", "state")]
        times = [f"{time:%H:%M:%S}" for time in [*map(ended_at, row.passes[:1]), *map(began_at, row.passes[1:2])]]
        between = f"{row.seconds_between:.1f} s" if row.seconds_between else "-"
        table.add_row(row.sample.name, *known, *[*times, "-", "-"][:2], between, str(row.failed_tries or ""))
    console.print(table)


def _print_compute(console: Console, rows: list[Progress], ran: list[Invocation]) -> None:
    billed = sum(one.milliseconds / 1000 * one.memory_mb / 1024 for one in ran)
    slept = sum(row.seconds_between or 0 for row in rows)
    sleeping = billed + slept * max((one.memory_mb for one in ran), default=0) / 1024
    text = f"Compute billed: {billed:.3f} GB-s in {len(ran)} invocations; sleeping between the passes: {sleeping:.3f}"
    console.print(f"{text}, {sleeping / billed:.0f} times as much" if billed else text, soft_wrap=True)


def print_checks(console: Console, found: list[Check]) -> None:
    """Print each check with its mark."""
    table = Table("", "check", "found", title="What must hold", box=box.SIMPLE)
    for check in found:
        table.add_row("[green]✓[/]" if check.holds else "[red]✗[/]", check.what, str(check.found))
    console.print(table)
