"""What the commands share that change something: plan, ask, do, and print what became of each item."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import click

from followups.command import Operator
from followups.output import DONE, FAILED, LEFT, PLANNED, Column, Row, Sheet, visible
from followups.records import Found, Notification

T = TypeVar("T")
_MARKS = {
    "planned": PLANNED,
    **dict.fromkeys(("run", "erased", "resolved", "sent", "deleted"), DONE),
    **dict.fromkeys(("left", "unchanged", "waiting"), LEFT),
    **dict.fromkeys(("failed", "kept", "unknown"), FAILED),
}
_NOTIFICATION = (
    Column("", 1),
    Column("order", ratio=2),
    Column("charge, notification", ratio=3),
    Column("what", ratio=3),
)
dry_run_option = click.option("--dry-run", is_flag=True, help="only print what would be done")
_RATE = click.FloatRange(min=0, min_open=True, max=50)
rate_option = click.option(
    "--rate", type=_RATE, default=5, show_default=True, metavar="N", help="at most so many a second"
)
yes_option = click.option("--yes", is_flag=True, help="do all of it, without a question")


class Result(NamedTuple):
    """What is planned for an item, or was done with it: a word, and more, for programs; a text for people."""

    word: str
    text: str
    more: Mapping[str, object] = MappingProxyType({})

    def row(self, item: Row) -> Row:
        """Complete the row of an item."""
        record = {**item.record, "result": self.word, "text": self.text, **self.more}
        return Row((_MARKS[self.word], *item.cells, self.text), (*item.line, self.text), record)


@dataclass(frozen=True)
class Change(Generic[T]):
    """A command that changes items: what it plans for each, how it does that, and how an item is printed.

    `words` and `ids` are those of the command that does it without a `question`, `rate` how many it does a second at
    most. There may be `more` items than these. Unless it `may_leave` some, what is left alone makes the exit code 1.
    """

    operator: Operator
    name: str
    sheet: Sheet
    about: Callable[[T], Row]
    plan: Callable[[Operator, T], Result]
    do: Callable[[Operator, T], Result]
    words: Sequence[str] = ()
    ids: tuple[str, ...] = ()
    rate: float = 50
    question: str = ""
    more: bool = False
    may_leave: bool = False

    def run(self, items: Iterable[T], *, yes: bool, dry_run: bool = False) -> int:
        """Do it, or print the plan and perhaps ask. Return the exit code."""
        counts = self._print(self._done(items) if yes and not dry_run else self._planned(items))
        if counts["planned"] and not dry_run and self._is_confirmed():
            counts = self._print(self._done(items))
        if counts["planned"]:
            command = self.operator.stack.command(*self.words, ids=self.ids)
            self.operator.output.note(f"Nothing was changed. To do it:  {command}")
        if counts["unknown"]:
            self.operator.output.note(f"It may be in a queue:  {self.operator.stack.command('dead-letters', 'list')}")
        if self.more:
            self.operator.output.warn(f"There are more than one run reads: run {self.name} again.")
        is_left = counts["planned"] or ((counts["left"] or self.more) and not self.may_leave)
        is_wrong = any(_MARKS[word] == FAILED for word in counts) or (self.ids and not counts)
        return int(bool(is_wrong or (is_left and not dry_run)))

    def _planned(self, items: Iterable[T]) -> Iterator[tuple[T, Result]]:
        return ((item, self.plan(self.operator, item)) for item in items)

    def _done(self, items: Iterable[T]) -> Iterator[tuple[T, Result]]:
        operator, total = self.operator, len(items) if isinstance(items, Sequence) else 0
        operator.when_stopped = "Stopped. What is not listed is unchanged or under way; the same command continues."
        with operator.output.progress(self.name, total) as advance:
            earliest = operator.monotonic()
            for item, plan in self._planned(items):
                if plan.word == "planned":
                    operator.sleep(max(0.0, earliest - operator.monotonic()))
                    earliest = operator.monotonic() + 1 / self.rate
                yield item, self.do(operator, item) if plan.word == "planned" else plan
                advance()

    def _is_confirmed(self) -> bool:
        """Ask a person; a pipe cannot answer."""
        is_asked = self.question and self.operator.output.is_table and sys.stdin.isatty()
        return bool(is_asked) and click.confirm(visible(self.question))

    def _print(self, results: Iterable[tuple[T, Result]]) -> Counter[str]:
        counts, note = Counter[str](), self.operator.output.note
        for item, result in results:
            self.sheet.add(result.row(self.about(item)))
            counts[result.word] += 1
        if not counts:
            note(f"Nothing to {self.name}.")
        elif counts.total() > 1:
            is_wrong = (counts["failed"] or counts["kept"]) and not counts["planned"]
            advice = "Remove the cause that is printed above, then run it again." if is_wrong else ""
            note(f"{', '.join(f'{count} {word}' for word, count in counts.items())}.", advice)
        return counts


def of_notifications(
    operator: Operator,
    name: str,
    plan: Callable[[Operator, Notification], Result],
    do: Callable[[Operator, Notification], Result],
    **how: Any,  # noqa: ANN401 - Change's
) -> Change[Notification]:
    """Return a change of notifications; one that is only an order's id was not found."""

    def plan_if_found(operator: Operator, one: Notification) -> Result:
        if "chargeId" in one.item:
            return plan(operator, one)
        return Result("unknown", f"no notification was saved in stack {operator.stack.name}")

    return Change(operator, name, Sheet(operator.output, *_NOTIFICATION), _about, plan_if_found, do, **how)


def _about(one: Notification) -> Row:
    ids = {name: value for name, value in one.ids.items() if value}
    names = "\n".join(visible(ids[name]) for name in ("chargeId", "notificationId") if name in ids)
    line = " ".join(f"{name}={value}" for name, value in ids.items())
    return Row((one.order_id, names), (line,), ids | {"checksumStatus": one.checksum, "pass": one.next_pass})


def or_unknown(found: Found, order_id: str) -> Found:
    """Return what was found, or, where that is nothing, a notification that is only the order's id."""
    return found if found.rows else Found((Notification({"orderId": order_id}),))
