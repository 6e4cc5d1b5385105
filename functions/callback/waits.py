"""How long a failed pass waits, and where the sweep looks for what waits."""

import hashlib
import random
from datetime import timedelta

# Scheduler fires within the minute after the time that was asked for; twice that is late.
OVERDUE_AFTER = timedelta(seconds=120)
# Long enough that an hour of throttling does not fill Lambda's queue with copies.
HANDED_OVER_WAIT = timedelta(minutes=5)
# All of an outage's notifications are to be done 15 minutes after it. The longest wait leaves room for a last attempt
# that hangs, the sweep's minute and the second pass.
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(minutes=10)
_JITTER = 0.2
# Moving a record in the index costs two writes. A few seconds are not worth them.
NOT_WORTH_MOVING = timedelta(seconds=15)

SWEEP_SHARDS = 16
# Proved payments that have hardly failed, those that fail often, and what no checksum proves: none waits for another.
_PROVED, _FAILING, _UNPROVED = range(4), range(4, 12), range(12, SWEEP_SHARDS)
_FAILS_OFTEN = 3


def wait_after_failure(overdue: timedelta) -> timedelta:
    """Return a quarter of the time since the pass was first due, at least 1 and at most 10 minutes, with jitter."""
    wait = min(overdue / 4, _LONGEST) * (1 - _JITTER * random.random())  # noqa: S311 - no secret
    return max(wait, _SHORTEST)


def sweep_shard(charge_id: str, notification_id: str, *, proved: bool, failures: int) -> int:
    """Return the shard of the index `due` that a record waits in."""
    lane = _UNPROVED if not proved else _FAILING if failures >= _FAILS_OFTEN else _PROVED
    return lane[hash_ids(charge_id, notification_id)[0] % len(lane)]


def hash_ids(charge_id: str, notification_id: str) -> bytes:
    """Hash the ids of a notification. Ids hold no line end, so no two notifications share a hash."""
    return hashlib.sha256(f"{charge_id}\n{notification_id}".encode()).digest()
