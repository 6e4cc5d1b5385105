"""A built function under Lambda's own runtime emulator, which the SAM CLI brings, and its Python client.

Only the artefact, the client and boto3 are on the path. There is no container: what is emulated is the protocol.
"""

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local.emulator import HOST, ROOT, free_port

PYTHON = ROOT / ".venv-runtime" / "bin" / "python"
_MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}


class RuntimeEmulatorError(Exception):
    """The runtime emulator cannot run here, or did not start; the message says why."""


@dataclass(frozen=True)
class Running:
    """A function in its runtime emulator, which takes one event at a time."""

    port: int
    pid: int
    log: IO[str]

    def invoke(self, event: object) -> Any:  # noqa: ANN401 - whatever the handler returns
        """Return the handler's answer; for an error that is a dict with `errorType`."""
        url = f"http://{HOST}:{self.port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own emulator
            return json.load(answer)

    @property
    def init_ms(self) -> float:
        """How long the cold start took, after an invocation. REPORT's own `Init Duration` is made up."""
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", self.logged)
        if found is None:
            raise RuntimeEmulatorError(f"no cold start was logged:\n{self.logged[-2000:]}")
        return float(found[1])

    @property
    def logged(self) -> str:
        """Everything that the function and its runtime have logged."""
        self.log.seek(0)
        return self.log.read()

    @property
    def cpu_ms(self) -> float:
        """The CPU time of the function's process so far, all threads."""
        tasks = (self._process / "task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    @property
    def peak_mb(self) -> float:
        """The most memory that the function's process had resident."""
        [kib] = re.findall(r"VmHWM:\s+(\d+) kB", (self._process / "status").read_text())
        return int(kib) / 1024

    @property
    def _process(self) -> Path:
        # /proc lists children by thread, and any thread of the emulator may have started it.
        [child] = [child for file in Path(f"/proc/{self.pid}/task").glob("*/children") for child in file.open()]
        return Path("/proc") / child.strip()


def emulator_program() -> Path:
    """Return the runtime emulator for this machine; raises `RuntimeEmulatorError` where there is none."""
    # It is found by its path: the environment of the measurements has no SAM CLI to import.
    name = f"site-packages/samcli/local/rapid/aws-lambda-rie-{_MACHINES.get(platform.machine())}"
    found = list(ROOT.glob(f".venv/lib/python3.*/{name}"))
    if platform.system() != "Linux" or not found:
        raise RuntimeEmulatorError("the SAM CLI's runtime emulator runs on Linux, on x86_64 and arm64")
    if not PYTHON.exists():
        raise RuntimeEmulatorError(f"make {PYTHON.parent.parent.name}/installed")
    return found[0]


@contextlib.contextmanager
def running(folder: Path, handler: str, environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a built function; the cold start is part of the first invocation."""
    port = free_port()
    command: list[str | Path] = [emulator_program(), "--runtime-interface-emulator-address", f"{HOST}:{port}"]
    command += ["--runtime-api-address", f"{HOST}:{free_port()}", PYTHON, "-m", "awslambdaric", handler]
    # It begins empty, so that no path or account of this machine reaches the function.
    surroundings = {
        "PATH": os.defpath,
        "LAMBDA_TASK_ROOT": str(folder),
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "90",
        # The artefact is read-only in Lambda, so no start leaves bytecode to the next.
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    with log.open("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=surroundings, stdout=output, stderr=output)
        try:
            _wait_until_up(port, process)
            yield Running(port, process.pid, output)
        finally:
            process.terminate()
            process.wait()


def _wait_until_up(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, port), timeout=30):
            return
    raise RuntimeEmulatorError(f"the runtime emulator ended by itself: exit code {process.returncode}")
