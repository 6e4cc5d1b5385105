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
from typing import Any

from artefact.runtime import PYTHON, RuntimeEmulatorError, running
from bench.facts import ROOM, ROOT
from bench.notifications import WAITING, notification, timer, variables

OURS, PREVIOUS = "DelayedNotify", "DelayedNotify, previous edition"
PLAIN, COMPILED = "boto3 + clients, plain", "boto3 + clients, bytecode"
# A handler, and the folder that it is in.
_VARIANTS = {
    COMPILED: ("floor.lambda_handler", "floor"),
    PLAIN: ("floor.lambda_handler", "floor-plain"),
    OURS: ("delayednotify.lambda_handler", "ours"),
    "DelayedNotify, plain": ("delayednotify.lambda_handler", "ours-plain"),
    "DelayedNotify, boto3 bundled": ("delayednotify.lambda_handler", "ours-bundled"),
    PREVIOUS: ("delayednotify.lambda_handler", "previous"),
    "Recheck": ("recheck.lambda_handler", "ours"),
    "Recheck, previous edition": ("recheck.lambda_handler", "previous"),
    "Sweep": ("recheck.sweep_handler", "ours"),
}
# boto3 and what it imports, beside six.
_BOTO = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil")
_WITHOUT_BYTECODE = shutil.ignore_patterns("__pycache__")
FOLDERS = ROOM / "functions"
# The last commit of the edition before this one.
_PREVIOUS_COMMIT = "767a660c68e84cfedd45fa7365e2a75d8b28c39a"
# As many calls as a delivery makes, by clients that are made at init, as is usual.
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


def measure(url: str, first: int, *, quick: bool) -> dict[str, dict[str, list[float]]]:
    """Start the variants in turn, so that the machine's load is the same for all; return each figure's values."""
    _make()
    found, fresh, waiting = defaultdict[str, list[dict[str, float]]](list), itertools.count(first), iter(WAITING)
    events: dict[str, Callable[[], dict[str, Any]]] = {
        "recheck.lambda_handler": lambda: timer(next(waiting)),
        "recheck.sweep_handler": dict,
    }
    for turn in range(3 if quick else 13):
        for name, (handler, folder) in _VARIANTS.items():
            if (FOLDERS / folder).exists():
                event = events.get(handler, lambda: notification(next(fresh)))
                # How memory grows with invocations is measured once.
                one = _start(handler, FOLDERS / folder, url, [event() for _ in range(20 if turn == 1 else 1)])
                found[name] += [one] if turn else []  # the first fills the machine's file cache
    return {name: {part: [one[part] for one in each] for part in each[0]} for name, each in found.items()}


def _start(handler: str, folder: Path, url: str, events: list[dict[str, Any]]) -> dict[str, float]:
    environment = variables(0, url) | {"PYTHONPATH": str(folder), "TZ": "UTC"}
    with running(folder, handler, environment, FOLDERS / "emulator.log") as function:
        began = time.perf_counter()
        answers = [function.invoke(events[0])]
        whole_ms = (time.perf_counter() - began) * 1000
        found = {"init": function.init_ms, "first": whole_ms - function.init_ms, "whole": whole_ms}
        found |= {"cpu": function.cpu_ms, "peak": function.peak_mb}
        answers += [function.invoke(event) for event in events[1:]]
        if any("errorMessage" in answer for answer in answers):
            raise RuntimeEmulatorError(function.logged[-2000:])
        return found | {"later peak": function.peak_mb}


def _make() -> None:
    shutil.rmtree(FOLDERS, ignore_errors=True)
    shutil.copytree(ROOT / "functions", FOLDERS / "sources", ignore=_WITHOUT_BYTECODE)
    _build(FOLDERS / "sources", FOLDERS / "ours")
    shutil.copytree(FOLDERS / "ours", FOLDERS / "ours-plain", ignore=_WITHOUT_BYTECODE)
    shutil.copytree(FOLDERS / "ours", FOLDERS / "ours-bundled")
    _bundle_boto3(FOLDERS / "ours-bundled")
    for name in ("floor", "floor-plain"):
        (FOLDERS / name).mkdir()
        (FOLDERS / name / "floor.py").write_text(_FLOOR)
    _bundle_boto3(FOLDERS / "floor-plain", _WITHOUT_BYTECODE)
    history = ["git", "archive", "--format=tar", _PREVIOUS_COMMIT, "functions"]
    found = subprocess.run(history, cwd=ROOT, capture_output=True, check=False)
    if not found.returncode:  # a shallow clone has no previous edition
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as sources:
            sources.extractall(FOLDERS / "history", filter="data")
        _build(FOLDERS / "history" / "functions", FOLDERS / "previous")


def _bundle_boto3(folder: Path, ignore: Any = None) -> None:  # noqa: ANN401 - shutil's own
    """Copy the runtime's boto3 into a function."""
    [site_packages] = (PYTHON.parent.parent / "lib").glob("python*/site-packages")
    for name in _BOTO:
        shutil.copytree(site_packages / name, folder / name, ignore=ignore, dirs_exist_ok=True)
    shutil.copy(site_packages / "six.py", folder)


def _build(sources: Path, target: Path) -> None:
    """Build as `sam build` does: by the Makefile of the functions."""
    target.mkdir()
    # A separate make, even where make started this.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    line = ["make", "build-DelayedNotifyFunction", f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
    done = subprocess.run(line, cwd=sources, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not list(target.rglob("*.pyc")):
        raise RuntimeError(f"{' '.join(line)}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
