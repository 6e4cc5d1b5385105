"""What an outage of each dependency costs, in the model of AWS. `make outages` writes the tables of docs/outages.md."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from math import ceil
from typing import Any

import pytest

from followups.output import span
from local.emulator import ROOT
from tests.support.aws import HANDLERS, START, World, sample, worlds
from tests.support.documents import rewritten
from tests.support.lambda_model import DELAYED_NOTIFY, RECHECK, SWEEP, Metrics, Model
from tests.support.steps import FORM_CHARGE

FILE = ROOT / "docs" / "outages.md"
# How long each lasts, and how far apart the notifications come: fewer in a long outage, so that all of them take
# minutes, and never at a multiple of the waits.
LENGTHS = {
    "10 minutes": (timedelta(minutes=10), timedelta(minutes=1)),
    "1 hour": (timedelta(hours=1), timedelta(minutes=2)),
    "6 hours": (timedelta(hours=6), timedelta(minutes=13)),
    "24 hours": (timedelta(hours=24), timedelta(minutes=47)),
    "80 hours": (timedelta(hours=80), timedelta(minutes=187)),
}
# What is down, and how each of it fails.
CASES: dict[str, Mapping[str, str]] = {
    "CreditCardNotifyTable fails": {"CreditCardNotifyTable": "server error"},
    "CreditCardNotifyTable hangs": {"CreditCardNotifyTable": "hanging"},
    "CardPaymentRecordTable is denied": {"CardPaymentRecordTable": "denied"},
    "CardPaymentRecordTable hangs": {"CardPaymentRecordTable": "hanging"},
    "the order table is throttled": {"order table": "throttled"},
    "CallbackErrorLogTable fails": {"CallbackErrorLogTable": "server error"},
    "ProcessPaidOrder fails": {"ProcessPaidOrder": "fails"},
    "ProcessPaidOrder hangs": {"ProcessPaidOrder": "hangs"},
    "ProcessPaidOrder is throttled": {"ProcessPaidOrder": "throttled"},
    "Scheduler's API fails": {"Scheduler": "server error"},
    "timers never fire": {"timers": "down"},
    "Recheck is throttled": {RECHECK: "throttled"},
    "Recheck may not be invoked": {RECHECK: "denied"},
    "the sweep does not run": {SWEEP: "down"},
    "Secrets Manager hangs": {"Secrets Manager": "hanging"},
    "SES fails": {"SES": "server error"},
    "SQS is down": {"SQS": "server error"},
    "standard output is closed": {"standard output": "down"},
    "ProcessPaidOrder fails, and SES": {"ProcessPaidOrder": "fails", "SES": "server error"},
    "Scheduler's API fails, and the sweep does not run": {"Scheduler": "server error", SWEEP: "down"},
}
_SUMMARY = """
**Up to 24 hours: in {kept} of {all} outages everything is done without a person, within 15 minutes after the end or a
quarter of the outage, whichever is longer, and no letter is left.**
"""
_TABLE = """
## {length}, a notification every {every}

| what | done by itself | after its end | runs beyond two | mails | error rows | letters retried, left | alarms |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Ended:
    sent: int
    done: int
    healed: timedelta
    extra_runs: int
    mails: int
    rows: int
    retried: int
    left: int
    alarms: tuple[str, ...]

    def is_healed(self, length: timedelta) -> bool:
        """Whether all of it is done, in time and without a person."""
        in_time = self.healed <= max(timedelta(minutes=15), length / 4)
        return self.done == self.sent and in_time and self.left == 0


def outage(world: World, down: Mapping[str, str], length: timedelta, every: timedelta) -> Ended:
    """Take down what `down` names for that long, then let everything come to rest."""
    world.empty()
    world.pay()
    world.pay(chargeId=FORM_CHARGE)  # only the payment record knows the order of a browser return
    world.order()
    begins, ends = START + timedelta(minutes=1), START + timedelta(minutes=1) + length

    def fails(name: str) -> str:
        return down.get(name, "") if begins <= world.now < ends else ""

    model = world.model(parallel=True, outage=fails)
    mailed: list[object] = []
    world.wire.after["ses.SendEmail"] = mailed.append
    arrivals = [begins - timedelta(seconds=30), *(begins + every * n for n in range(length // every + 1))]
    for number, when in enumerate(arrivals):
        event = sample("browser-return" if number % 5 == 4 else "authorized")
        event["requestContext"]["requestId"] = f"n-{number}"
        model.at(when, partial(model.accept, DELAYED_NOTIFY, event, "Notify"))
    printed = world.printed.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "raiseExceptions", False)
        patch.setattr(world.printed, "write", lambda text: _closed() if fails("standard output") else printed(text))
        model.rest(length + timedelta(hours=100))
    done = {row["notificationId"] for row in world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["state"] == "DONE"}
    return Ended(
        sent=len(arrivals),
        done=len(done),
        healed=max([timedelta(), *(model.finished[name] - ends for name in done)]),
        extra_runs=sum(max(runs - 2, 0) for runs in Counter(run.notification for run in model.runs).values()),
        mails=len(mailed),
        rows=len(world.errors()),
        retried=len(model.metrics["NumberOfMessagesSent", "RetryQueue"]),
        left=sum(map(len, model.queues.values())),
        alarms=tuple(dict(rings(world, model))),
    )


def _closed() -> int:
    raise BrokenPipeError


# --- alarms ---


def rings(world: World, model: Model) -> Iterator[tuple[str, datetime]]:
    """Name each alarm of the template each time it rang, with the beginning of the period that made it ring."""
    values: Metrics = defaultdict(list, model.metrics)
    for when, _, line in world.lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for metric in directive["Metrics"]:
                values[metric["Name"], line["Branch"]].append((when, when, line[metric["Name"]]))
    for name, about in world.resources.items():
        if about["Type"] == "AWS::CloudWatch::Alarm":
            alarm, [dimension] = about["Properties"], about["Properties"]["Dimensions"]
            found = values[alarm["MetricName"], _called(world, dimension)]
            for at in _rings(alarm, found, model.sweeps):
                yield name.removesuffix("Alarm"), datetime.fromtimestamp(at * alarm["Period"], UTC)


def _called(world: World, dimension: dict[str, str]) -> str:
    """What the model calls the resource of an alarm's dimension."""
    kind, value = dimension["Name"], dimension["Value"]
    if kind == "FunctionName":
        return next(name for name in HANDLERS if world.resources[f"{name}Function"]["Properties"][kind] == value)
    return "Scheduler" if kind == "ScheduleGroup" else value.removeprefix("stack-")


def _rings(alarm: dict[str, Any], values: list[tuple[datetime, datetime, float]], sweeps: list[datetime]) -> list[int]:
    def period(when: datetime) -> int:
        return int(when.timestamp()) // int(alarm["Period"])

    by_period = defaultdict[int, list[float]](list)
    for begins, ends, value in values:
        for at in range(period(begins), period(ends) + 1):
            by_period[at].append(value)
    statistic = max if alarm["Statistic"] == "Maximum" else sum
    breaching = {at for at, found in by_period.items() if statistic(found) >= alarm["Threshold"]}
    if alarm["TreatMissingData"] == "breaching":  # of a sweep that ran, or could not, and reported nothing
        breaching |= set(map(period, sweeps)) - set(by_period)
    of, wanted = alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    windows = {at: breaching & {*range(at - of + 1, at + 1)} for last in breaching for at in range(last, last + of)}
    alarmed = {at for at, found in windows.items() if len(found) >= wanted}
    return sorted(at for at in alarmed if at - 1 not in alarmed)


# --- the document ---


def row(case: str, ended: Ended) -> str:
    healed = span(timedelta(seconds=ceil(ended.healed.total_seconds())))
    alarms = ", ".join(ended.alarms) or "none"
    return (
        f"| {case} | {ended.done} of {ended.sent} | {healed} | {ended.extra_runs} | {ended.mails} "
        f"| {ended.rows} | {ended.retried}, {ended.left} | {alarms} |\n"
    )


def _played(length: str, case: str) -> Ended:
    with worlds() as world:
        return outage(world, CASES[case], *LENGTHS[length])


def main() -> None:
    asked = list(product(LENGTHS, CASES))
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        ended = dict(zip(asked, processes.map(_played, *zip(*asked, strict=True)), strict=True))
    short = [end.is_healed(LENGTHS[length][0]) for (length, _), end in ended.items() if length != "80 hours"]
    text = _SUMMARY.format(kept=sum(short), all=len(short))
    for length, (_, every) in LENGTHS.items():
        text += _TABLE.format(length=length, every=span(every))
        text += "".join(row(case, ended[length, case]) for case in CASES)
    FILE.write_text(rewritten(FILE, f"{text}\n"))


if __name__ == "__main__":
    main()
