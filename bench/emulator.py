"""A function under Lambda's own runtime emulator, watched: its answers' time, and what Linux knows of its process.

REPORT's figures are made up there; the init is read from the line `INIT REPORT` (artefact/runtime.py).
"""

import re
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from artefact.runtime import Running, RuntimeEmulatorError


@dataclass
class Watched:
    """A started function."""

    running: Running

    def invoke(self, event: object) -> float:
        """Send an event, and return the milliseconds until its answer was there."""
        started = time.perf_counter()
        said = self.running.invoke(event)
        if isinstance(said, dict) and "errorMessage" in said:
            raise RuntimeEmulatorError(f"{said}\n{self.running.said[-2000:]}")
        return (time.perf_counter() - started) * 1000

    @property
    def cpu_ms(self) -> float:
        """The CPU time of the function's process so far, all its threads."""
        tasks = (self._process / "task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    @property
    def peak_mb(self) -> float:
        """The most that the function's process had resident."""
        [kib] = re.findall(r"VmHWM:\s+(\d+) kB", (self._process / "status").read_text())
        return int(kib) / 1024

    @cached_property
    def _process(self) -> Path:
        # By any thread of the emulator's: /proc has the children of each apart.
        of_threads = (Path("/proc") / str(self.running.pid) / "task").glob("*/children")
        [child] = [child for file in of_threads for child in file.read_text().split()]
        return Path("/proc") / child
