"""Cold starts by Lambda's own runtime emulator: this edition, the one before it, and bare handlers."""

import compileall
import io
import itertools
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from artefact.runtime import PYTHON, RuntimeEmulatorError, running
from artefact.starts import WITHOUT_BYTECODE, bundle_boto3
from bench.facts import ROOM as _ROOM
from bench.facts import ROOT
from bench.notifications import WAITING, notification, timer, variables

OURS, PREVIOUS = "DelayedNotify", "DelayedNotify, previous edition"
PLAIN, COMPILED = "boto3 + clients, plain", "boto3 + clients, bytecode"
COMPARED = {"ours": OURS, "plain": PLAIN, "compiled": COMPILED}
FUNCTIONS = (OURS, "Recheck", "Sweep")
_VARIANTS = {
    "bare handler": ("bare.lambda_handler", "bare"),
    COMPILED: ("floor.lambda_handler", "floor"),
    PLAIN: ("floor.lambda_handler", "floor-plain"),
    OURS: ("delayednotify.lambda_handler", "ours"),
    PREVIOUS: ("delayednotify.lambda_handler", "previous"),
    "Recheck": ("recheck.lambda_handler", "ours"),
    "Recheck, previous edition": ("recheck.lambda_handler", "previous"),
    "Sweep": ("recheck.sweep_handler", "ours"),
}
ROOM = _ROOM / "functions"
# The last commit of the edition before this one.
_PREVIOUS_COMMIT = "767a660c68e84cfedd45fa7365e2a75d8b28c39a"
_BARE = "def lambda_handler(event, context):\n    return {}\n"
_FLOOR = """import json
from replay import Replay

calls = Replay()

def lambda_handler(event, context):
    calls.deliver(int(json.loads(event["body"])["id"][-22:], 16))
    return {}
"""


class Start(NamedTuple):
    """One cold start."""

    init_ms: float
    first_ms: float
    cpu_ms: float
    peak_mb: float
    later_peak_mb: float

    @property
    def whole_ms(self) -> float:
        """Init and first invocation."""
        return self.init_ms + self.first_ms


def measure(url: str, first: int, *, quick: bool) -> dict[str, list[Start]]:
    """Start every variant in turn, so that all of them meet the same minutes of the machine."""
    _make()
    found, fresh, waiting = defaultdict[str, list[Start]](list), itertools.count(first), iter(WAITING)
    for turn in range(3 if quick else 13):
        for name, (handler, folder) in _VARIANTS.items():
            if not (ROOM / folder).exists():
                continue
            # How memory grows with invocations is seen once.
            next_event = _events(handler, fresh, waiting)
            one = _start(handler, ROOM / folder, url, [next_event() for _ in range(20 if turn == 1 else 1)])
            if turn:  # the first fills the machine's file cache
                found[name].append(one)
    return found


def _events(handler: str, fresh: Iterable[int], waiting: Iterable[int]) -> Callable[[], object]:
    if handler == "recheck.sweep_handler":
        return dict
    events = map(timer, waiting) if handler == "recheck.lambda_handler" else map(notification, fresh)
    return lambda: next(events)


def _start(handler: str, folder: Path, url: str, events: list[object]) -> Start:
    environment = variables(0, url) | {"PYTHONPATH": str(folder), "TZ": "UTC"}
    with running(folder, handler, environment, ROOM / "emulator.log") as function:
        began = time.perf_counter()
        for number, event in enumerate(events):
            answer = function.invoke(event)
            if number == 0:
                whole, cpu, peak = (time.perf_counter() - began) * 1000, function.cpu_ms, function.peak_mb
            if isinstance(answer, dict) and "errorMessage" in answer:
                raise RuntimeEmulatorError(f"{answer}\n{function.logged[-2000:]}")
        return Start(function.init_ms, whole - function.init_ms, cpu, peak, function.peak_mb)


def import_ms() -> Counter[str]:
    """Return the milliseconds that importing DelayedNotify takes, by package."""
    line: list[str | Path] = [PYTHON, "-X", "importtime", "-c", "import delayednotify"]
    environment = {"PYTHONPATH": str(ROOM / "ours"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    packages = Counter[str]()
    for own, name in re.findall(r"import time: +(\d+) \| +\d+ \| +(\w+)", done.stderr):
        packages[name] += int(own) / 1000  # type: ignore[assignment]
    return packages


def _make() -> None:
    shutil.rmtree(ROOM, ignore_errors=True)
    (ROOM / "bare").mkdir(parents=True)
    (ROOM / "bare" / "bare.py").write_text(_BARE)
    _build(ROOT / "functions", ROOM / "ours")
    history = ["git", "archive", "--format=tar", _PREVIOUS_COMMIT, "functions"]
    found = subprocess.run(history, cwd=ROOT, capture_output=True, check=False)
    if not found.returncode:  # a shallow clone has no previous edition
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as sources:
            sources.extractall(ROOM / "sources", filter="data")
        _build(ROOM / "sources" / "functions", ROOM / "previous")
    for name in ("floor", "floor-plain"):
        (ROOM / name).mkdir()
        (ROOM / name / "floor.py").write_text(_FLOOR)
        shutil.copy(ROOT / "bench" / "replay.py", ROOM / name)
    bundle_boto3(ROOM / "floor-plain", bytecode=False)
    # Beside the sources, even where bytecode is kept elsewhere (PYTHONPYCACHEPREFIX).
    sys.pycache_prefix = None
    for name in ("bare", "floor"):
        compileall.compile_dir(ROOM / name, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _build(sources: Path, target: Path) -> None:
    """Build as `sam build` does: by the Makefile of the functions, from a copy of them."""
    copy = ROOM / f"{target.name}-copy"
    shutil.copytree(sources, copy, ignore=WITHOUT_BYTECODE)
    target.mkdir()
    # A make of its own, whatever started this one.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    line = ["make", "build-DelayedNotifyFunction", f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
    done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not list(target.rglob("*.pyc")):
        raise RuntimeError(f"{' '.join(line)}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
