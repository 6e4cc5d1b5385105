"""The sweep: a timer is no guarantee, so what should have moved on is handed to Recheck.

It runs no pass and claims none. Each record that it looks at moves back in its line, so that none waits behind those
that keep failing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from callback.errors import FollowUpError, GaveUp, SpoiltRecord
from callback.log import by_proof, log
from callback.record import FIRST_UNPROVED, PROVED, SWEEP_SHARDS, Record, Records, read_record
from callback.report import Reporter
from callback.table import AWS_ERRORS, Item
from callback.timer import TimerInput, timer_input

# Until just before the next sweep begins.
_RUN_FOR = timedelta(seconds=50)
# From each shard: forgeries whose passes hang must not use up the account's concurrency.
_UNPROVED_AT_ONCE = 50
# What the sweep reads is due, and a claim lasts minutes.
_FURTHEST_AHEAD = timedelta(minutes=10)
# Recheck ends what fails for too long; the sweep ends what no Recheck lived to end.
_GRACE = timedelta(hours=1)

Counts = Counter[str]
ShardMap = Callable[[Callable[[int], Counts], Iterable[int]], Iterable[Counts]]


def all_at_once(work: Callable[[int], Counts], shards: Iterable[int]) -> Iterable[Counts]:
    """Work on all shards at the same time, so that none waits for another."""
    with ThreadPoolExecutor(SWEEP_SHARDS) as threads:
        return list(threads.map(work, shards))


@dataclass
class Sweep:
    """Works through the index `due`."""

    records: Records
    client: Any
    reporter: Reporter
    shard_map: ShardMap

    def run(self) -> Counts:
        """Hand over what is overdue, and count what became of it; one fault never holds up the rest.

        `OldestOverdue` is reported in seconds since the pass was first due, and only where all that is due was read.
        """
        self._until = self.records.clock() + _RUN_FOR
        self._ages = {by_proof("OldestOverdue", status): [timedelta()] for status in (PROVED, None)}
        counts: Counts = Counter(handedOver=0, inProgress=0, moved=0, failed=0, errors=0, unread=0)
        for found in self.shard_map(self._sweep_shard, range(SWEEP_SHARDS)):
            counts.update(found)
        log.bind(**counts)
        log.metric("ShardsUnread", counts["unread"])
        for name, ages in self._ages.items() if not counts["unread"] else ():
            log.metric(name, int(max(ages).total_seconds()))
        return counts

    def _sweep_shard(self, shard: int) -> Counts:
        counts: Counts = Counter()
        try:
            for found in islice(self.records.due_keys(shard), None if shard < FIRST_UNPROVED else _UNPROVED_AT_ONCE):
                if self.records.clock() >= self._until:
                    break
                counts[self._move_on(found)] += 1
        except AWS_ERRORS as error:
            log.warn(f"shard {shard} could not be read: {error}")
            counts["unread"] += 1
        return counts

    def _move_on(self, found: Item) -> str:
        item: Item = {}
        try:
            item = self.records.move_back(found)
            return self._hand_over(item) if item else "moved"
        except Exception as error:  # noqa: BLE001 - whatever it is, the others of the shard go on
            log.warn(f"{found['notificationId']} could not be handed over: {error}")
            if not isinstance(error, AWS_ERRORS):
                vars(error)["about"] = found
                self.reporter.report(error)
            return "errors" if item else "unread"

    def _hand_over(self, item: Item) -> str:
        now, recheck = self.records.clock(), self.records.settings.recheck_function_arn
        try:
            record = _read(item, now)
        except SpoiltRecord as error:
            return self._end(item, error)
        # In one atomic step, since other threads do the same.
        self._ages[by_proof("OldestOverdue", record.checksum_status)].append(record.overdue(now))
        if record.is_claimed(now):
            return "inProgress"
        if self.records.has_failed_too_long(record, _GRACE):
            number, last = record.next_pass, record.last_error or "its attempts recorded nothing"
            return self._end(item, GaveUp(number, f"given up: {last.rpartition(f'pass {number}: ')[2]}"))
        payload = json.dumps(timer_input(record))
        self.client.invoke(FunctionName=recheck, InvocationType="Event", Payload=payload)
        return "handedOver"

    def _end(self, item: Item, error: FollowUpError) -> str:
        # Reported before it ends, so that a crash between the two cannot hide it.
        error.about = item
        self.reporter.report(error)
        return "failed" if self.records.end_unclaimed(item, error) else "moved"


def _read(item: Item, now: datetime) -> Record:
    record = read_record(item)
    TimerInput.parse(timer_input(record), SpoiltRecord)  # Recheck would refuse it for ever
    if max(record.lease_until or now, record.next_pass_due or now) > now + _FURTHEST_AHEAD:
        raise SpoiltRecord("leaseUntil, nextPassDue", "times that have come, or are near")
    return record
