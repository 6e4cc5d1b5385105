"""Runs one function of the measurements in a separate process: `python -m bench.worker MODULE.FUNCTION ARGUMENTS`."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.facts import ROOT
from bench.notifications import variables

# The simulation runs in .venv, which has the tests' libraries.
PYTHON = str(ROOT / ".venv" / "bin" / "python")
_UNREACHABLE = "http://127.0.0.1:1"
Process = subprocess.Popen[str]
# The milliseconds that each call took, and its milliseconds of CPU.
Spent = list[tuple[float, float]]
_started: list[Process] = []


def start(function: str, *given: object, latency_ms: int = 300, url: str = _UNREACHABLE, **changes: str) -> Process:
    """Start a process that calls a function; its arguments are JSON, its environment is a Lambda function's."""
    python = PYTHON if function.startswith("simulation.") else sys.executable
    words = [python, "-m", "bench.worker", function, json.dumps(given)]
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}", "PYTHONHASHSEED": "0"}
    environment, pipe = variables(latency_ms, url) | own | changes, subprocess.PIPE
    process = subprocess.Popen(words, env=environment, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    _started.append(process)
    return process


def finish(process: Process) -> Any:  # noqa: ANN401 - the function's result
    """Wait for a process, and return its function's result."""
    out, error = process.communicate(timeout=1200)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{error[-3000:]}")
    return json.loads(out.splitlines()[-1])


def run(function: str, *given: object, **how: Any) -> Any:  # noqa: ANN401 - the function's result
    """Call a function in a separate process, and return its result."""
    return finish(start(function, *given, **how))


def stop() -> None:
    """Kill what is still running after an error or a Ctrl-C."""
    for process in _started:
        process.kill()
        process.wait()


def timed(function: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    """Return the function, which then notes what each call takes."""

    def run(*given: object) -> Any:  # noqa: ANN401 - what the function returns
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return function(*given)
        finally:
            spent.append(((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))

    return run


if __name__ == "__main__":
    module, name = sys.argv[1].split(".")
    print(json.dumps(getattr(importlib.import_module(f"bench.{module}"), name)(*json.loads(sys.argv[2]))))
