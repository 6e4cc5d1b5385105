"""What the run has to show for itself: the closing table, the compute, and whether each promise held."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from callback.report import MAILS_AN_HOUR
from local.emulator import ACCOUNT
from local.progress import Progress
from local.stack import CALLS, Options, Stack

_REPORT = re.compile(r"REPORT RequestId: \S+\s+Duration: ([\d.]+) ms.*?Memory Size: (\d+) MB", re.DOTALL)
_FUNCTIONS = ("DelayedNotify", "Recheck", "Sweep", "Retry")


@dataclass(frozen=True)
class Invocation:
    """One invocation, as its log reports it, with the lines that the function wrote. Times in UTC, duration in ms."""

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
    found: str
    holds: bool


def invocations(stack: Stack) -> list[Invocation]:
    """Read what the functions logged: one entry per invocation."""
    logs, found = stack.client("logs"), list[Invocation]()
    for function in _FUNCTIONS:
        group = stack.outputs[f"{function}LogGroup"]
        for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group):
            for stream in page["logStreams"]:
                name = stream["logStreamName"]
                read = logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True, limit=10_000)
                found += _invocations(function, read["events"])
    return found


def _invocations(function: str, events: list[dict[str, Any]]) -> list[Invocation]:
    found, lines = [], list[dict[str, Any]]()
    for event in events:
        lines += [json.loads(text) for text in event["message"].splitlines() if text.startswith("{")]
        if report := _REPORT.search(event["message"]):
            ended, took = datetime.fromtimestamp(event["timestamp"] / 1000, UTC), float(report[1])
            began = ended - timedelta(milliseconds=took)
            found.append(Invocation(function, began, ended, took, int(report[2]), tuple(lines)))
            lines = []
    return found


def between(row: Progress) -> float | None:
    """Return the seconds from the end of pass 1 to the start of pass 2, None before that."""
    first, second, *_ = [*row.passes, None, None]
    return (_began(second) - _at(first)).total_seconds() if first and second else None


def _at(one: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(one["at"])


def _began(one: dict[str, Any]) -> datetime:
    return _at(one) - timedelta(milliseconds=int(one["durationMs"]))


def checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return everything the run promises, with what it found."""
    ran = invocations(stack)
    return [*passes_checks(stack, rows, options), *_log_checks(rows, ran), *_error_checks(stack, rows, options, ran)]


def passes_checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return what every run promises, in containers too."""
    least = min((gap for row in rows if (gap := between(row)) and not row.changed), default=0.0)
    schedules = stack.client("scheduler").list_schedules(GroupName=stack.outputs["ScheduleGroup"])["Schedules"]
    messages = sum(stack.messages().values())
    # Its notes are not written by what is watched.
    calls = sum(int(item.get("completed", 0)) for item in stack.table(CALLS).scan()["Items"])
    return [
        Check("records that are DONE", *all_of(row.item.get("state") == "DONE" for row in rows)),
        Check("notifications with exactly 2 passes", *all_of(len(row.passes) == 2 for row in rows)),  # noqa: PLR2004
        Check("... as ProcessPaidOrder counted its calls", str(calls), calls == 2 * len(rows)),
        Check(f"least time between the passes, at least {options.delay} s", f"{least:.1f} s", least >= options.delay),
        Check("schedules left", str(len(schedules)), not schedules),
        Check("messages left in the queues", str(messages), not messages),
    ]


def _log_checks(rows: list[Progress], ran: list[Invocation]) -> list[Check]:
    waiting, sweeps = sum(while_waiting(row, ran) for row in rows), sum(one.function == "Sweep" for one in ran)
    failed = sum(row.failed_tries for row in rows)
    right = {"Saved": len(rows), "PassesCompleted": 2 * len(rows), "PassesFailed": failed}
    metrics = {name: sum(line.get(name, 0) for one in ran for line in one.lines) for name in right}
    return [
        Check("function time while waiting", f"{waiting:.0f} ms", waiting == 0 and bool(ran)),
        Check("invocations with exactly one log line", *all_of(len(one.lines) == 1 for one in ran)),
        Check("metrics in them", ", ".join(f"{name} {count}" for name, count in metrics.items()), metrics == right),
        Check("sweeps that the template's rule started", str(sweeps), sweeps > 0),
    ]


def while_waiting(row: Progress, ran: list[Invocation]) -> float:
    """Milliseconds that anything ran for this notification in the second half of its wait.

    In the first half DelayedNotify still creates the timer and answers.
    """
    if row.schedule_at is None or not row.passes:
        return 0
    ended = _at(row.passes[0])
    half = ended + (row.schedule_at - ended) / 2
    own = row.key["notificationId"]
    mine = [i for i in ran if any(line.get("notificationId") == own for line in i.lines)]
    overlaps = [min(i.ended, row.schedule_at) - max(i.began, half) for i in mine]
    return sum(max(overlap.total_seconds(), 0) * 1000 for overlap in overlaps)


def _error_checks(stack: Stack, rows: list[Progress], options: Options, ran: list[Invocation]) -> list[Check]:
    failed = sum(bool(row.failed_tries) or row.was_unsaved for row in rows)
    logged = [r for r in stack.table(stack.outputs["CallbackErrorLogTable"]).scan()["Items"] if "errorType" in r]
    mails = len(stack.emulator.ask(f"ses/messages?account={ACCOUNT}")["messages"].get(ACCOUNT, []))
    mailed = sum("mailedAt" in row for row in logged)
    # Of proved and of unproved payments each, and in an hour; a run may see two.
    most = MAILS_AN_HOUR["retried"] * 2 * 2
    found = [
        Check(f"errors logged, a row for each of {failed} that failed", str(len(logged)), len(logged) == failed),
        Check(f"error mails, at most {most}", str(mails), mails == mailed <= most and bool(mails) == bool(logged)),
    ]
    if options.outage:
        healed, retried = (
            [row.finished for row in rows if row.failed_tries],
            Counter(one.function for one in ran)["Retry"],
        )
        found += [
            Check(
                "notifications that failed in the outage and healed", all_of(healed)[0], all(healed) and bool(healed)
            ),
            Check("messages that RetryFunction took from the retry queue", str(retried), retried == 1),
        ]
    return found


def all_of(holds: Iterable[bool]) -> tuple[str, bool]:
    """Say how many hold, and whether all do."""
    each = list(holds)
    return f"{sum(each)} of {len(each)}", all(each)


def print_passes(console: Console, rows: list[Progress]) -> None:
    """Print the passes of every notification and the seconds between them."""
    table = Table(title="Passes: when the first ended, and the second began", box=box.SIMPLE)
    for column in ("notification", "checksum", "state", "first", "second", "between", "failed"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        times = [f"{time:%H:%M:%S}" for time in [*map(_at, row.passes[:1]), *map(_began, row.passes[1:2])]]
        cells = [*[*times, "-", "-"][:2], f"{gap:.1f} s" if (gap := between(row)) else "-"]
        known = [str(row.item.get(name, "-")) for name in ("checksumStatus", "state")]
        table.add_row(row.sample.name, *known, *cells, str(row.failed_tries or ""))
    console.print(table)


def print_checks(console: Console, found: list[Check]) -> None:
    """Print each check with its mark."""
    table = Table("", "check", "found", title="What must hold", box=box.SIMPLE)
    table.columns[0].min_width = 1
    for check in found:
        table.add_row("[green]✓[/]" if check.holds else "[red]✗[/]", check.what, check.found)
    console.print(table)


def print_compute(console: Console, stack: Stack, rows: list[Progress]) -> None:
    """Print the compute that was billed beside what sleeping would have billed for the same passes."""
    ran = [one for one in invocations(stack) if one.function in {"DelayedNotify", "Recheck"}]
    billed = sum(i.milliseconds / 1000 * i.memory_mb / 1024 for i in ran)
    slept = sum(between(row) or 0 for row in rows)
    sleeping = billed + slept * max((i.memory_mb for i in ran), default=0) / 1024
    text = f"Compute billed: {billed:.3f} GB-s in {len(ran)} invocations; sleeping between the passes: {sleeping:.3f}"
    times = f", {sleeping / billed:.0f} times as much" if billed else ""
    console.print(f"{text}{times}", soft_wrap=True)
