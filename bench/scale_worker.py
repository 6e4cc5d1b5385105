"""A process that runs so many notifications in process over the stand-ins: `python -m bench.scale_worker N OVERDUE`."""

import gc
import json
import os
import re
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import delayednotify
import recheck
from bench.environment import notification, timer, variables
from bench.handlers import silently, with_clock
from bench.inprocess import listen
from bench.standins import Standins
from callback.clock import utc_now


class Clock:
    """The present, and some time more."""

    ahead = timedelta()

    def __call__(self) -> Any:  # noqa: ANN401 - a datetime
        """Return the time that it shows."""
        return utc_now() + self.ahead


def main() -> None:
    """Run the notifications to their end, leave some overdue, sweep, and print what each took."""
    count, overdue = int(sys.argv[1]), int(sys.argv[2])
    os.environ.update(variables(300))
    standins, clock = Standins(), Clock()
    listen(standins)
    with_clock(clock, lambda work, shards: list(map(work, shards)))
    silently()
    # So many that the room which the imports left free is used up, and each further one is seen.
    _notifications(range(900_000, 902_000), clock)
    gc.collect()
    resident_before, kept_before = resident(), _kept(standins)
    seconds = _notifications(range(count), clock)
    gc.collect()
    grown, kept = resident() - resident_before, _kept(standins) - kept_before
    clock.ahead = timedelta()
    for number in range(count, count + overdue):
        delayednotify.lambda_handler(notification.__wrapped__(number), None)
    swept = _swept(standins, clock)
    print(json.dumps({"seconds": seconds, "grown": grown, "kept": kept, **swept}))


def _kept(standins: Standins) -> int:
    return sum(len(item) for item in standins.tables["CreditCardNotifyTable"].items.values())


def _notifications(numbers: range, clock: Clock) -> float:
    taken = 0.0
    for number in numbers:
        event = notification.__wrapped__(number)  # not kept: they would be what grows
        clock.ahead = timedelta()
        started = time.process_time()
        delayednotify.lambda_handler(event, None)
        clock.ahead = timedelta(seconds=62)
        recheck.lambda_handler(timer(number), None)
        taken += time.process_time() - started
    return taken


def _swept(standins: Standins, clock: Clock) -> dict[str, object]:
    standins.calls = Counter()
    standins.forget_units()
    clock.ahead = timedelta(minutes=10)
    began = time.process_time()
    recheck.sweep_handler({}, None)
    taken = time.process_time() - began
    units = standins.tables["CreditCardNotifyTable"].units["read"]
    return {"sweep_ms": taken * 1000, "queries": standins.calls["dynamodb.Query"], "read_units": units}


def resident() -> int:
    """Return the bytes that this process has resident."""
    [kib] = re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) * 1024


if __name__ == "__main__":
    main()
