"""Where each notification is, read from the tables and the schedule group, and how that looks."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from callback.record import Record, read_record
from local.samples import Sample
from local.stack import Stack

_TICK, _DOT = "[green]✓[/]", "[dim]·[/]"


@dataclass
class Progress:
    """One notification on its way; `changed` is a record that was changed from outside."""

    sample: Sample
    item: dict[str, Any] = field(default_factory=dict)
    schedule_at: datetime | None = None
    schedule_gone: bool = False
    was_unsaved: bool = False
    changed: bool = False
    shown: set[str] = field(default_factory=set)

    @property
    def key(self) -> dict[str, str]:
        """The key of its record."""
        about = self.sample.notification
        return {"chargeId": about.charge_id, "notificationId": about.notification_id}

    @property
    def schedule_name(self) -> str:
        """The name of the timer of pass 2."""
        ids = "\n".join(self.key.values())
        return f"recheck-{hashlib.sha256(ids.encode()).hexdigest()[:48]}-2"

    @property
    def record(self) -> Record | None:
        """Its record, as the functions read it."""
        return read_record(self.item) if self.item else None

    @property
    def passes(self) -> list[dict[str, Any]]:
        """The completed passes, as recorded."""
        return list(self.item.get("passes", []))

    @property
    def failed_tries(self) -> int:
        """How often a pass was tried in vain."""
        return int(self.item.get("attempts", 0)) - len(self.passes) - ("leaseUntil" in self.item)

    @property
    def next_try(self) -> datetime | None:
        """When the pass that failed is due again."""
        record = self.record
        return record.next_pass_due if record and record.attempts_made and not record.lease_until else None

    @property
    def finished(self) -> bool:
        """Whether nothing is to come."""
        return self.item.get("state") in {"DONE", "FAILED"} and (self.schedule_gone or self.schedule_at is None)

    def steps(self) -> list[str]:
        """What has happened so far, in order."""
        record, failure = self.record, ""
        if record and self.next_try:
            failure = f"pass {record.next_pass} failed, and is due again at {self.next_try:%H:%M:%S}"
        done = {
            "not saved: Lambda tries twice more, then it goes to the retry queue": self.was_unsaved,
            "saved": bool(self.item),
            "pass 1": len(self.passes) > 0,
            "schedule armed": self.schedule_at is not None,
            failure: bool(failure),
            "pass 2": len(self.passes) > 1,
            "schedule gone": self.schedule_gone,
            "FAILED": self.item.get("state") == "FAILED",
        }
        return [name for name, is_so in done.items() if is_so]

    def outlook(self, now: datetime) -> str:
        """What comes next, and when."""
        record = self.record
        if record is None or record.next_pass_due is None:
            return str(self.item.get("state", ""))
        if record.is_claimed(now):
            return f"pass {record.next_pass} runs"
        # The timer comes a second or two after the pass is due.
        due = self.next_try or self.schedule_at or record.next_pass_due
        when = f"at {due:%H:%M:%S}, {f'{(due - now).total_seconds():.0f} s' if due > now else 'due'}"
        if self.next_try:
            return f"[yellow]pass {record.next_pass}, try {record.attempts_made + 1} {when}[/]"
        return f"pass {record.next_pass} {when}"


class Watcher:
    """Reads the stack and keeps every notification's progress."""

    def __init__(self, stack: Stack, samples: list[Sample]) -> None:
        self._records = stack.table(stack.outputs["CreditCardNotifyTable"])
        self._scheduler = stack.client("scheduler")
        self._group = stack.outputs["ScheduleGroup"]
        self.rows = [Progress(sample) for sample in samples]

    def look(self) -> None:
        """Bring every row up to date."""
        armed = {s["Name"] for s in self._scheduler.list_schedules(GroupName=self._group)["Schedules"]}
        items = {(item["chargeId"], item["notificationId"]): item for item in self._records.scan()["Items"]}
        for row in self.rows:
            row.item = items.get((row.key["chargeId"], row.key["notificationId"]), {})
            if row.schedule_name in armed and row.schedule_at is None:
                found = self._scheduler.get_schedule(GroupName=self._group, Name=row.schedule_name)
                expression = found["ScheduleExpression"]
                row.schedule_at = datetime.strptime(f"{expression}+0000", "at(%Y-%m-%dT%H:%M:%S)%z")
            row.schedule_gone = row.schedule_at is not None and row.schedule_name not in armed

    @property
    def finished(self) -> bool:
        """Whether every notification is at its end."""
        return all(row.finished for row in self.rows)


class Screen:
    """The picture: a live table on a terminal, one plain line per step elsewhere."""

    def __init__(self, console: Console, rows: list[Progress]) -> None:
        self._console, self._rows = console, rows
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def say(self, text: str) -> None:
        """Print a line, above the picture where there is one."""
        self._console.print(f"{datetime.now(UTC):%H:%M:%S} {text}", soft_wrap=True)

    def show(self) -> None:
        """Draw what is known now."""
        if self.live:
            self.live.update(picture(self._rows, datetime.now(UTC)), refresh=True)
            return
        for row in self._rows:
            for step in (step for step in row.steps() if step not in row.shown):
                row.shown.add(step)
                self.say(f"{row.sample.name}: {step}")


def picture(rows: list[Progress], now: datetime) -> Table:
    """Return the live table: one row per notification."""
    table = Table(box=box.SIMPLE, padding=(0, 1))
    for column in ("notification", "saved", "passes", "timer", "next"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        passes = " ".join(_TICK if number < len(row.passes) else _DOT for number in range(2))
        timer = "gone" if row.schedule_gone else "armed" if row.schedule_at else _DOT
        table.add_row(row.sample.name, _TICK if row.item else _DOT, passes, timer, row.outlook(now))
    return table
