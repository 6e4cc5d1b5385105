"""Send notifications and watch them to their end, also in an outage: `make run`, and `make send` to what is up."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from callback.record import Record, hash_ids, read_record
from local.samples import Sample, deliver_anew
from local.stack import BRANCH, Options, Stack, furnish

SWEEP_EVERY = 3
# Beyond the waits: time for the passes, and for a Recheck lost on a busy machine, which comes again after 5 minutes.
_PATIENCE = 360
# A failed pass waits for a minute, the next sweep and its turn.
_WAIT_AFTER_FAILURE = 70
_TICK, _DOT = "[green]✓[/]", "[dim]·[/]"


@dataclass
class Progress:
    """One notification in progress; `changed` is a record that was changed from outside."""

    sample: Sample
    item: dict[str, Any] = field(default_factory=dict)
    schedule_at: datetime | None = None
    schedule_gone: bool = False
    was_unsaved: bool = False
    changed: bool = False

    @property
    def key(self) -> dict[str, str]:
        """The key of its record."""
        notification = self.sample.notification
        return {"chargeId": notification.charge_id, "notificationId": notification.notification_id}

    @property
    def schedule_name(self) -> str:
        """The name of the timer of pass 2."""
        return f"recheck-{hash_ids(self.key).hex()[:48]}-2"

    @property
    def record(self) -> Record | None:
        """Its record, as the functions read it."""
        return read_record(self.item) if self.item else None

    @property
    def passes(self) -> list[dict[str, Any]]:
        """The completed passes, as recorded."""
        return list(self.item.get("passes", []))

    @property
    def seconds_between(self) -> float | None:
        """The time from the end of pass 1 to the start of pass 2, None before that."""
        first, second, *_ = [*self.passes, None, None]
        return (began_at(second) - ended_at(first)).total_seconds() if first and second else None

    @property
    def failed_tries(self) -> int:
        """How often a pass was tried and failed."""
        return int(self.item.get("attempts", 0)) - len(self.passes) - ("leaseUntil" in self.item)

    @property
    def next_try(self) -> datetime | None:
        """When the pass that failed is due again."""
        record = self.record
        return record.next_pass_due if record and record.attempts_made and not record.lease_until else None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.item.get("state") in {"DONE", "FAILED"} and (self.schedule_gone or self.schedule_at is None)

    def steps(self) -> list[str]:
        """What has happened so far, in order."""
        due = f"{self.next_try:%H:%M:%S}" if self.next_try else ""
        done = {
            "not saved: Lambda tries twice more, then it goes to the retry queue": self.was_unsaved,
            "saved": self.item,
            "pass 1": self.passes,
            "schedule set": self.schedule_at,
            f"pass {len(self.passes) + 1} failed, and is due again at {due}": due,
            "pass 2": self.passes[1:],
            "schedule gone": self.schedule_gone,
            "FAILED": self.item.get("state") == "FAILED",
        }
        return [step for step, is_so in done.items() if is_so]

    def next_step(self, now: datetime) -> str:
        """What comes next, and when."""
        record = self.record
        if record is None or record.next_pass_due is None:
            return str(self.item.get("state", ""))
        if record.is_claimed(now):
            return f"pass {record.next_pass} runs"
        due, again = record.next_pass_due, f", try {record.attempts_made + 1}" if self.next_try else ""
        left = f"{(due - now).total_seconds():.0f} s" if due > now else "due"
        return f"pass {record.next_pass}{again} at {due:%H:%M:%S}, {left}"


def ended_at(done: dict[str, Any]) -> datetime:
    """Return when a pass ended."""
    return datetime.fromisoformat(done["at"])


def began_at(done: dict[str, Any]) -> datetime:
    """Return when a pass began."""
    return ended_at(done) - timedelta(milliseconds=int(done["durationMs"]))


class Watcher:
    """Reads the stack and keeps every notification's progress."""

    def __init__(self, stack: Stack, samples: list[Sample]) -> None:
        self._records = stack.table(stack.outputs["CreditCardNotifyTable"])
        self._scheduler = stack.client("scheduler")
        self._group = stack.outputs["ScheduleGroup"]
        self.rows = [Progress(sample) for sample in samples]

    def look(self) -> None:
        """Bring every row up to date."""
        scheduled = {s["Name"] for s in self._scheduler.list_schedules(GroupName=self._group)["Schedules"]}
        items = {(item["chargeId"], item["notificationId"]): item for item in self._records.scan()["Items"]}
        for row in self.rows:
            row.item = items.get((row.key["chargeId"], row.key["notificationId"]), {})
            if row.schedule_name in scheduled and row.schedule_at is None:
                row.schedule_at = row.record.next_pass_due if row.record else None
            row.schedule_gone = row.schedule_at is not None and row.schedule_name not in scheduled


def picture(rows: list[Progress], now: datetime) -> Table:
    """Return the live table: one row per notification."""
    columns = (Column(name, no_wrap=True) for name in ("notification", "saved", "passes", "timer", "next"))
    table = Table(*columns, box=box.SIMPLE, padding=(0, 1))
    for row in rows:
        passes = " ".join(_TICK if number < len(row.passes) else _DOT for number in range(2))
        timer = "gone" if row.schedule_gone else "set" if row.schedule_at else _DOT
        style = "yellow" if row.next_try else ""
        table.add_row(row.sample.name, _TICK if row.item else _DOT, passes, timer, row.next_step(now), style=style)
    return table


def play(console: Console, stack: Stack, chosen: list[Sample], options: Options, limit: int | None) -> list[Progress]:
    """Send the samples and watch them to the end, or for `limit` seconds, and return where each is."""
    text = f"Waits between retries are as long as on AWS, but the sweep comes every {SWEEP_EVERY} s."
    console.print(f"{text} What it cannot show: docs/sam-local.md\n", soft_wrap=True)
    run, failures = _Run(console, stack, chosen), options.failures + bool(options.outage)
    longest = options.delay + _PATIENCE + failures * _WAIT_AFTER_FAILURE + options.outage * 1.25
    deadline = time.monotonic() + (longest if limit is None else limit)
    outage = run.outage(options.outage) if options.outage else iter(())
    with run.live or nullcontext():
        while not all(row.finished for row in run.watcher.rows) and time.monotonic() < deadline:
            next(outage, None)
            run.send_next()
            run.step()
    return run.watcher.rows


class _Run:
    def __init__(self, console: Console, stack: Stack, chosen: list[Sample]) -> None:
        self.console, self.stack, self.watcher = console, stack, Watcher(stack, chosen)
        # A live table on a terminal, elsewhere one plain line for each step.
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._unsent, self._shown = list(self.watcher.rows), set[str]()

    def step(self) -> None:
        self.watcher.look()
        if self.live:
            self.live.update(picture(self.watcher.rows, datetime.now(UTC)), refresh=True)
        else:
            steps = [f"{row.sample.name}: {step}" for row in self.watcher.rows for step in row.steps()]
            for step in steps:
                if step not in self._shown:
                    self.say(step)
            self._shown.update(steps)
        time.sleep(0.3)  # the table's pace

    def say(self, text: str) -> None:
        self.console.print(f"{datetime.now(UTC):%H:%M:%S} {text}", soft_wrap=True)

    def send_next(self) -> None:
        # One after the other: the emulator starts a process for each invocation at once, and so for each timer.
        sent = self.watcher.rows[: -len(self._unsent)]
        if self._unsent and all(row.passes or row.failed_tries for row in sent):
            self.stack.notify(self._unsent.pop(0).sample.event)

    def outage(self, seconds: int) -> Iterator[None]:
        """Step by step: at first DelayedNotify cannot save; later ProcessPaidOrder is down for some seconds."""
        lambdas, first = self.stack.client("lambda"), self.watcher.rows[0]
        name = "DelayedNotifyFunction"
        delayed_notify, variables = self.stack.outputs[name], self.stack.variables(name)
        changed = {"Variables": variables | {"CREDIT_CARD_NOTIFY_TABLE": "out-of-reach"}}
        lambdas.update_function_configuration(FunctionName=delayed_notify, Environment=changed)
        self.say("CreditCardNotifyTable is out of DelayedNotify's reach")
        first.was_unsaved = True
        while not first.item:
            yield
        lambdas.update_function_configuration(FunctionName=delayed_notify, Environment={"Variables": variables})
        self.say("CreditCardNotifyTable is back: RetryFunction took the message as it came, and saved it")
        # Until the first timer is about to fire.
        while not any(row.schedule_at and row.schedule_at < _in_seconds(1) for row in self.watcher.rows):
            yield
        process_paid_order, ends = f"payment3-process-paid-order-{BRANCH}", _in_seconds(seconds)
        lambdas.put_function_concurrency(FunctionName=process_paid_order, ReservedConcurrentExecutions=0)
        self.say(f"ProcessPaidOrder is down for {seconds} s: Lambda throttles every call")
        while _in_seconds(0) < ends:
            yield
        lambdas.delete_function_concurrency(FunctionName=process_paid_order)
        self.say("ProcessPaidOrder is back; nobody does anything now")


def _in_seconds(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def send_and_wait(console: Console, stack: Stack, sample: Sample, count: int) -> int:
    """Send a sample several times, each as a new notification; exit code 1 if pass 1 of any does not come."""
    missing = 0
    for _ in range(max(count, 1)):
        watcher = Watcher(stack, [deliver_anew(sample, sample.name)])
        [row], deadline = watcher.rows, time.monotonic() + 20  # Lambda's two retries are over by then
        order = furnish(stack, row.sample.notification)
        stack.notify(row.sample.event)
        while not row.passes and time.monotonic() < deadline:
            time.sleep(0.1)  # a table sends no event when a pass is recorded
            watcher.look()
        missing += not row.passes
        outcome = "saved, pass 1 done" if row.passes else "NOT SAVED, or its pass 1 failed"
        console.print(f"{order} {row.key['notificationId']}: {outcome}", soft_wrap=True)
    console.print(f"Next: followups show {order} --local", soft_wrap=True)
    return int(missing > 0)
