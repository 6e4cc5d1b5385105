"""The commands that need a container engine: `make sam-local`, `invoke`, `debug`, `image` and `stand-in`.

In `make sam-local` the emulator keeps tables, timers and ProcessPaidOrder, and hands each invocation of these functions
on to `sam local start-lambda`: what is done is done in a container.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from rich.console import Console

from callback.clock import format_utc
from local import engine, image, session, stand_in
from local.containers import DEBUG_PORT, FUNCTIONS, SamLocal, bridged, container_proxy, debugging, write_template
from local.emulator import HOST, STATE, free_port, write_private
from local.progress import Watcher
from local.report import Check, passes_checks, print_checks
from local.samples import EVENTS, deliver_anew, read_event, samples
from local.stack import Options, Stack

# Beyond the delay: containers start side by side on as many cores as there are.
PATIENCE = 120
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


def check(console: Console, arguments: argparse.Namespace) -> int:
    """Take every event and the whole flow through containers, and check what must hold."""
    found, base = _engine_and_base(console, arguments)
    options = Options(arguments.delay, arguments.latency)
    with session.running(console, options, sweep_every=86_400) as deployed:  # a sweep comes when it is asked for
        sam = _sam_local(deployed, found, base, arguments)
        about = f"{found.name}, {'image' if sam.image else 'zip'}, in {stand_in.describe(found, base)}"
        console.print(about, highlight=False, soft_wrap=True)
        with bridged(sam.address, deployed.emulator.port):
            checks = _run(console, sam, options)
        print_checks(console, checks)
    return 0 if all(one.holds for one in checks) else 1


def invoke(console: Console, arguments: argparse.Namespace) -> int:
    """Run one function in a container, by `sam local invoke`, against what `up` started."""
    return _invoke(console, arguments, [])


def debug(console: Console, arguments: argparse.Namespace) -> int:
    """Start one function in a container and wait for a debugger before its first line."""
    console.print(f"the function starts when a debugger attaches to {HOST}:{DEBUG_PORT} (.vscode/launch.json)")
    return _invoke(console, arguments, debugging(image=arguments.image))


def build_image(console: Console, arguments: argparse.Namespace) -> int:
    """Build the image flavour for an architecture, ready for `sam deploy`."""
    found = engine.find()
    base = stand_in.base_image(console, found, arguments.base, arguments.architecture)
    with console.status("building the image"):
        image.build(arguments.architecture, base)
    size = found.attributes(image.IMAGE)["Size"] / 1_000_000
    lines = [f"{image.IMAGE}, {arguments.architecture}, {size:.0f} MB", f"from {stand_in.describe(found, base)}"]
    lines += filter(None, [stand_in.unpinned(found, base)])
    if not stand_in.is_stand_in(found, base):
        lines.append("sam deploy --template .aws-sam/image/template.yaml --resolve-image-repos")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    return 0


def build_stand_in(console: Console, _arguments: argparse.Namespace) -> int:
    """Build the stand-in for AWS's base image anew."""
    found = engine.find()
    with console.status("about a minute"):
        stand_in.build(found)
    console.print(stand_in.describe(found, stand_in.NAME), highlight=False)
    return 0


def _engine_and_base(console: Console, arguments: argparse.Namespace) -> tuple[engine.Engine, str]:
    found = engine.find()
    base = stand_in.base_image(console, found, arguments.base)
    if arguments.image:
        with console.status("building the image"):
            image.build(engine.ARCHITECTURE, base)
    return found, base


def _sam_local(deployed: Stack, found: engine.Engine, base: str, arguments: argparse.Namespace) -> SamLocal:
    write_template(deployed, image=arguments.image)
    return SamLocal(deployed, found, base, arguments.address or found.address, arguments.image)


def _invoke(console: Console, arguments: argparse.Namespace, more: list[str]) -> int:
    deployed, began = session.must_be_kept(), datetime.now(UTC)
    event = STATE / "event.json"
    write_private(event, json.dumps(read_event(arguments.event or EVENTS / "authorized.json")))
    sam = _sam_local(deployed, *_engine_and_base(console, arguments), arguments)
    command = ("invoke", arguments.function, "--event", str(event), *more)
    try:
        with bridged(sam.address, deployed.emulator.port), sam.started(*command) as process:
            return process.wait()
    finally:
        sam.engine.remove_left(began)


def _run(console: Console, sam: SamLocal, options: Options) -> list[Check]:
    began, flow = datetime.now(UTC), _Flow(console, sam)
    try:
        with container_proxy(sam) as address:
            flow.invoke_every_event()
            flow.notify(address)
            flow.sweep_up_a_lost_timer()
            flow.wait(options.delay)
            flow.invoke("a timer that comes twice", "recheck", {"state": "DONE", "passesDone": 2})
            flow.invoke("a message of what is saved", "retry", {"batchItemFailures": []})
            flow.debug()
        rows = flow.watcher.rows
        containers = _containers(sam, began, len(rows))
        return [*flow.checks, *passes_checks(sam.stack, rows, options), *containers]
    finally:
        sam.engine.remove_left(began)


class _Flow:
    def __init__(self, console: Console, sam: SamLocal) -> None:
        self.sam, self.console = sam, console
        self.chosen, self.checks = samples(), list[Check]()
        # A second delivery by the bank is a notification of its own.
        self.again, lost = (deliver_anew(self.chosen[0], name) for name in ("once more", "timer lost"))
        self.watcher = Watcher(sam.stack, [*self.chosen, self.again, lost])
        self.lost = self.watcher.rows[-1]
        session.furnish(sam.stack, [row.sample for row in self.watcher.rows])

    def invoke_every_event(self) -> None:
        for sample in self.chosen:
            self.invoke(sample.name, sample.name)
            self.watcher.look()
            if sample is self.chosen[0]:
                self.invoke("a timer that comes early", "recheck", {"state": "PENDING", "passesDone": 1})

    def invoke(self, what: str, event: str, right: object = None) -> Any:  # noqa: ANN401 - whatever it answers
        """Run the event of a file in its function; a notification is right where it gets its page."""
        others = {"recheck": "RecheckFunction", "sweep": "SweepFunction", "retry": "RetryFunction"}
        function = others.get(event, "DelayedNotifyFunction")
        with self.console.status(what):
            answer, log = self.sam.invoke(function, EVENTS / f"{event}.json")
        holds = answer == right if right else isinstance(answer, dict) and answer.get("statusCode") == 200  # noqa: PLR2004
        found = str(answer["statusCode"]) if holds and not right else json.dumps(answer)[:60]
        self.checks.append(Check(f"sam local invoke: {what}", found, holds))
        if not holds:
            self.console.print(log[-2000:], highlight=False, markup=False)
        return answer

    def notify(self, address: str) -> None:
        """Invoke as Notify does, asynchronously, from boto3."""
        make: Any = boto3.client
        notify = make("lambda", **self.sam.stack.reach | {"endpoint_url": address})
        function = self.sam.stack.outputs["DelayedNotifyFunction"]
        for sample in (self.again, self.lost.sample):
            answer = notify.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(sample.event))
            status = answer["StatusCode"]
            self.checks.append(Check(f"sam local start-lambda: {sample.name}", str(status), status == 202))  # noqa: PLR2004

    def sweep_up_a_lost_timer(self) -> None:
        """Take a timer away and make its pass 5 minutes overdue: the sweep hands it over."""
        self._until(lambda: self.lost.schedule_at is not None, PATIENCE)
        self.lost.changed, stack, long_ago = True, self.sam.stack, format_utc(datetime.now(UTC) - _LONG_AGO)
        group = stack.outputs["ScheduleGroup"]
        if self.lost.schedule_at:
            stack.client("scheduler").delete_schedule(GroupName=group, Name=self.lost.schedule_name)
        stack.table(stack.outputs["CreditCardNotifyTable"]).update_item(
            Key=self.lost.key,
            UpdateExpression="SET nextPassDue = :ago, firstDue = :ago, sweepAt = :ago",
            ExpressionAttributeValues={":ago": long_ago},
        )
        counts = {"handedOver": 1, "inProgress": 0, "moved": 0, "failed": 0, "errors": 0, "unread": 0}
        self.invoke("the sweep after a lost timer", "sweep", counts)

    def wait(self, delay: int) -> None:
        """Watch every notification to its end."""
        with self.console.status("timers, each to Recheck in a container"):
            self._until(lambda: self.watcher.finished, delay + PATIENCE)

    def debug(self) -> None:
        """See that a debugger is spoken to, and that the function waits for it."""
        port = free_port()
        event = ("--event", str(EVENTS / "authorized.json"))
        more = debugging(port, image=self.sam.image)
        null = subprocess.DEVNULL
        with self.sam.started("invoke", FUNCTIONS[0], *event, *more, stdout=null) as process:
            says = _first_word(port)
            holds = says == "Content-Length" and process.poll() is None
        self.checks.append(Check("a function waits for a debugger, which speaks", says, holds))

    def _until(self, holds: Callable[[], bool], seconds: int) -> None:
        deadline = time.monotonic() + seconds
        self.watcher.look()
        # Where no function works, there is nothing to wait for.
        while any(row.item for row in self.watcher.rows) and not holds() and time.monotonic() < deadline:
            time.sleep(0.2)
            self.watcher.look()


def _first_word(port: int) -> str:
    # The engine listens before the container does: only what speaks is a debugger.
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=10) as connection:
            if said := connection.recv(14):
                return said.decode(errors="replace")
        time.sleep(0.2)
    return "nothing"


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
    said = sam.engine.client.containers.run(image.IMAGE, entrypoint=["python3.12", "-c", _LOOK], **limits)
    found = said.decode().strip()
    layers, of_base = (sam.engine.client.images.get(name).attrs["RootFS"]["Layers"] for name in (image.IMAGE, sam.base))
    added = str(len(layers) - len(of_base))
    return [
        Check("the image's files, read by a user without rights", found, found == "0 not compiled, 0 writable"),
        Check("its layers beyond the base's: no tool's", added, added == "1" and layers[:-1] == of_base),
    ]
