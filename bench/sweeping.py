"""What the sweep takes for each overdue notification: `python -m bench.sweeping COUNT`, over the stand-ins' server."""

import io
import json
import os
import statistics
import sys
import time
from datetime import timedelta

import boto3

import recheck
from bench.environment import SWEPT
from bench.handlers import log_to
from bench.server import waiting_record
from callback.clock import format_utc, utc_now


def main() -> None:
    """Sweep what is overdue, then five times nothing, and print both."""
    count = int(sys.argv[1])
    client, table = boto3.client("dynamodb"), os.environ["CREDIT_CARD_NOTIFY_TABLE"]
    due = format_utc(utc_now() - timedelta(minutes=10))
    printed = io.StringIO()
    log_to(printed)
    _swept()  # makes the clients
    for number in range(SWEPT.start, SWEPT.start + count):
        client.put_item(TableName=table, Item=waiting_record(number, due, due, number % 16))
    # On a slow machine it may not come to the end of them within its time.
    (ms, cpu_ms, handed_over), idle = _swept(), [_swept() for _ in range(5)]
    idle_ms, idle_cpu_ms = (statistics.median(one[part] for one in idle) for part in (0, 1))
    found = {"ms": ms / handed_over, "cpu_ms": cpu_ms / handed_over, "idle_ms": idle_ms, "idle_cpu_ms": idle_cpu_ms}
    print(json.dumps(found | {"log_bytes": len(printed.getvalue().splitlines()[-1])}))


def _swept() -> tuple[float, float, int]:
    began, cpu = time.perf_counter(), time.process_time()
    counts = recheck.sweep_handler({}, None)
    return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000, counts["handedOver"]


if __name__ == "__main__":
    main()
