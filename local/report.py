"""What the run has to show for itself: the closing table, and whether each promise held."""

import json
import os
import re
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from local.emulator import ACCOUNT
from local.progress import Progress
from local.stack import Options, Stack

_REPORT = re.compile(r"REPORT RequestId: \S+\s+Duration: ([\d.]+) ms.*?Memory Size: (\d+) MB", re.DOTALL)
_FUNCTIONS = ("DelayedNotify", "Recheck")


@dataclass(frozen=True)
class Invocation:
    """One invocation, as its log reports it. Times in UTC, duration in ms."""

    function: str
    began: datetime
    ended: datetime
    milliseconds: float
    memory_mb: int
    notification_ids: frozenset[str]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what was found."""

    what: str
    found: str
    holds: bool


def invocations(stack: Stack) -> list[Invocation]:
    """Read what both functions logged: one entry per invocation."""
    logs = stack.client("logs")
    found = []
    for function in _FUNCTIONS:
        group = stack.outputs[f"{function}LogGroup"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
            events = logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, limit=10_000
            )["events"]
            found += _invocations(function, events)
    return found


def _invocations(function: str, events: list[dict[str, Any]]) -> list[Invocation]:
    found, ids = [], set[str]()
    for event in events:
        line = event["message"]
        ids |= set(re.findall(r'"notificationId":\s*"([^"]+)"', line))
        if report := _REPORT.search(line):
            milliseconds = float(report[1])
            ended = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            began = ended - timedelta(milliseconds=milliseconds)
            found.append(Invocation(function, began, ended, milliseconds, int(report[2]), frozenset(ids)))
            ids = set()
    return found


def closing_table(console: Console, rows: list[Progress]) -> None:
    """Print the passes of every notification and the seconds between them."""
    table = Table(title="Passes", box=box.SIMPLE)
    for column in ("notification", "checksum", "state", "pass 1 ended", "pass 2 began", "between"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        record, gap = row.record, between(row)
        times = [f"{_began(p):%H:%M:%S.%f}"[:-3] for p in row.passes[1:2]]
        first = [f"{_at(p):%H:%M:%S.%f}"[:-3] for p in row.passes[:1]]
        cells = [first[0] if first else "-", times[0] if times else "-", f"{gap:.1f} s" if gap else "-"]
        known = [str(record.get(name, "-")) for name in ("checksumStatus", "state")]
        table.add_row(row.sample.name, *known, *cells)
    console.print(table)


def between(row: Progress) -> float | None:
    """Return the seconds from the end of pass 1 to the start of pass 2, None before that."""
    if len(row.passes) < 2:  # noqa: PLR2004 - the second pass
        return None
    return (_began(row.passes[1]) - _at(row.passes[0])).total_seconds()


def checks(stack: Stack, rows: list[Progress], options: Options) -> list[Check]:
    """Return everything the run promises, with what it found."""
    gaps = [between(row) for row in rows]
    calls = _completed_calls(stack, rows)
    ran = invocations(stack)
    waiting = sum(while_waiting(row, ran) for row in rows)
    schedules = stack.client("scheduler").list_schedules(GroupName=stack.outputs["ScheduleGroup"])["Schedules"]
    mails, expected_mails = _mails(stack), len(rows) if options.failures else 0
    dead = sum(stack.messages().values())
    smallest = min((gap for gap in gaps if gap is not None), default=0.0)
    found = [
        Check("records that are DONE", *all_of(row.record.get("state") == "DONE" for row in rows)),
        Check("notifications with exactly 2 passes", *all_of(len(row.passes) == 2 for row in rows)),  # noqa: PLR2004
        Check("... as ProcessPaidOrder itself counted", *all_of(count == [1, 1] for count in calls)),
        Check(
            f"least time between the passes, at least {options.delay} s", f"{smallest:.1f} s", smallest >= options.delay
        ),
        Check("function time while waiting", f"{waiting:.0f} ms", waiting == 0 and bool(ran)),
        Check("schedules left", str(len(schedules)), not schedules),
        Check(f"error mails, {expected_mails} expected", str(mails), mails == expected_mails),
        Check("messages in the failure queues", str(dead), dead == 0),
    ]
    if Path("/proc").exists():  # Linux tells what a process had resident
        memory = peak_memory_mb(stack)
        found.append(Check("peak memory of a function, under 128 MB", f"{memory:.0f} MB", 0 < memory < 128))  # noqa: PLR2004
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
    ran = invocations(stack)
    billed = sum(i.milliseconds / 1000 * i.memory_mb / 1024 for i in ran)
    slept = sum(between(row) or 0 for row in rows)
    memory = max((i.memory_mb for i in ran), default=0)
    sleeping = billed + slept * memory / 1024
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


def _completed_calls(stack: Stack, rows: list[Progress]) -> list[list[int]]:
    table = stack.table("process-paid-order-calls")
    found = []
    for row in rows:
        keys = [{"orderId": row.record.get("orderId", "-"), "pass": number} for number in (1, 2)]
        items = [table.get_item(Key=key).get("Item", {}) for key in keys]
        found.append([int(item.get("completed", 0)) for item in items])
    return found


def while_waiting(row: Progress, ran: list[Invocation]) -> float:
    """Milliseconds that anything ran for this notification in the second half of its wait.

    In the first half DelayedNotify still arms the timer and answers.
    """
    if row.schedule_at is None or not row.passes:
        return 0
    ended = _at(row.passes[0])
    half = ended + (row.schedule_at - ended) / 2
    mine = [i for i in ran if row.sample.notification.notification_id in i.notification_ids]
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
        functions = (stack.outputs[f"{function}Function"] for function in _FUNCTIONS)
        names = (f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() for name in functions)
        if any(name in environment.split(b"\0") for name in names):
            peaks += [int(kib) / 1024 for kib in re.findall(r"VmHWM:\s+(\d+) kB", status)]
    return max(peaks)


def _mails(stack: Stack) -> int:
    url = f"{stack.emulator.url}/_ministack/ses/messages?account={ACCOUNT}"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own emulator
        return len(json.load(answer)["messages"])
