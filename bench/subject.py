"""Starting those who are measured, each in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.environment import variables
from bench.template import ROOT

TITLES = {
    "sleeping": "sleeping function",
    "ours": "this project",
    "floor": "floor: bare boto3, the same calls",
    "delay_queue": "SQS DelaySeconds, bare",
    "durable": "durable functions, bare",
}


_begun: "list[subprocess.Popen[str]]" = []


@dataclass(frozen=True)
class Measured:
    """What a worker printed of itself."""

    ms: list[list[float]]
    cpu_ms: float
    log_bytes: float
    peak_bytes: int | None

    @property
    def totals(self) -> list[float]:
        """The billed milliseconds of each notification."""
        return [sum(each) for each in self.ms]


def environment(latency: int, url: str, **more: str) -> dict[str, str]:
    """Return a worker's environment; nothing of this machine's own comes with it."""
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}", "PYTHONHASHSEED": "0"}
    return variables(latency, url) | own | more


def command(subject: str, first: int, count: int, warm: int, *options: str) -> list[str]:
    """Return what starts a worker."""
    return [sys.executable, "-m", "bench.worker", subject, str(first), str(count), str(warm), *options]


def begin(line: Sequence[str], surroundings: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a process."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(line, env=surroundings, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    _begun.append(process)
    return process


def stop() -> None:
    """End what was begun and still runs: after an error, or a Ctrl-C."""
    for process in _begun:
        if process.poll() is None:
            process.kill()
            process.wait()


def end(process: "subprocess.Popen[str]", *, errors: bool = False) -> str:
    """Wait for a process and return the last line that it printed, or all of its errors' stream."""
    out, error = process.communicate(timeout=1200)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{error[-3000:]}")
    return error if errors else out.splitlines()[-1]


def measure(line: Sequence[str], surroundings: dict[str, str]) -> Measured:
    """Run a worker to its end."""
    return Measured(**json.loads(end(begin(line, surroundings))))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, and the values that four fifths lie between."""
    ordered = sorted(values)
    tenth = len(ordered) // 10
    return statistics.median(ordered), ordered[tenth], ordered[-1 - tenth]
