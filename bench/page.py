"""The page that a run writes: page.md with its figures filled in, tables, plots, and the machine's facts."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.facts import ROOT

mpl.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "figure.figsize": (8, 4), "axes.grid": True}
# The page and its plots, until all of it is complete.
WRITTEN = ROOT / ".local" / "benchmarks"
_TARGET = re.compile(r"^\| (.+) \| (.+) \| (.+) \| (met|\*\*missed\*\*) \|$", re.MULTILINE)
_PACKAGES = (
    "boto3",
    "botocore",
    "pydantic",
    "aws-lambda-powertools",
    "aws-durable-execution-sdk-python",
    "aws-durable-execution-sdk-python-testing",
)


def page(figures: Mapping[str, Any]) -> str:
    """Return page.md with its figures, without the explanations of targets that were met."""
    text = (ROOT / "bench" / "page.md").read_text().format(**figures)
    missed = {what for what, _, _, verdict in _TARGET.findall(text) if verdict != "met"}
    explained = re.compile(r"\*\*Missed: (.+?)\.\*\* .+?\n\n", re.DOTALL)
    return explained.sub(lambda found: found[0] if found[1].replace("\n", " ") in missed else "", text)


def verdicts(text: str) -> str:
    """Return the targets of a page as the command line prints them."""
    found = _TARGET.findall(text)
    return "\n".join(
        f"{'met   ' if verdict == 'met' else 'MISSED'}  {what}: {wanted}; measured {measured}"
        for what, wanted, measured, verdict in found
    )


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown: the first column is text, the others are figures."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(head) - 1), *lines[1:]])


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    return {
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "processor": re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text() + "model name: unknown")[0],
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "load": ", ".join(f"{load:.1f}" for load in os.getloadavg()),
        "gigabytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3,
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": platform.release(),
        "Python": platform.python_version(),
    } | {name: version(name) for name in _PACKAGES}


def bars(name: str, values: Mapping[str, float], label: str) -> None:
    """Draw a horizontal bar for each value, on a logarithmic axis."""
    figure, axes = plt.subplots()
    axes.bar_label(axes.barh(list(values), list(values.values())), fmt="{:,.0f}", padding=2)
    axes.set(xscale="log", xlabel=label)
    axes.invert_yaxis()
    _save(figure, name)


def boxes(name: str, values: Mapping[str, Sequence[float]], label: str) -> None:
    """Draw how the values of each row are spread."""
    figure, axes = plt.subplots()
    axes.boxplot(list(values.values()), orientation="horizontal", tick_labels=list(values), widths=0.5)
    axes.set(xlabel=label, xlim=(0, None))
    axes.invert_yaxis()
    _save(figure, name)


def lines(name: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], **about: str) -> None:
    """Draw lines with their points."""
    figure, axes = plt.subplots()
    for label, (across, up) in series.items():
        axes.plot(across, up, marker="o", markersize=3, label=label)
    axes.set(**about)
    axes.legend(fontsize=8)
    _save(figure, name)


def _save(figure: Any, name: str) -> None:  # noqa: ANN401 - matplotlib's figure
    file = WRITTEN / "images" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    # In this repository a drawing names nothing on the web, and no line ends in a space.
    drawn = re.sub(r"<!DOCTYPE.*?>\n| <metadata>.*?</metadata>\n", "", file.read_text(), flags=re.DOTALL)
    file.write_text("".join(f"{line.rstrip()}\n" for line in drawn.splitlines()))
