"""What the run has to show for itself: the closing table, and whether each promise held."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
_SMALL = _FUNCTIONS[:2]
Line = dict[str, Any]


@dataclass(frozen=True)
class Invocation:
    """One invocation, as its log reports it, with the lines that the function wrote. Times in UTC, duration in ms."""

    function: str
    began: datetime
    ended: datetime
    milliseconds: float
    memory_mb: int
    lines: tuple[Line, ...]


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
                events = logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, limit=10_000
                )
                found += _invocations(function, events["events"])
    return found


def _invocations(function: str, events: list[dict[str, Any]]) -> list[Invocation]:
    found, lines = [], list[Line]()
    for event in events:
        for text in event["message"].splitlines():
            if text.startswith("{"):
                lines.append(json.loads(text))
        if report := _REPORT.search(event["message"]):
            ended = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            began = ended - timedelta(milliseconds=float(report[1]))
            found.append(Invocation(function, began, ended, float(report[1]), int(report[2]), tuple(lines)))
            lines = []
    return found


def closing_table(console: Console, rows: list[Progress]) -> None:
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


def between(row: Progress) -> float | None:
    """Return the seconds from the end of pass 1 to the start of pass 2, None before that."""
    if len(row.passes) < 2:  # noqa: PLR2004 - the second pass
        return None
    return (_began(row.passes[1]) - _at(row.passes[0])).total_seconds()


def checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return everything the run promises, with what it found."""
    ran = invocations(stack)
    found = [*passes_checks(stack, rows, options), *_log_checks(rows, ran), *_error_checks(stack, rows, options, ran)]
    if Path("/proc").exists():  # Linux tells what a process had resident
        memory = peak_memory_mb(stack)
        found.append(Check("peak memory of a function, under 128 MB", f"{memory:.0f} MB", 0 < memory < 128))  # noqa: PLR2004
    return found


def passes_checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return what every run promises, in containers too."""
    smallest = min((gap for row in rows if (gap := between(row)) and not row.changed), default=0.0)
    schedules = stack.client("scheduler").list_schedules(GroupName=stack.outputs["ScheduleGroup"])["Schedules"]
    messages = sum(stack.messages().values())
    # Its notes are not written by what is watched.
    calls = sum(int(item.get("completed", 0)) for item in stack.table(CALLS).scan()["Items"])
    return [
        Check("records that are DONE", *all_of(row.item.get("state") == "DONE" for row in rows)),
        Check("notifications with exactly 2 passes", *all_of(len(row.passes) == 2 for row in rows)),  # noqa: PLR2004
        Check("... as ProcessPaidOrder counted its calls", str(calls), calls == 2 * len(rows)),
        Check(
            f"least time between the passes, at least {options.delay} s", f"{smallest:.1f} s", smallest >= options.delay
        ),
        Check("schedules left", str(len(schedules)), not schedules),
        Check("messages left in the queues", str(messages), not messages),
    ]


def _log_checks(rows: list[Progress], ran: list[Invocation]) -> list[Check]:
    waiting = sum(while_waiting(row, ran) for row in rows)
    metrics: Counter[str] = Counter()
    for line in (line for one in ran for line in one.lines):
        metrics.update({name: line.get(name, 0) for name in ("Saved", "PassesCompleted", "PassesFailed")})
    failed, sweeps = sum(row.failed_tries for row in rows), sum(one.function == "Sweep" for one in ran)
    counted = {"Saved": len(rows), "PassesCompleted": 2 * len(rows), "PassesFailed": failed}
    return [
        Check("function time while waiting", f"{waiting:.0f} ms", waiting == 0 and bool(ran)),
        Check("invocations with exactly one log line", *all_of(len(one.lines) == 1 for one in ran)),
        Check("metrics in them", ", ".join(f"{name} {metrics[name]}" for name in counted), metrics == counted),
        Check("sweeps that the template's rule started", str(sweeps), sweeps > 0),
    ]


def _error_checks(stack: Stack, rows: list[Progress], options: Options, ran: list[Invocation]) -> list[Check]:
    letters = sum(one.function == "Retry" for one in ran)
    missed = [row for row in rows if row.failed_tries]
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
        healed, all_did = all_of(row.finished for row in missed)
        found += [
            Check("notifications that failed in the outage and healed", healed, all_did and bool(missed)),
            Check("messages that RetryFunction took from the retry queue", str(letters), letters == 1),
        ]
    return found


def print_checks(console: Console, found: list[Check]) -> None:
    """Print each check with its mark."""
    table = Table(title="What must hold", box=box.SIMPLE)
    table.add_column("", min_width=1)
    table.add_column("check")
    table.add_column("found")
    for check in found:
        table.add_row("[green]✓[/]" if check.holds else "[red]✗[/]", check.what, check.found)
    console.print(table)


def print_bill(console: Console, stack: Stack, rows: list[Progress]) -> None:
    """Print the compute that was billed beside what sleeping would have billed for the same passes."""
    ran = [one for one in invocations(stack) if one.function in _SMALL]
    billed = sum(i.milliseconds / 1000 * i.memory_mb / 1024 for i in ran)
    slept = sum(between(row) or 0 for row in rows)
    sleeping = billed + slept * max((i.memory_mb for i in ran), default=0) / 1024
    table = Table(title="Compute billed", box=box.SIMPLE)
    for column in ("", "invocations", "GB-s", "per notification"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    table.add_row("with the schedule", str(len(ran)), f"{billed:.3f}", f"{billed / len(rows):.4f}")
    table.add_row("sleeping between the passes", str(len(rows)), f"{sleeping:.3f}", f"{sleeping / len(rows):.4f}")
    console.print(table)
    console.print(f"Sleeping would have billed {sleeping / billed:.0f} times the compute." if billed else "")


def all_of(holds: Iterable[bool]) -> tuple[str, bool]:
    """Say how many hold, and whether all do."""
    each = list(holds)
    return f"{sum(each)} of {len(each)}", all(each)


def _at(one: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(one["at"])


def _began(one: dict[str, Any]) -> datetime:
    return _at(one) - timedelta(milliseconds=int(one["durationMs"]))


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


def peak_memory_mb(stack: Stack) -> float:
    """Return the most that a process of DelayedNotify or Recheck ever had resident, as Linux tells it."""
    peaks = [0.0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) != stack.emulator.pid:
                continue
            environment, status = (process / "environ").read_bytes(), (process / "status").read_text()
        except OSError:  # it ended meanwhile, or is not ours to read
            continue
        functions = (stack.outputs[f"{function}Function"] for function in _SMALL)
        names = (f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() for name in functions)
        if any(name in environment.split(b"\0") for name in names):
            peaks += [int(kib) / 1024 for kib in re.findall(r"VmHWM:\s+(\d+) kB", status)]
    return max(peaks)
