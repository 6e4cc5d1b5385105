"""docs/benchmarks.md: a run puts its figures into the tables and draws the plots; the prose is the page's own."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.facts import ROOT

mpl.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "figure.figsize": (8, 4), "axes.grid": True}
PAGE = ROOT / "docs" / "benchmarks.md"
# The plots, until the whole run is complete.
WRITTEN = ROOT / ".local" / "benchmarks"
# A table's rows: of each the cells that a run measures; the cells before them are the page's own.
Rows = list[tuple[Any, ...]]
_TARGETS = re.compile(r"^\| (.+) \| (.+) \| (.+) \| (met|\*\*missed\*\*) \|$", re.MULTILINE)


def filled(text: str, tables: Mapping[str, Rows]) -> str:
    """Return the page with other rows in the tables below `<!-- NAME -->`."""
    for name, rows in tables.items():
        [(head, body)] = re.findall(rf"^<!-- {name} -->\n(\|.+\n\|.+\n)((?:\|.+\n)+)", text, re.MULTILINE)
        old, width = body.splitlines(), head.splitlines()[0].count("|") - 1
        lines = []
        for number, row in enumerate(rows):
            kept = old[number][2:-2].split(" | ")[: width - len(row)] if len(row) < width else []
            lines.append(f"| {' | '.join(map(str, (*kept, *row)))} |\n")
        text = text.replace(f"<!-- {name} -->\n{head}{body}", f"<!-- {name} -->\n{head}{''.join(lines)}")
    return text


def write(tables: Mapping[str, Rows], *, publish: bool) -> str:
    """Write the page, into docs/ only if it is to be published, and return its targets as the command prints them."""
    text, file = filled(PAGE.read_text(), tables), WRITTEN / PAGE.name
    file.write_text(text)
    if publish:
        shutil.copytree(WRITTEN, PAGE.parent, dirs_exist_ok=True)
    said = [
        f"{'met   ' if verdict == 'met' else 'MISSED'}  {what}: {wanted}; measured {measured}"
        for what, wanted, measured, verdict in _TARGETS.findall(text)
    ]
    return "\n".join([*said, f"{PAGE if publish else file} is written"])


def machine(run: str) -> Rows:
    """Return what a reader needs to judge the figures, beside the lock; `run` says how they were made."""
    processor = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text() + "model name: unknown")[0]
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return [
        ("run", run),
        ("processor", f"{processor}, {os.cpu_count()} cores, {platform.machine()}"),
        ("load when it ended (1, 5, 15 minutes)", ", ".join(f"{load:.1f}" for load in os.getloadavg())),
        ("memory", f"{gigabytes:.1f} GiB"),
        ("system", f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}"),
        ("Python", platform.python_version()),
    ]


@contextmanager
def plot(name: str, **about: str) -> Iterator[Any]:
    """Draw into the axes, and save what was drawn."""
    figure, axes = plt.subplots()
    yield axes
    axes.set(**about)
    file = WRITTEN / "images" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    # In this repository a drawing has no link to the web, and no line ends in a space.
    drawn = re.sub(r"<!DOCTYPE.*?>\n| <metadata>.*?</metadata>\n", "", file.read_text(), flags=re.DOTALL)
    file.write_text("".join(f"{line.rstrip()}\n" for line in drawn.splitlines()))


def draw_lines(name: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], **about: str) -> None:
    """Draw lines with their points."""
    with plot(name, **about) as axes:
        for label, (across, up) in series.items():
            axes.plot(across, up, marker="o", markersize=3, label=label)
        axes.legend(fontsize=8)
