"""The page that a run writes: sections of text, tables and plots, and each target beside what was measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.template import ROOT

# The page and its plots, until all of it is there.
WRITTEN = ROOT / ".local" / "benchmarks"


@dataclass(frozen=True)
class Target:
    """One target. `missed` says what missing it costs, why it is missed and what would have to change."""

    what: str
    wanted: str
    measured: str
    met: bool
    missed: str = ""

    @property
    def line(self) -> str:
        """The target as the command line prints it."""
        return f"{'met   ' if self.met else 'MISSED'}  {self.what}: {self.wanted}; measured {self.measured}"


@dataclass
class Section:
    """One part of the page."""

    title: str
    parts: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(text)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table: the first column is text, the others are figures."""
        lines = [_row(head), "|---|" + "---:|" * (len(head) - 1), *(_row(row) for row in rows)]
        self.parts.append("\n".join(lines))

    def plot(self, name: str, what: str) -> None:
        """Add a plot that stands beside the page, in images/."""
        self.parts.append(f"![{what}](images/{name})")

    def aim(self, target: Target) -> None:
        """Add a target."""
        self.targets.append(target)

    @property
    def text(self) -> str:
        """The section in Markdown."""
        return "\n\n".join([f"## {self.title}", *self.parts])


def targets_text(sections: Sequence[Section]) -> str:
    """Return the table of all targets, and why some are missed."""
    section = Section("Targets")
    every = [target for section in sections for target in section.targets]
    section.table(
        ("target", "wanted", "measured", ""),
        [(t.what, t.wanted, t.measured, "met" if t.met else "**missed**") for t in every],
    )
    for target in every:
        if not target.met:
            section.say(f"**Missed: {target.what}.** {target.missed}")
    return section.text


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
