"""Lambda's own Runtime Interface Emulator, which ships in the SAM CLI, with Lambda's own client, awslambdaric.

REPORT's figures are made up there; what is read is the line `INIT REPORT` and what Linux knows of the process.
"""

import contextlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.template import ROOT

_MACHINE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
_BINARY = f"samcli/local/rapid/aws-lambda-rie-{_MACHINE}"
_INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")


class NoStart(Exception):
    """The emulator did not come up or its function failed; the message is its log."""


@dataclass(frozen=True)
class Function:
    """What is started: a handler, the folders on its path, and its environment."""

    handler: str
    folders: tuple[Path, ...]
    environment: dict[str, str]


@dataclass
class Running:
    """A started function."""

    port: int
    log: Path
    pid: int

    def invoke(self, event: object) -> float:
        """Send an event, and return the milliseconds until its answer was there."""
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        started = time.perf_counter()
        with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=60) as answer:
            said: Any = json.load(answer)
        if isinstance(said, dict) and "errorMessage" in said:
            raise NoStart(f"{said}\n{self.log.read_text()[-2000:]}")
        return (time.perf_counter() - started) * 1000

    @property
    def init_ms(self) -> float:
        """How long the init took, as the emulator says."""
        return float(_INIT.findall(self.log.read_text())[0])

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
        of_threads = (Path("/proc") / str(self.pid) / "task").glob("*/children")
        [child] = [child for file in of_threads for child in file.read_text().split()]
        return Path("/proc") / child


@contextmanager
def started(function: Function, room: Path) -> Iterator[Running]:
    """Start a function in an emulator of its own, and end both."""
    room.mkdir(parents=True, exist_ok=True)
    (port, api), log = _free_ports(), room / "emulator.log"
    ends = ("--runtime-interface-emulator-address", "--runtime-api-address")
    places = [word for end, at in zip(ends, (port, api), strict=True) for word in (end, f"127.0.0.1:{at}")]
    line = [_emulator(), *places, sys.executable, "-m", "awslambdaric", function.handler]
    with log.open("wb") as out:
        process = subprocess.Popen(
            line, cwd=room, env=_surroundings(function), stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait_until_up(port, log)
        yield Running(port, log, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _surroundings(function: Function) -> dict[str, str]:
    path = os.pathsep.join(str(folder) for folder in function.folders)
    own = {"PATH": os.defpath, "PYTHONPATH": path, "LAMBDA_TASK_ROOT": str(function.folders[0])}
    # Lambda's task root is read-only, so nothing is compiled there either.
    own |= {"PYTHONDONTWRITEBYTECODE": "1", "AWS_LAMBDA_FUNCTION_NAME": "bench", "TZ": "UTC"}
    return function.environment | own | {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_TIMEOUT": "90"}


def _emulator() -> str:
    [found] = ROOT.glob(f".venv/lib/python3.*/site-packages/{_BINARY}")
    found.chmod(found.stat().st_mode | 0o111)
    return str(found)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait_until_up(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise NoStart(log.read_text())
