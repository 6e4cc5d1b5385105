"""Where each notification is, read from the tables and the schedule group, and how that looks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from callback.clock import moment
from callback.schedule import schedule_name
from local.samples import Sample
from local.stack import Stack


@dataclass
class Progress:
    """One notification on its way."""

    sample: Sample
    record: dict[str, Any] = field(default_factory=dict)
    schedule_at: datetime | None = None
    schedule_gone: bool = False
    told: set[str] = field(default_factory=set)

    @property
    def schedule_name(self) -> str:
        """The name of its timer."""
        about = self.sample.notification
        return schedule_name(about.charge_id, about.notification_id, 2)

    @property
    def passes(self) -> list[dict[str, Any]]:
        """The completed passes, as recorded."""
        return list(self.record.get("passes", []))

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come."""
        return self.record.get("state") in {"DONE", "FAILED"} and (self.schedule_gone or self.schedule_at is None)

    def steps(self) -> list[str]:
        """What has happened so far, in order."""
        done = {
            "saved": bool(self.record),
            "pass 1": len(self.passes) > 0,
            "schedule armed": self.schedule_at is not None,
            "pass 2": len(self.passes) > 1,
            "schedule gone": self.schedule_gone,
            "failed": self.record.get("state") == "FAILED",
        }
        return [name for name, is_so in done.items() if is_so]


class Watcher:
    """Reads the stack and keeps every notification's progress."""

    def __init__(self, stack: Stack, samples: list[Sample]) -> None:
        self._records = stack.table(stack.outputs["CreditCardNotifyTable"])
        self._scheduler = stack.client("scheduler")
        self._group = stack.outputs["ScheduleGroup"]
        self._stack = stack
        self._dead_letters = 0
        self.rows = [Progress(sample) for sample in samples]

    def look(self) -> None:
        """Bring every row up to date."""
        armed = {s["Name"] for s in self._scheduler.list_schedules(GroupName=self._group)["Schedules"]}
        records = {(r["chargeId"], r["notificationId"]): r for r in self._records.scan()["Items"]}
        for row in self.rows:
            about = row.sample.notification
            row.record = records.get((about.charge_id, about.notification_id), {})
            name = row.schedule_name
            if name in armed and row.schedule_at is None:
                row.schedule_at = self._at(name)
            row.schedule_gone = row.schedule_at is not None and name not in armed
        self._dead_letters = sum(self._stack.messages().values())

    def _at(self, name: str) -> datetime:
        found = self._scheduler.get_schedule(GroupName=self._group, Name=name)
        return datetime.strptime(found["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)

    @property
    def finished(self) -> bool:
        """Whether every notification is at its end: finished, or in a failure queue."""
        return sum(not row.finished for row in self.rows) <= self._dead_letters


class Screen:
    """The picture: a live table on a terminal, one plain line per step elsewhere."""

    def __init__(self, console: Console, rows: list[Progress]) -> None:
        self._console = console
        self._rows = rows
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        """Take the terminal, if there is one."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back, with the last picture left standing."""
        if self._live:
            self._live.stop()

    def show(self) -> None:
        """Draw what is known now."""
        if self._live:
            self._live.update(picture(self._rows, datetime.now(UTC)), refresh=True)
            return
        for row in self._rows:
            for step in row.steps():
                if step not in row.told:
                    row.told.add(step)
                    self._console.print(f"{datetime.now(UTC):%H:%M:%S} {row.sample.name}: {step}", highlight=False)


def picture(rows: list[Progress], now: datetime) -> Table:
    """Return the live table: one row per notification."""
    table = Table(box=box.SIMPLE, padding=(0, 1))
    for column in ("notification", "saved", "pass 1", "armed for", "recheck in", "pass 2", "gone"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        steps = row.steps()
        marks = ["[green]✓[/]" if step in steps else "[dim]·[/]" for step in ("saved", "pass 1")]
        armed = f"{row.schedule_at:%H:%M:%S}" if row.schedule_at else "[dim]·[/]"
        later = ["[green]✓[/]" if step in steps else "[dim]·[/]" for step in ("pass 2", "schedule gone")]
        if "failed" in steps:
            later[0] = "[red]FAILED[/]"
        table.add_row(row.sample.name, *marks, armed, _bar(row, now), *later)
    return table


def _bar(row: Progress, now: datetime) -> Table | str:
    if row.schedule_at is None or len(row.passes) != 1:
        return ""
    start = moment(row.passes[0]["at"])
    total = max((row.schedule_at - start).total_seconds(), 1)
    left = max((row.schedule_at - now).total_seconds(), 0)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(ProgressBar(total=total, completed=total - left, width=14), f"{left:4.0f} s" if left else "due")
    return grid
