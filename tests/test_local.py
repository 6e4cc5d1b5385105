"""The local stack as a newcomer uses it: the real programs, the real template, a real minute made short."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from callback.clock import stamp
from local import emulator
from local.containers import TEMPLATE, bridge
from local.emulator import ACCOUNT, REGION, ROOT
from local.progress import Progress
from local.report import Invocation, while_waiting
from local.samples import EVENTS, NAMES, samples
from local.stack import Options, Stack, build, deploy

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
COMMAND = [sys.executable, "-m", "local"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'functions'}{os.pathsep}{ROOT}", "COLUMNS": "100"}


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands behind make."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=180
    )


def test_run_takes_every_sample_through_both_passes() -> None:
    """`make run`: the template deployed, each notification seen through every step, all promises checked, exit 0."""
    done = local("run", "--delay", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES:
        for step in ("saved", "pass 1", "schedule armed", "pass 2", "schedule gone"):
            assert re.search(rf"^\d\d:\d\d:\d\d {name}: {step}$", done.stdout, re.MULTILINE), done.stdout
    assert f"{len(NAMES)} of {len(NAMES)}" in done.stdout
    assert "✗" not in done.stdout
    assert not _emulators()


def test_run_of_one_event_recovers_from_a_failing_pass() -> None:
    """`make run EVENT=… FAILURES=1`: Lambda's retry completes pass 1, with one mail for the notification."""
    done = local("run", "--delay", "3", "--event", str(EVENTS / "declined.json"), "--failures", "1", "--latency", "50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"✓\s+error mails, 1 expected\s+1", done.stdout)
    assert re.search(r"✓\s+notifications with exactly 2 passes\s+1 of 1", done.stdout)


def test_run_that_does_not_hold_its_promises_says_so() -> None:
    """A ProcessPaidOrder that always fails ends in a failure queue, and the run with exit code 1."""
    done = local("run", "--delay", "3", "--event", str(EVENTS / "authorized.json"), "--failures", "9", "--latency", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"✗\s+messages in the failure queues\s+1", done.stdout)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{}", "InvalidNotification: body"), ("no json", "JSONDecodeError"), (None, "FileNotFoundError")],
)
def test_run_refuses_a_bad_event_before_it_starts_anything(tmp_path: Path, text: str | None, says: str) -> None:
    """One's own event is checked first: exit 2 and what is wrong with it."""
    file = tmp_path / "event.json"
    if text is not None:
        file.write_text(text)
    done = local("run", "--event", str(file))
    assert done.returncode == 2
    assert says in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_error_is_printed_as_it_is() -> None:
    """What looks like rich's markup in an error's text, a pattern of the template's say, is only text."""
    done = local("run", "--event", "[/no]such[/?#].json")
    assert done.returncode == 2
    assert "'[/no]such[/?#].json'" in done.stdout


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
def test_interrupt_leaves_nothing_running(sent: signal.Signals, code: int) -> None:
    """Ctrl-C, a kill or a closed terminal in the middle of the wait: its exit code, and no process left.

    Begun as a job in the background would be, with SIGINT ignored.
    """
    with subprocess.Popen(
        [*COMMAND, "run", "--event", str(EVENTS / "authorized.json")],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - this test has no threads
    ) as process:
        assert process.stdout
        assert any("schedule armed" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(sent)
        rest = process.stdout.read()
    assert process.returncode == code
    assert ("nothing is left running" in rest) == (sent == signal.SIGINT)
    assert not _emulators()


@pytest.fixture
def kept_stack() -> Iterator[str]:
    """A stack that `up` keeps and `down` ends."""
    done = local("up", "--delay", "3")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield done.stdout
    finally:
        assert local("down").stdout == "down\n"


def test_up_keeps_a_stack_for_other_tools(kept_stack: str) -> None:
    """`make up` prints what other tools need, `make up` again refuses, and the functions answer."""
    url = re.search(r"AWS_ENDPOINT_URL=(\S+)", kept_stack)
    assert url
    assert "already" in local("up").stdout
    client = boto3.client(
        "lambda", endpoint_url=url[1], aws_access_key_id="123456789012", aws_secret_access_key="local"
    )
    event = (EVENTS / "authorized.json").read_bytes()
    answer = client.invoke(FunctionName="payment3-delayed-notify-dev", Payload=event)
    assert json.load(answer["Payload"])["statusCode"] == 200


def test_up_writes_a_template_for_sam_local(kept_stack: str) -> None:
    """`sam local` gets the built functions, every variable with its value, and an endpoint that containers reach."""
    functions = [
        r["Properties"] for r in _sam_local()["Resources"].values() if r["Type"].endswith("Serverless::Function")
    ]
    port = re.search(r":(\d+) AWS_DEFAULT_REGION", kept_stack)
    assert port
    for function in functions:
        variables = function["Environment"]["Variables"]
        assert variables["AWS_ENDPOINT_URL"] == f"http://host.docker.internal:{port[1]}"
        assert variables["CREDIT_CARD_NOTIFY_TABLE"] == "payment3-credit-card-notify-dev"
        assert (Path(function["CodeUri"]) / "callback" / "app.py").is_file()
    assert len(functions) == 3


@pytest.fixture
def stubborn_stack() -> Iterator[Stack]:
    """A local stack whose ProcessPaidOrder fails until Lambda's three tries are over."""
    build()
    started = emulator.start()
    try:
        yield deploy(started, Options(delay=3, latency_ms=1, failures=3))
    finally:
        started.stop()


# An emulator is let go as a process and ended by its id, which Popen does not like.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_real_dead_letter_goes_back_by_the_command(stubborn_stack: Stack) -> None:
    """A notification that the emulator's Lambda gave up is redriven, and its pass is recorded."""
    function, url = (stubborn_stack.outputs[name] for name in ("DelayedNotifyFunction", "DelayedNotifyFailureQueue"))
    event = (EVENTS / "authorized.json").read_bytes()
    stubborn_stack.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=event)
    sqs = stubborn_stack.client("sqs")
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, VisibilityTimeout=0).get("Messages")
    reach = {"AWS_ENDPOINT_URL": stubborn_stack.emulator.url, "AWS_DEFAULT_REGION": REGION}
    keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT}
    done = subprocess.run(
        [sys.executable, "-m", "followups", "dead-letters", "redrive"],
        cwd=ROOT,
        env=ENVIRONMENT | reach | keys,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "went back to payment3-delayed-notify-dev\nDead letters: 1, staying: 0.\n" in done.stdout
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    [record] = stubborn_stack.table(stubborn_stack.outputs["CreditCardNotifyTable"]).scan()["Items"]
    assert record["passesDone"] >= 1


def test_function_that_sleeps_through_the_wait_is_seen() -> None:
    """`function time while waiting` is no empty check: an invocation that outlasts the wait counts, a short one not."""
    [sample] = samples(EVENTS / "authorized.json")
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    row = Progress(sample, {"passes": [{"at": stamp(ended)}]}, schedule_at=ended + timedelta(seconds=60))

    def waiting(seconds: int) -> float:
        ids = frozenset([sample.notification.notification_id])
        return while_waiting(row, [Invocation("", ended, ended + timedelta(seconds=seconds), 1000 * seconds, 256, ids)])

    assert (waiting(1), waiting(61)) == (0, 30_000)


def test_container_reaches_the_stack_over_the_bridge() -> None:
    """Whoever asks the bridge's address is answered by the same port of 127.0.0.1."""

    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async def ask() -> bytes:
        server = await asyncio.start_server(upper, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, await bridge("127.0.0.2", port):
            reader, writer = await asyncio.open_connection("127.0.0.2", port)
            writer.write(b"paid\n")
            answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(ask()) == b"PAID\n"


@pytest.mark.parametrize(
    ("command", "says"), [("down", "nothing was up"), ("invoke", "nothing is up; `make up` first")]
)
def test_command_without_up_says_so(command: str, says: str) -> None:
    """`make down` and `make invoke` may be called at any time."""
    assert local(command).stdout == f"{says}\n"


def _sam_local() -> dict[str, Any]:
    template: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text())
    return template


def _emulators() -> list[str]:
    # Those that nobody has in hand any more: one whose parent lives is another test's.
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)  # noqa: S607
    processes = [line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:]]
    living = {pid for pid, _, arguments in processes if "python" in arguments}
    ours = [line for line in processes if "ministack.app" in line[2] and str(ROOT) in line[2]]
    return [arguments for _, parent, arguments in ours if parent not in living]
