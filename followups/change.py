"""What the commands that change something share: plan, ask, do, and print what became of each item."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import click

from followups.cli import Operator, shared
from followups.output import STYLES, Column, Row

T = TypeVar("T")
# In the table: where an item is, what it is about, and what came of it.
COLUMNS = Column("", ratio=2), Column("about", ratio=3), Column("what", ratio=3)
_LEVELS = dict.fromkeys(("run", "erased", "resolved", "sent", "deleted"), "ok")
_LEVELS |= dict.fromkeys(("failed", "kept", "unknown"), "bad")
_RATE = click.FloatRange(min=0, min_open=True, max=50)
CHANGING = shared(
    dry_run={"is_flag": True, "help": "only print what would be done"},
    yes={"is_flag": True, "help": "do all of it, without a question"},
    rate={"type": _RATE, "default": 5, "show_default": True, "metavar": "N", "help": "at most so many a second"},
).values()


class Result(NamedTuple):
    """What is planned for an item, or was done with it: a word for programs, a text for people."""

    word: str
    text: str

    def row(self, item: Row) -> Row:
        """Complete the row of an item."""
        record = {**item.record, "result": self.word, "text": self.text}
        return Row((*item.cells, (self.text, STYLES[_LEVELS.get(self.word, "warn")])), record)


@dataclass(frozen=True)
class Change(Generic[T]):
    """A command that changes items: how it prints one, what it plans for it, and how it does that.

    `words` and `ids` are those of the command that does it unasked. If it is `harmless`, a single item needs no
    question, and an item left alone is no failure. There may be `more` than one run reads; `if_none`: why it has none.
    """

    operator: Operator
    name: str
    about: Callable[[T], Row]
    plan: Callable[[T], Result]
    do: Callable[[T], Result]
    words: Sequence[str] = ()
    ids: tuple[str, ...] = ()
    harmless: bool = False
    more: bool = False
    if_none: Callable[[], str] = str

    def run(self, items: Iterable[T]) -> int:
        """Do it, or print the plan and ask. Return the exit code."""
        stack, output, given = self.operator.stack, self.operator.output, self.operator.given
        yes, dry_run = given.get("yes"), given.get("dry_run")
        if self.harmless and not (yes or dry_run):
            items = list(items)
            yes = sum(self.plan(item).word == "planned" for item in items) == 1
        if dry_run or not yes:
            counts = self._print((item, self.plan(item)) for item in items)
            can_ask = counts["planned"] and not dry_run and output.is_table and sys.stdin.isatty()  # a pipe cannot
            yes = bool(can_ask) and click.confirm(f"{self.name.capitalize()} {counts['planned']}?")
        if yes and not dry_run:
            counts = self._print(self._done(items))
        why = "" if counts else self.if_none()
        if not counts:
            output.note(why or f"Nothing to {self.name}.")
        if counts["planned"]:
            output.note(f"Nothing was changed. To do it:  {stack.command(*self.words, ids=self.ids)}")
        if counts["unknown"]:
            output.note(f"It may be in a queue:  {stack.command('dead-letters', 'list')}")
        if self.more:
            output.warn(f"One run does not take them all: run {self.name} again.")
        is_left = counts["planned"] or ((counts["left"] or self.more) and not self.harmless)
        is_wrong = any(_LEVELS.get(word) == "bad" for word in counts) or why or (self.ids and not counts)
        return int(bool(is_wrong or (is_left and not dry_run)))

    def _done(self, items: Iterable[T]) -> Iterator[tuple[T, Result]]:
        operator = self.operator
        operator.when_stopped = "Stopped. What is not listed is unchanged or under way; the same command continues."
        earliest = operator.monotonic()
        for item in items:
            result = self.plan(item)
            if result.word == "planned":
                operator.sleep(max(0.0, earliest - operator.monotonic()))
                earliest = operator.monotonic() + 1 / operator.given.get("rate", 50)
                result = self.do(item)
            yield item, result

    def _print(self, results: Iterable[tuple[T, Result]]) -> Counter[str]:
        counts, output = Counter[str](), self.operator.output
        for item, result in results:
            output.rows(COLUMNS, result.row(self.about(item)))
            counts[result.word] += 1
        if counts.total() > 1:
            output.note(f"{', '.join(f'{count} {word}' for word, count in counts.items())}.")
        if (counts["failed"] or counts["kept"]) and not counts["planned"]:
            output.note("Remove the cause that is printed above, then run it again.")
        return counts
