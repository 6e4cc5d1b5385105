"""The whole flow through containers: every event by `sam local invoke`, and Notify's, the timer's and the sweep's ways.

The emulator keeps the tables, the timers and ProcessPaidOrder, and hands each invocation of our functions on to
`sam local start-lambda`: what is done is done in a container, because our code is nowhere else.
"""

import copy
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from callback.clock import stamp
from callback.notification import parse_notification
from local import base_image, lifetime, report
from local.containers import FUNCTIONS, Ran, SamLocal, hand_over
from local.debug_client import stopped_in_handler
from local.debugger import arguments_for
from local.emulator import STATE, free_port
from local.engine import ARCHITECTURE
from local.image import IMAGE
from local.progress import Progress, Watcher
from local.report import Check
from local.samples import EVENTS, Sample, samples
from local.stack import Options

# Beyond the delay: containers start side by side on as many cores as there are.
PATIENCE = 120
# Beyond the sweep's grace.
_LONG_AGO = timedelta(minutes=5)
# Runs in the image.
_LOOK = """
import pathlib, delayednotify, recheck
files = [*pathlib.Path("/var/task").rglob("*")]
bare = [f for f in files if f.suffix == ".py" and not (f.parent / "__pycache__" / f"{f.stem}.cpython-312.pyc").exists()]
others = [f for f in files if f.stat().st_uid or f.stat().st_mode & 0o022]
print(len(bare), "not compiled,", len(others), "writable")
"""
_CALLS = "process-paid-order-calls"


def introduce(console: Console, sam: SamLocal) -> None:
    """Say what runs the functions."""
    about = {
        "engine": sam.engine.name,
        "flavour": "image" if sam.image else "zip",
        "base": base_image.describe(sam.engine, sam.base),
    }
    for what, value in about.items():
        console.print(f"{what:<8} {value}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Outcome:
    """What must hold, each function's answer by the name of its line, and the log of `sam local start-lambda`."""

    checks: list[Check]
    said: dict[str, Ran]
    log: str


def run(console: Console, sam: SamLocal, options: Options) -> Outcome:
    """Run all of it."""
    flow, log = _Flow(console, sam), STATE / "start-lambda.log"
    began = datetime.now(UTC)
    try:
        checks = _run(flow, options, began, log)
    finally:
        sam.engine.remove_left(began, FUNCTIONS)
    return Outcome(checks, flow.said, log.read_text(errors="replace"))


def _run(flow: "_Flow", options: Options, began: datetime, log: Path) -> list[Check]:
    sam = flow.sam
    with sam.started(log) as containers:
        hand_over(sam.stack, containers)
        refused = flow.invoke_every_event()
        flow.notify(containers)
        swept = flow.sweep_up_a_lost_timer()
        flow.wait(options.delay)
        stopped = flow.debug()
        repeated = flow.tell("recheck, again", sam.invoke("RecheckFunction", EVENTS / "recheck.json"))
    return [
        *_invocations(flow, refused, swept, repeated),
        stopped,
        *_flow(flow, options),
        *_containers(sam, began, flow),
    ]


class _Flow:
    def __init__(self, console: Console, sam: SamLocal) -> None:
        self.sam = sam
        self._console = console
        chosen = samples()
        self.again, self.lost = _redelivered(chosen[0], "delivered again"), _redelivered(chosen[0], "timer lost")
        self.chosen = chosen
        self.watcher = Watcher(sam.stack, [*chosen, self.again, self.lost])
        self.said: dict[str, Ran] = {}
        lifetime.furnish(sam.stack, [self.again, self.lost])

    def invoke_every_event(self) -> Ran:
        self._console.print("\nsam local invoke")
        self._deliver(self.chosen[0])
        early = self.tell("recheck, early", self.sam.invoke("RecheckFunction", EVENTS / "recheck.json"))
        for sample in self.chosen[1:]:
            self._deliver(sample)
        return early

    def notify(self, containers: str) -> None:
        self._console.print("\nsam local start-lambda")
        make: Any = self.sam.stack.session.client
        notify = make("lambda", endpoint_url=containers)
        function = self.sam.stack.outputs["DelayedNotifyFunction"]
        for sample in (self.again, self.lost):
            answer = notify.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(sample.event))
            self._line(sample.name, f"Notify's asynchronous invoke: {answer['StatusCode']}")

    def sweep_up_a_lost_timer(self) -> Ran:
        row = next(row for row in self.watcher.rows if row.sample is self.lost)
        self._until(lambda: row.schedule_at is not None, self._patience)
        if row.schedule_at is None:
            self._line(self.lost.name, "has no timer to lose")
        else:
            self._lose(row)
        return self.tell("sweep", self.sam.invoke("SweepFunction", EVENTS / "sweep.json"))

    def wait(self, delay: int) -> None:
        self._until(lambda: self.watcher.finished, delay + self._patience)
        self._console.print("\ntimers, each to Recheck in a container")
        for row in self.watcher.rows:
            self._line(row.sample.name, f"{row.record.get('state')} after {len(row.passes)} passes")

    def debug(self) -> Check:
        port = free_port()
        under = arguments_for(ARCHITECTURE, port, image=self.sam.image)
        with ThreadPoolExecutor(max_workers=1) as aside:
            event = EVENTS / "authorized.json"
            function = aside.submit(self.sam.invoke, "DelayedNotifyFunction", event, *under)
            found, right = stopped_in_handler(port, PATIENCE)
            self.tell("under a debugger", function.result())
        return Check("a debugger stops in the handler", found, right)

    @property
    def _patience(self) -> int:
        # Where no function works, there is nothing to wait for.
        return PATIENCE if any(row.record for row in self.watcher.rows) else 0

    def tell(self, what: str, ran: Ran) -> Ran:
        self.said[what] = ran
        self._line(what, _in_short(ran))
        return ran

    def _deliver(self, sample: Sample) -> None:
        self.tell(sample.name, self.sam.invoke("DelayedNotifyFunction", EVENTS / f"{sample.name}.json"))
        self.watcher.look()

    def _lose(self, row: Progress) -> None:
        stack, about = self.sam.stack, row.sample.notification
        stack.client("scheduler").delete_schedule(GroupName=stack.outputs["ScheduleGroup"], Name=row.schedule_name)
        stack.table(stack.outputs["CreditCardNotifyTable"]).update_item(
            Key={"chargeId": about.charge_id, "notificationId": about.notification_id},
            UpdateExpression="SET nextPassDue = :due",
            ExpressionAttributeValues={":due": stamp(datetime.now(UTC) - _LONG_AGO)},
        )
        self._line(self.lost.name, "its timer is deleted, and its pass 5 minutes overdue")

    def _until(self, holds: Callable[[], bool], seconds: int) -> None:
        deadline = time.monotonic() + seconds
        self.watcher.look()
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.2)
            self.watcher.look()

    def _line(self, what: str, outcome: str) -> None:
        self._console.print(f"  {what:<18} {outcome}", highlight=False, markup=False, soft_wrap=True)


def _redelivered(sample: Sample, name: str) -> Sample:
    # A second delivery by the bank is a notification of its own.
    event = copy.deepcopy(sample.event)
    event["requestContext"]["requestId"] += f"-{name.replace(' ', '-')}"
    return Sample(name, event, parse_notification(event))


def _in_short(ran: Ran) -> str:
    answer = ran.answer
    if not isinstance(answer, dict):
        return f"NO ANSWER, exit code {ran.code}: {ran.log.strip()[-600:]}"
    if "errorType" in answer:
        return f"{answer['errorType']}: {answer['errorMessage']}"
    if "statusCode" in answer:
        return f"{answer['statusCode']} {answer['headers']['Content-Type']}"
    return json.dumps(answer)


def _invocations(flow: _Flow, refused: Ran, swept: Ran, repeated: Ran) -> list[Check]:
    answers = [flow.said[sample.name].answer or {} for sample in flow.chosen]
    pages = [answer.get("statusCode") == 200 for answer in answers]  # noqa: PLR2004 - HTTP's OK
    early, swept_up = _in_short(refused).split(":")[0], swept.answer or {}
    done = repeated.answer == {"state": "DONE", "passesDone": 2}
    return [
        Check("events of the bank's answered with the page", *report.all_of(pages)),
        Check("a timer that comes early is refused", early, early == "PassNotDue"),
        Check(
            "the sweep hands over what lost its timer", str(swept_up.get("handedOver")), swept_up.get("handedOver") == 1
        ),
        Check("a timer that comes twice runs nothing", "DONE" if done else _in_short(repeated)[:24], done),
    ]


def _flow(flow: _Flow, options: Options) -> list[Check]:
    rows, stack = flow.watcher.rows, flow.sam.stack
    gaps = [report.between(row) or 0 for row in rows if row.sample is not flow.lost]
    calls = sum(int(item.get("completed", 0)) for item in stack.table(_CALLS).scan()["Items"])
    schedules = stack.client("scheduler").list_schedules(GroupName=stack.outputs["ScheduleGroup"])["Schedules"]
    dead = sum(stack.messages().values())
    return [
        Check("records that are DONE", *report.all_of(row.record.get("state") == "DONE" for row in rows)),
        Check("notifications with exactly 2 passes", *report.all_of(len(row.passes) == 2 for row in rows)),  # noqa: PLR2004
        Check("passes, as ProcessPaidOrder counted", str(calls), calls == 2 * len(rows)),
        Check(
            f"least time between the passes, at least {options.delay} s",
            f"{min(gaps):.1f} s",
            min(gaps) >= options.delay,
        ),
        Check("schedules left", str(len(schedules)), not schedules),
        Check("messages in the failure queues", str(dead), dead == 0),
    ]


def _containers(sam: SamLocal, began: datetime, flow: _Flow) -> list[Check]:
    # A DelayedNotify and a Recheck each, the two timers of events/recheck.json, and the sweep.
    rows = len(flow.watcher.rows)
    image = _image(sam) if sam.image else []
    least = {"DelayedNotifyFunction": rows, "RecheckFunction": rows + 2, "SweepFunction": 1}
    counted = sam.engine.started(began)
    return image + [
        Check(f"containers of {name}, at least {least[name]}", str(counted[name]), counted[name] >= least[name])
        for name in FUNCTIONS
    ]


def _image(sam: SamLocal) -> list[Check]:
    # As Lambda runs it: as a user without rights, on a file system that cannot be written to.
    said = sam.engine.client.containers.run(
        IMAGE,
        entrypoint=["python3.12", "-c", _LOOK],
        user="65534:65534",
        read_only=True,
        network_mode="none",
        remove=True,
    )
    found = said.decode().strip()
    layers, of_base = (sam.engine.client.images.get(name).attrs["RootFS"]["Layers"] for name in (IMAGE, sam.base))
    added = str(len(layers) - len(of_base))
    return [
        Check("the image's files, read by a user without rights", found, found == "0 not compiled, 0 writable"),
        Check("its layers beyond the base's: no tool's", added, added == "1" and layers[:-1] == of_base),
    ]
