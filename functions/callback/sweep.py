"""The sweep: a timer is no guarantee, so what should have moved on long ago is handed to Recheck (brief: the flow).

It changes nothing itself, save that what has had all its attempts ends in `FAILED`.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from callback.app import Application
from callback.clock import moment
from callback.errors import AttemptsExhausted, FollowUpError, InvalidRecord, SweepIncomplete
from callback.log import logger
from callback.metric import counted
from callback.rechecks import RecheckInput, recheck_input
from callback.record import SWEEP_SHARDS
from callback.report import Subject, report, tell_of_held_mails
from callback.table import Item

# Twice what Scheduler may be late: it fires within the minute (docs/decisions/02).
GRACE = timedelta(seconds=120)
# The bound of one run is this for each shard, the oldest first: what is left over is the next run's.
PER_SHARD = 100


def sweep(app: Application) -> Counter[str]:
    """Deal with each overdue notification, and return how many were found, and what became of them.

    Raises `SweepIncomplete` in the end where a part could not be done: one fault never keeps the rest waiting.
    """
    counts: Counter[str] = Counter(overdue=0, handedOver=0, leased=0, failed=0, undone=0)
    oldest = now = app.clock()
    for shard in range(SWEEP_SHARDS):
        found: list[Item] = []
        with _apart(counts, f"shard {shard} could not be read"):
            found = app.records.overdue(shard, now - GRACE, PER_SHARD)
        for item in found:
            counts["overdue"] += 1
            oldest = min(oldest, _due(item, oldest))
            with _apart(counts, "a notification could not be dealt with"):
                counts[_dealt_with(app, item)] += 1
    age = int((now - oldest).total_seconds())
    logger.info("swept", extra=counts | counted(app.settings.branch, "OldestOverdue", age, "Seconds"))
    tell_of_held_mails(app)
    if counts["undone"]:
        raise SweepIncomplete(f"{counts['undone']} parts of the sweep could not be done")
    return counts


def _dealt_with(app: Application, item: Item) -> str:
    try:
        record, due = app.records.read(item), moment(item["nextPassDue"])
        asked = RecheckInput.read(recheck_input(record, due), InvalidRecord)
    except InvalidRecord as error:
        return _given_up(app, item, error)
    if record.leased:
        return "leased"
    if record.attempts_made >= app.settings.max_attempts:
        return _given_up(app, item, AttemptsExhausted(record.next_pass, "who tried died of it"))
    app.rechecks.start(asked)
    return "handedOver"


def _given_up(app: Application, item: Item, error: FollowUpError) -> str:
    # Told first, ended then: whoever dies between has not ended it in silence.
    about = Subject({name: str(item[name]) for name in ("orderId", "chargeId", "notificationId") if name in item})
    report(app, error, "sweep", item, about)
    return "failed" if app.records.give_up(item, error) else "leased"


def _due(item: Item, otherwise: datetime) -> datetime:
    try:
        return moment(item["nextPassDue"])
    except ValueError:  # spoilt by another hand: it will be told as `InvalidRecord`
        return otherwise


@contextmanager
def _apart(counts: Counter[str], what: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        counts["undone"] += 1
        logger.error(what, extra={"reason": str(error)})
