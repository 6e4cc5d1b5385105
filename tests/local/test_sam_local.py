"""`make sam-local`: every event and the whole flow through containers. One stack: the tests are steps, in their order.

The emulator keeps tables, timers and ProcessPaidOrder, and hands each invocation of these functions on to
`sam local start-lambda`: what is done is done in a container.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from rich.console import Console

from callback.table import format_utc
from local import engine
from local.containers import IMAGE, SamLocal, bridged, debugging, sam_local
from local.emulator import HOST, STATE, StackError, free_port, leave_account
from local.report import passes_checks
from local.run import Watcher
from local.samples import EVENTS, NAMES, deliver_anew, samples
from local.stack import FUNCTIONS, Options, running

pytestmark = [
    pytest.mark.containers,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the engine's client leaves sockets
]
DELAY = int(os.environ.get("DELAY") or 60)
AS_IMAGE = bool(os.environ.get("IMAGE"))
LABEL = "sam.cli.container.type=lambda"
# Seconds that a container may take, from start to end.
LIMIT = 300
LOG = STATE / "logs" / "start-lambda.log"
# Beyond the delay: containers start side by side on as many cores as there are.
PATIENCE = 120
# Runs in the image.
LOOK = """
import pathlib, delayednotify, recheck
files = [*pathlib.Path("/var/task").rglob("*")]
bare = [f for f in files if f.suffix == ".py" and not (f.parent / "__pycache__" / f"{f.stem}.cpython-312.pyc").exists()]
print(len(bare), len([f for f in files if f.stat().st_uid or f.stat().st_mode & 0o022]))
"""


@dataclass(frozen=True)
class Flow:
    """The local stack, its notifications, and `sam local start-lambda` at an address."""

    sam: SamLocal
    address: str
    watcher: Watcher
    began: datetime

    def invoke(self, function: str, event: str) -> Any:
        """Run a function in a container of its own with an event of events/, and return its answer."""
        command = ("invoke", function, "--event", str(EVENTS / f"{event}.json"))
        with self.sam.started(*command, stdout=subprocess.PIPE) as process:
            printed, log = process.communicate(timeout=LIMIT)
        print(printed, log)  # noqa: T201 - shown where the test fails
        return json.loads(printed.splitlines()[-1])

    def wait_until(self, holds: Callable[[], bool], seconds: int) -> None:
        """Watch until something holds, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        self.watcher.look()
        while not holds() and time.monotonic() < deadline:
            threading.Event().wait(0.2)  # the containers need the machine
            self.watcher.look()


@pytest.fixture(scope="module")
def flow(request: pytest.FixtureRequest) -> Iterator[Flow]:
    """The stack with all that the events need, and every function in containers; the first charge comes three times."""
    leave_account()
    try:
        engine.find()
    except StackError as error:
        pytest.exit(str(error), returncode=2)
    began, console, chosen = datetime.now(UTC), Console(highlight=False, soft_wrap=True), samples()
    chosen += [deliver_anew(chosen[0], name) for name in ("once more", "timer lost")]
    # A sweep comes when it is asked for.
    with running(console, Options(DELAY), chosen, sweep_every=86_400) as deployed:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            console.print()
            named, address = os.environ.get("BASE"), os.environ.get("ADDRESS")
            sam = sam_local(console, deployed, named, address, as_image=AS_IMAGE)
            flavour, base = "image" if AS_IMAGE else "zip", sam.engine.describe(sam.base)
            console.print(f"{sam.engine.name}, {flavour}, in {base}")
        try:
            with bridged(sam.address, deployed.emulator.port), container_proxy(sam) as proxy:
                yield Flow(sam, proxy, Watcher(deployed, chosen), began)
        finally:
            _remove_left(sam, began)


def _remove_left(sam: SamLocal, since: datetime) -> None:
    # What the SAM CLI, when it was ended, left behind. To the second: that is all both clocks have in common.
    for container in sam.engine.client.containers.list(all=True, filters={"label": LABEL}):
        if container.attrs["Created"][:19] >= since.isoformat()[:19]:
            container.remove(force=True)


@contextlib.contextmanager
def container_proxy(sam: SamLocal) -> Iterator[str]:
    """Let the emulator hand each invocation on to `sam local start-lambda`, a container for each; yield its URL."""
    port = free_port()
    command = ("start-lambda", "--host", HOST, "--port", str(port), "--no-watch")
    with LOG.open("w") as log, sam.started(*command, stdout=log) as process:
        _wait_until_listening(port, process)
        for name in FUNCTIONS:
            function = sam.stack.outputs[name]
            address = f"http://{HOST}:{port}/2015-03-31/functions/{function}/invocations"
            sam.stack.client("lambda").update_function_configuration(
                FunctionName=function, Timeout=LIMIT, Environment={"Variables": {"MINISTACK_LAMBDA_PROXY_URL": address}}
            )
        yield f"http://{HOST}:{port}"


def _wait_until_listening(port: int, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:  # the caller of pytest sets the time limit
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
    pytest.fail(f"sam local start-lambda did not start: {LOG.read_text()[-2000:]}")


def test_timer_that_comes_early_runs_nothing(flow: Flow) -> None:
    """`sam local invoke` of DelayedNotify, and at once of Recheck with its timer: pass 2 waits for its minute."""
    assert flow.invoke("DelayedNotifyFunction", "authorized")["statusCode"] == 200
    assert flow.invoke("RecheckFunction", "recheck") == {"state": "PENDING", "passesDone": 1}


@pytest.mark.parametrize("name", NAMES[1:])
def test_event_is_answered_with_the_page(flow: Flow, name: str) -> None:
    """`sam local invoke` with each kind of input that the bank and a browser send."""
    assert flow.invoke("DelayedNotifyFunction", name)["statusCode"] == 200


def test_notify_invokes_a_container(flow: Flow) -> None:
    """`sam local start-lambda` takes an asynchronous invocation from boto3, as Lambda takes Notify's."""
    make: Any = boto3.client
    client = make("lambda", **flow.sam.stack.reach | {"endpoint_url": flow.address})
    function = flow.sam.stack.outputs["DelayedNotifyFunction"]
    for row in flow.watcher.rows[-2:]:
        answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(row.sample.event))
        assert answer["StatusCode"] == 202


def test_sweep_hands_over_what_lost_its_timer(flow: Flow) -> None:
    """In a container, too, a pass that is 5 minutes overdue and has lost its timer is handed to Recheck."""
    lost, stack = flow.watcher.rows[-1], flow.sam.stack
    flow.wait_until(lambda: lost.schedule_at is not None, PATIENCE)
    lost.changed = True
    stack.client("scheduler").delete_schedule(GroupName=stack.outputs["ScheduleGroup"], Name=lost.schedule_name)
    stack.table(stack.outputs["CreditCardNotifyTable"]).update_item(
        Key=lost.key,
        UpdateExpression="SET nextPassDue = :ago, firstDue = :ago, sweepAt = :ago",
        ExpressionAttributeValues={":ago": format_utc(datetime.now(UTC) - timedelta(minutes=5))},
    )
    assert flow.invoke("SweepFunction", "sweep")["handedOver"] == 1


def test_timers_start_containers_to_the_end(flow: Flow) -> None:
    """Each notification has its two passes, the second not too early, and nothing is left over."""
    flow.wait_until(lambda: all(row.finished for row in flow.watcher.rows), DELAY + PATIENCE)
    found = passes_checks(flow.sam.stack, flow.watcher.rows, Options(DELAY))
    assert [check for check in found if not check.holds] == []


def test_what_comes_twice_runs_nothing(flow: Flow) -> None:
    """The timer of a record that is done, and a message in the retry queue about one that is saved."""
    assert flow.invoke("RecheckFunction", "recheck") == {"state": "DONE", "passesDone": 2}
    assert flow.invoke("RetryFunction", "retry") == {"batchItemFailures": []}


def test_function_waits_for_a_debugger(flow: Flow) -> None:
    """What `make debug` starts answers a debugger that attaches, and runs nothing before that."""
    port, event = free_port(), str(EVENTS / "authorized.json")
    command = ("invoke", FUNCTIONS[0], "--event", event, *debugging(port, as_image=AS_IMAGE))
    with flow.sam.started(*command, stdout=subprocess.DEVNULL) as process:
        assert _first_word(port) == "Content-Length"
        assert process.poll() is None


def _first_word(port: int) -> str:
    # The engine listens before the container does: only what speaks is a debugger.
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=10) as connection:
            if received := connection.recv(14):
                return received.decode(errors="replace")
    return "nothing"


def test_everything_ran_in_containers(flow: Flow) -> None:
    """The engine counted a DelayedNotify and a Recheck for each, and what was sent by hand: timers, sweep, message."""
    filters = {"type": "container", "event": "start", "label": LABEL}
    started = flow.sam.engine.client.events(since=flow.began, until=datetime.now(UTC), filters=filters, decode=True)
    counted = Counter(event["Actor"]["Attributes"]["sam.cli.function.name"] for event in started)
    rows = len(flow.watcher.rows)
    least = dict(zip(FUNCTIONS, (rows, rows + 2, 1, 1), strict=True))
    assert {name: counted[name] for name in FUNCTIONS if counted[name] < least[name]} == {}


@pytest.mark.skipif(not AS_IMAGE, reason="only with IMAGE=1")
def test_image_can_be_read_by_a_user_without_rights(flow: Flow) -> None:
    """As in Lambda, on a read-only file system: everything is compiled, in one layer on top of the base image."""
    client = flow.sam.engine.client
    limits: Any = {"user": "65534:65534", "read_only": True, "network_mode": "none", "remove": True}
    assert client.containers.run(IMAGE, entrypoint=["python3.12", "-c", LOOK], **limits).split() == [b"0", b"0"]
    layers, of_base = (client.images.get(name).attrs["RootFS"]["Layers"] for name in (IMAGE, flow.sam.base))
    assert layers[:-1] == of_base
