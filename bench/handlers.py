"""This project's handlers in a process that measures them; `study` and `sweep` run in a worker."""

import io
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore import xform_name

import delayednotify
import recheck
from bench.replay import RECORDED_NUMBER
from bench.standins import Answer, Standins, in_process, waiting_record
from bench.subjects import steps_of
from bench.tables import size
from callback.app import Application
from callback.clock import format_utc, utc_now
from callback.log import logger
from callback.settings import read_settings

# What DynamoDB adds to each item and each entry of an index.
_ITEM_OVERHEAD = 100


def use(clock: Callable[[], datetime], shard_map: Any = None) -> dict[str, Any]:  # noqa: ANN401 - the sweep's own
    """Have the handlers use another clock, in an application from the environment, and return them."""
    app, modules = Application(read_settings(os.environ), clock, shard_map), (delayednotify, recheck)
    for module in modules:
        vars(module)["application"] = lambda: app
    return {
        "DelayedNotify": delayednotify.lambda_handler,
        "Recheck": recheck.lambda_handler,
        "Sweep": recheck.sweep_handler,
        "Retry": delayednotify.retry_handler,
    }


def log_to(stream: io.TextIOBase | None = None) -> None:
    """Have the log written somewhere, by default nowhere; it was given standard output when it was imported."""
    handler: Any = logger.registered_handler
    handler.stream = stream or Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends


class _Recorder(Standins):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def answer(self, service: str, operation: str, request: dict[str, Any]) -> Answer:
        self.calls.append((service, operation, request))
        return super().answer(service, operation, request)

    def run(self, steps: list[Callable[[int], object]], number: int) -> list[list[tuple[str, str, dict[str, Any]]]]:
        """Run a notification, and return the calls of each invocation."""
        made = []
        for step in steps:
            self.calls = []
            step(number)
            made.append(self.calls)
        return made


def study(subject: str) -> dict[str, Any]:
    """Run a cold notification and a warm one of a subject; return the calls, the table units and what is stored."""
    standins = _Recorder()
    in_process(standins)
    with redirect_stdout(io.StringIO()):
        steps = steps_of(subject)
        cold = standins.run(steps, RECORDED_NUMBER)
        for table in standins.tables.values():
            table.units.clear()
        warm = standins.run(steps, 0)
    units = sum((table.units for table in standins.tables.values()), Counter[str]())
    item = json.loads(list(standins.records.items.values())[-1])
    entries = {name: standins.records.entry(item, name) for name in standins.records.keys if name}
    return {
        "calls": Counter(f"{service}.{operation}" for made in warm for service, operation, _ in made),
        "cold_calls": len(cold[0]),
        "warm_calls": [len(made) for made in warm],
        "writes": units["write"],
        "reads": units["read"],
        "index_writes": sum(count for name, count in units.items() if name.startswith("index ")),
        "due_writes": units["index due"],
        "record_bytes": size(item) + _ITEM_OVERHEAD,
        "index_bytes": {name: size(entry) + _ITEM_OVERHEAD for name, entry in entries.items() if entry},
        "recorded": [
            [(service, xform_name(name), json.dumps(asked)) for service, name, asked in made] for made in cold
        ],
    }


def sweep(first: int, count: int) -> dict[str, float]:
    """Sweep so many overdue records over HTTP, then five times nothing; what is overdue is counted in CPU time."""
    client, printed, due = boto3.client("dynamodb"), io.StringIO(), {"S": format_utc(utc_now() - timedelta(minutes=10))}
    log_to(printed)
    _swept()  # makes the clients
    for number in range(first, first + count):
        times = {"nextPassDue": due, "firstDue": due, "sweepAt": due, "sweepShard": {"N": str(number % 16)}}
        client.put_item(TableName=os.environ["CREDIT_CARD_NOTIFY_TABLE"], Item=waiting_record(number) | times)
    # A slow machine may not reach the end within a sweep's time.
    (_, cpu_ms, handed_over), idle = _swept(), [_swept() for _ in range(5)]
    idle_ms = statistics.median(ms for ms, _, _ in idle)
    log_bytes = len(printed.getvalue().splitlines()[-1])
    return {"cpu_ms": cpu_ms / handed_over, "idle_ms": idle_ms, "log_bytes": log_bytes}


def _swept() -> tuple[float, float, int]:
    began, cpu = time.perf_counter(), time.process_time()
    found = recheck.sweep_handler({}, None)
    return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000, found["handedOver"]
