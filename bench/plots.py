"""The plots, as SVG: the same figures give the same file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

from bench.page import WRITTEN

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "bench",
        "svg.fonttype": "none",
        "figure.figsize": (8, 4),
        "axes.grid": True,
        "grid.alpha": 0.3,
        "axes.axisbelow": True,
    }
)

import matplotlib.pyplot as plt  # noqa: E402 - after the choice of what draws

IMAGES = WRITTEN / "images"


def bars(name: str, values: Mapping[str, Sequence[float]], latencies: Sequence[int]) -> None:
    """Draw groups of horizontal bars on a logarithmic axis, one group for each subject."""
    figure, axes = plt.subplots()
    height = 0.8 / len(latencies)
    for place, latency in enumerate(latencies):
        at = [row + (place - 1) * height for row in range(len(values))]
        drawn = axes.barh(at, [each[place] for each in values.values()], height, label=f"{latency} ms")
        axes.bar_label(drawn, fmt="{:,.0f}", fontsize=7, padding=2)
    axes.set(yticks=range(len(values)), yticklabels=list(values), xscale="log", xlabel="billed ms per notification")
    axes.invert_yaxis()
    axes.legend(title="ProcessPaidOrder")
    _save(figure, name)


def spans(name: str, values: Mapping[str, Sequence[float]], label: str) -> None:
    """Draw every single value of each row, and its median."""
    figure, axes = plt.subplots()
    axes.boxplot(list(values.values()), orientation="horizontal", tick_labels=list(values), widths=0.5)
    axes.set(xlabel=label, xlim=(0, None))
    axes.invert_yaxis()
    _save(figure, name)


def lines(name: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], **about: Any) -> None:  # noqa: ANN401 - what axes may have
    """Draw lines with their points."""
    figure, axes = plt.subplots()
    for label, (across, up) in series.items():
        axes.plot(across, up, marker="o", markersize=3, label=label)
    axes.set(**about)
    axes.legend(fontsize=8)
    _save(figure, name)


def _save(figure: Any, name: str) -> None:  # noqa: ANN401 - matplotlib's figure
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / name, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    file = IMAGES / name
    # A drawing names nothing on the web, and a line has no space at its end, in this repository.
    drawn = re.sub(r"<!DOCTYPE.*?>\n| <metadata>.*?</metadata>\n", "", file.read_text(), flags=re.DOTALL)
    file.write_text("".join(f"{line.rstrip()}\n" for line in drawn.splitlines()))
