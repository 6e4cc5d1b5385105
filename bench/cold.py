"""Cold starts by Lambda's own runtime emulator: this edition, the one before it, and boto3 alone."""

import io
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from artefact.runtime import RuntimeEmulatorError, running
from artefact.starts import WITHOUT_BYTECODE, bundle_boto3
from bench.facts import ROOM, ROOT
from bench.notifications import WAITING, notification, timer, variables

OURS, PREVIOUS = "DelayedNotify", "DelayedNotify, previous edition"
PLAIN, COMPILED = "boto3 + clients, plain", "boto3 + clients, bytecode"
COMPARED = {"ours": OURS, "plain": PLAIN, "compiled": COMPILED}
FUNCTIONS = (OURS, "Recheck", "Sweep")
# A handler, and the folder that it is in.
_VARIANTS = {
    COMPILED: ("floor.lambda_handler", "floor"),
    PLAIN: ("floor.lambda_handler", "floor-plain"),
    OURS: ("delayednotify.lambda_handler", "ours"),
    PREVIOUS: ("delayednotify.lambda_handler", "previous"),
    "Recheck": ("recheck.lambda_handler", "ours"),
    "Recheck, previous edition": ("recheck.lambda_handler", "previous"),
    "Sweep": ("recheck.sweep_handler", "ours"),
}
FOLDERS = ROOM / "functions"
# The last commit of the edition before this one.
_PREVIOUS_COMMIT = "767a660c68e84cfedd45fa7365e2a75d8b28c39a"
# As many calls as a delivery makes, by clients that are made at init, as everyone writes it.
_FLOOR = """import os
import boto3
from botocore.config import Config

quick = Config(connect_timeout=1, read_timeout=60, retries={"total_max_attempts": 1})
services = ("dynamodb", "lambda", "scheduler", "secretsmanager")
dynamodb, function, scheduler, secrets = (boto3.client(name, config=quick) for name in services)

def lambda_handler(event, context):
    name = event["requestContext"]["requestId"]
    secrets.get_secret_value(SecretId="a-secret")
    for _ in range(5):
        dynamodb.get_item(TableName=os.environ["ORDER_TABLE"], Key={"orderId": {"S": name}}, ConsistentRead=True)
    payload = '{"orderId": "ORDER-1"}'
    function.invoke(FunctionName=os.environ["PROCESS_PAID_ORDER_FUNCTION"], Payload=payload)["Payload"].read()
    target = {"Arn": "arn:aws:lambda:::function:f", "RoleArn": "arn:aws:iam::123456789012:role/r", "Input": payload}
    at = {"ScheduleExpression": "at(2026-11-22T09:32:18)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    scheduler.create_schedule(Name=name, Target=target, **at)
    return {}
"""


class Start(NamedTuple):
    """One cold start."""

    init_ms: float
    first_ms: float
    whole_ms: float
    cpu_ms: float
    peak_mb: float
    later_peak_mb: float


def measure(url: str, first: int, *, quick: bool) -> dict[str, list[Start]]:
    """Start every variant in turn, so that all of them meet the same minutes of the machine."""
    _make()
    found, fresh, waiting = defaultdict[str, list[Start]](list), itertools.count(first), iter(WAITING)
    events: dict[str, Callable[[], dict[str, Any]]] = {
        "recheck.lambda_handler": lambda: timer(next(waiting)),
        "recheck.sweep_handler": dict,
    }
    for turn in range(3 if quick else 13):
        for name, (handler, folder) in _VARIANTS.items():
            if (FOLDERS / folder).exists():
                event = events.get(handler, lambda: notification(next(fresh)))
                # How memory grows with invocations is seen once.
                one = _start(handler, FOLDERS / folder, url, [event() for _ in range(20 if turn == 1 else 1)])
                found[name] += [one] if turn else []  # the first fills the machine's file cache
    return found


def _start(handler: str, folder: Path, url: str, events: list[dict[str, Any]]) -> Start:
    environment = variables(0, url) | {"PYTHONPATH": str(folder), "TZ": "UTC"}
    with running(folder, handler, environment, FOLDERS / "emulator.log") as function:
        began = time.perf_counter()
        answers = [function.invoke(events[0])]
        whole, cpu, peak = (time.perf_counter() - began) * 1000, function.cpu_ms, function.peak_mb
        answers += [function.invoke(event) for event in events[1:]]
        if any("errorMessage" in answer for answer in answers):
            raise RuntimeEmulatorError(function.logged[-2000:])
        return Start(function.init_ms, whole - function.init_ms, whole, cpu, peak, function.peak_mb)


def _make() -> None:
    shutil.rmtree(FOLDERS, ignore_errors=True)
    _build(ROOT / "functions", FOLDERS / "ours")
    history = ["git", "archive", "--format=tar", _PREVIOUS_COMMIT, "functions"]
    found = subprocess.run(history, cwd=ROOT, capture_output=True, check=False)
    if not found.returncode:  # a shallow clone has no previous edition
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as sources:
            sources.extractall(FOLDERS / "sources", filter="data")
        _build(FOLDERS / "sources" / "functions", FOLDERS / "previous")
    for name in ("floor", "floor-plain"):
        (FOLDERS / name).mkdir()
        (FOLDERS / name / "floor.py").write_text(_FLOOR)
    bundle_boto3(FOLDERS / "floor-plain", bytecode=False)


def _build(sources: Path, target: Path) -> None:
    """Build as `sam build` does: by the Makefile of the functions, from a copy of them."""
    copy = FOLDERS / f"{target.name}-copy"
    shutil.copytree(sources, copy, ignore=WITHOUT_BYTECODE)
    target.mkdir()
    # A separate make, even where make started this.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    line = ["make", "build-DelayedNotifyFunction", f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
    done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not list(target.rglob("*.pyc")):
        raise RuntimeError(f"{' '.join(line)}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
