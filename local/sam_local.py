"""The whole flow through containers: every event by `sam local invoke`, and Notify's, the timer's and the sweep's ways.

The emulator keeps the tables, the timers and ProcessPaidOrder, and hands each invocation of these functions on to
`sam local start-lambda`: what is done is done in a container.
"""

import copy
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from callback.clock import format_utc
from callback.notification import parse_notification
from local import base_image, session
from local.containers import FUNCTIONS, Ran, SamLocal, hand_over
from local.debug_client import stopped_in_handler
from local.debugger import arguments_for
from local.emulator import STATE, free_port
from local.engine import ARCHITECTURE
from local.image import IMAGE
from local.progress import Progress, Watcher
from local.report import Check, all_of, passes_checks
from local.samples import EVENTS, Sample, samples
from local.stack import Options

# Beyond the delay: containers start side by side on as many cores as there are.
PATIENCE = 120
# The rule does not fire: a sweep comes when it is asked for.
SWEEP_EVERY = 86_400
# More than the time after which the sweep takes a pass for overdue.
_LONG_AGO = timedelta(minutes=5)
# Runs in the image.
_LOOK = """
import pathlib, delayednotify, recheck
files = [*pathlib.Path("/var/task").rglob("*")]
bare = [f for f in files if f.suffix == ".py" and not (f.parent / "__pycache__" / f"{f.stem}.cpython-312.pyc").exists()]
others = [f for f in files if f.stat().st_uid or f.stat().st_mode & 0o022]
print(len(bare), "not compiled,", len(others), "writable")
"""


def introduce(console: Console, sam: SamLocal) -> None:
    """Say what runs the functions."""
    base = base_image.describe(sam.engine, sam.base)
    about = {"engine": sam.engine.name, "flavour": "image" if sam.image else "zip", "base": base}
    for what, value in about.items():
        console.print(f"{what:<8} {value}", highlight=False, soft_wrap=True)


def run(console: Console, sam: SamLocal, options: Options) -> list[Check]:
    """Run all of it, and return what must hold."""
    began, flow = datetime.now(UTC), _Flow(console, sam)
    try:
        with sam.started(STATE / "start-lambda.log") as containers:
            hand_over(sam.stack, containers)
            flow.invoke_every_event()
            flow.notify(containers)
            flow.sweep_up_a_lost_timer()
            flow.wait(options.delay)
            debugged = flow.debug()
            flow.invoke("recheck, again", "RecheckFunction", "recheck")
            flow.invoke("delivered again", "RetryFunction", "retry")
        rows = flow.watcher.rows
        return [
            *_answers(flow),
            debugged,
            *passes_checks(sam.stack, rows, options),
            *_containers(sam, began, len(rows)),
        ]
    finally:
        sam.engine.remove_left(began, FUNCTIONS)


class _Flow:
    def __init__(self, console: Console, sam: SamLocal) -> None:
        self.sam = sam
        self.answers: dict[str, Any] = {}
        self._console = console
        self.chosen = samples()
        self._again, self.lost = (_redelivered(self.chosen[0], name) for name in ("once more", "timer lost"))
        self.watcher = Watcher(sam.stack, [*self.chosen, self._again, self.lost])
        session.furnish(sam.stack, [self._again, self.lost])

    def invoke_every_event(self) -> None:
        self._console.print("\nsam local invoke")
        for sample in self.chosen:
            self.invoke(sample.name, "DelayedNotifyFunction", sample.name)
            self.watcher.look()
            if sample is self.chosen[0]:
                self.invoke("recheck, early", "RecheckFunction", "recheck")

    def notify(self, containers: str) -> None:
        self._console.print("\nsam local start-lambda")
        make: Any = self.sam.stack.session.client
        notify, function = make("lambda", endpoint_url=containers), self.sam.stack.outputs["DelayedNotifyFunction"]
        for sample in (self._again, self.lost):
            answer = notify.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(sample.event))
            self._line(sample.name, f"Notify's asynchronous invoke: {answer['StatusCode']}")

    def sweep_up_a_lost_timer(self) -> None:
        row = next(row for row in self.watcher.rows if row.sample is self.lost)
        self._until(lambda: row.schedule_at is not None, self._patience)
        if row.schedule_at is None:
            self._line(self.lost.name, "has no timer to lose")
        else:
            self._lose(row)
        self.invoke("sweep", "SweepFunction", "sweep")

    def wait(self, delay: int) -> None:
        self._until(lambda: self.watcher.finished, delay + self._patience)
        self._console.print("\ntimers, each to Recheck in a container")
        for row in self.watcher.rows:
            self._line(row.sample.name, f"{row.item.get('state')} after {len(row.passes)} passes")

    def debug(self) -> Check:
        port = free_port()
        under = arguments_for(ARCHITECTURE, port, image=self.sam.image)
        with ThreadPoolExecutor(max_workers=1) as aside:
            function = aside.submit(self.invoke, "under a debugger", "DelayedNotifyFunction", "authorized", *under)
            found, right = stopped_in_handler(port, PATIENCE)
            function.result()
        return Check("a debugger stops in the handler", found, right)

    def invoke(self, what: str, function: str, event: str, *more: str) -> None:
        ran = self.sam.invoke(function, EVENTS / f"{event}.json", *more)
        self.answers[what] = ran.answer
        self._line(what, _in_short(ran))

    @property
    def _patience(self) -> int:
        # Where no function works, there is nothing to wait for.
        return PATIENCE if any(row.item for row in self.watcher.rows) else 0

    def _lose(self, row: Progress) -> None:
        row.changed = True
        stack, long_ago = self.sam.stack, format_utc(datetime.now(UTC) - _LONG_AGO)
        stack.client("scheduler").delete_schedule(GroupName=stack.outputs["ScheduleGroup"], Name=row.schedule_name)
        stack.table(stack.outputs["CreditCardNotifyTable"]).update_item(
            Key=row.key,
            UpdateExpression="SET nextPassDue = :ago, firstDue = :ago, sweepAt = :ago",
            ExpressionAttributeValues={":ago": long_ago},
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


def _answers(flow: _Flow) -> list[Check]:
    given = flow.answers
    pages = [(given[sample.name] or {}).get("statusCode") == 200 for sample in flow.chosen]  # noqa: PLR2004 - HTTP's OK
    expected = {
        "a timer that comes early runs nothing": ("recheck, early", {"state": "PENDING", "passesDone": 1}),
        "a timer that comes twice runs nothing": ("recheck, again", {"state": "DONE", "passesDone": 2}),
        "a message of what is saved leaves the retry queue": ("delivered again", {"batchItemFailures": []}),
    }
    swept = (given["sweep"] or {}).get("handedOver")
    return [
        Check("events of the bank's answered with the page", *all_of(pages)),
        *(Check(what, json.dumps(given[name])[:40], given[name] == right) for what, (name, right) in expected.items()),
        Check("the sweep hands over what lost its timer", str(swept), swept == 1),
    ]


def _containers(sam: SamLocal, began: datetime, rows: int) -> list[Check]:
    # A DelayedNotify and a Recheck each, the two timers of events/recheck.json, the sweep, and the message.
    least = dict(zip(FUNCTIONS, (rows, rows + 2, 1, 1), strict=True))
    counted = sam.engine.started(began)
    return [*(_image(sam) if sam.image else [])] + [
        Check(f"containers of {name}, at least {least[name]}", str(counted[name]), counted[name] >= least[name])
        for name in FUNCTIONS
    ]


def _image(sam: SamLocal) -> list[Check]:
    # As Lambda runs it: as a user without rights, on a file system that cannot be written to.
    limits: Any = {"user": "65534:65534", "read_only": True, "network_mode": "none", "remove": True}
    said = sam.engine.client.containers.run(IMAGE, entrypoint=["python3.12", "-c", _LOOK], **limits)
    found = said.decode().strip()
    layers, of_base = (sam.engine.client.images.get(name).attrs["RootFS"]["Layers"] for name in (IMAGE, sam.base))
    added = str(len(layers) - len(of_base))
    return [
        Check("the image's files, read by a user without rights", found, found == "0 not compiled, 0 writable"),
        Check("its layers beyond the base's: no tool's", added, added == "1" and layers[:-1] == of_base),
    ]
