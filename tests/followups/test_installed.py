"""The installed program `followups`, as a new user has it, against the local stack: each command, once for real."""

import fcntl
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from callback.notification import parse_notification
from callback.table import format_utc
from local import emulator
from local.emulator import ACCOUNT, REGION, ROOT
from local.samples import EVENTS
from local.stack import NAME, Options, Stack, build, deploy, furnish
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.dead_letter_events import on_failure
from tests.support.deployed import unstyled

pytestmark = [
    pytest.mark.stack,
    pytest.mark.enable_socket,
    # An emulator is let go as a process and ended by its id, which Popen does not like.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROGRAM = Path(sys.executable).parent / "followups"
EVENT = EVENTS / "authorized.json"
PREFLIGHT = (
    f"preflight --config-file {shlex.quote(f'{ROOT}/samconfig.toml')} --template {shlex.quote(f'{ROOT}/template.yaml')}"
)
# Neither an account nor PYTHONPATH: the program was installed.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@dataclass(frozen=True)
class User:
    """Somebody with a stack that is up, and a terminal in the folder where it was started."""

    stack: Stack
    folder: Path

    def runs(self, *arguments: str | Path, code: int = 0) -> str:
        """Run the program into a pipe, and return what it printed."""
        command = [PROGRAM, "--local", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def sees(self, *arguments: str, code: int = 0) -> str:
        """Run the program in a terminal of 80 columns, and return what is shown there."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = ENVIRONMENT | {"TERM": "xterm-256color"}
        streams: Any = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        with subprocess.Popen([PROGRAM, "--local", *arguments], cwd=self.folder, env=environment, **streams) as process:
            os.close(theirs)
            shown = b"".join(iter(lambda: read(ours), b""))
        os.close(ours)
        assert process.returncode == code, shown
        return shown.decode()

    def preflight(self, *arguments: str, code: int) -> dict[str, dict[str, Any]]:
        """Return what preflight finds by subject, of several on one the gravest."""
        printed = self.runs(*shlex.split(PREFLIGHT), "--json", *arguments, code=code)
        found = [json.loads(line) for line in printed.splitlines()]
        return {one["subject"]: one for one in sorted(found, key=lambda one: one["level"] == "stop")}

    def writes(self, number: int, **changes: Any) -> None:
        """Store another notification, whose pass 1 was due ten minutes ago; None takes an attribute away."""
        table: Any = self.stack.table(self.stack.outputs["CreditCardNotifyTable"])
        item: dict[str, Any] = table.get_item(Key={"chargeId": CHARGE, "notificationId": NOTIFICATION})["Item"]
        due = format_utc(datetime.now(UTC) - timedelta(minutes=10))
        item |= {"notificationId": f"{NOTIFICATION}-{number}", "orderId": f"ORDER-{number}", "state": "PENDING"}
        item |= {"passesDone": Decimal(0), "passes": [], "attempts": Decimal(1), "attemptsBefore": Decimal(0)}
        item |= {"nextPassDue": due, "firstDue": due, "sweepAt": due} | changes
        table.put_item(Item={name: value for name, value in item.items() if value is not None})


def read(terminal: int) -> bytes:
    """What is shown next; nothing at the end."""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux's way to say that the other side was closed
        return b""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A stack that is up, with one notification that waits for its recheck; preflight finds what it lacked before."""
    folder = tmp_path_factory.mktemp("checkout")
    build()
    started = emulator.start(sweep_every=86_400)  # what is overdue is the tests' own
    try:
        (folder / ".local").mkdir()
        (folder / ".local" / "up.json").write_text(json.dumps({"emulator": {}, "session": Stack(started).reach}))
        before = User(Stack(started), folder).preflight(code=1)
        assert before["where"]["text"].startswith(f"account {ACCOUNT}, {REGION}, stack {NAME}, as arn:")
        assert {subject for subject, one in before.items() if one["level"] == "stop"} == {
            "ProcessPaidOrder payment3-process-paid-order-dev",
            "secret payment3/kbank",
            "SES identity payment3@example.com",
        }
        stack = deploy(started, Options(delay=600, latency_ms=1))
        event = json.loads(EVENT.read_text())
        furnish(stack, parse_notification(event))
        function = stack.outputs["DelayedNotifyFunction"]
        stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        # To the emulator, an address verified by SES's older API is none to the newer one.
        stack.client("sesv2").create_email_identity(EmailIdentity="payment3@local.example")
        yield User(stack, folder)
    finally:
        started.stop()


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (f"show {ORDER}", 0, "valid (plain form)"),
        ("list --state pending", 0, ORDER),
        ("watch --once", 0, "1 waiting"),
        (f"replay --dry-run {ORDER}", 0, "left: pass 2 is due at"),
        (f"resolve {ORDER} --reason settled", 1, "left: waiting"),
        (f"forget --dry-run {ORDER}", 0, "still followed up"),
        ("dead-letters list --queue RefusedQueue", 0, ""),
        (f"verify {shlex.quote(str(EVENT))}", 0, "valid: with the current key, plain form"),
        (f"verify {shlex.quote(str(EVENTS / 'wrong-checksum.json'))}", 1, "invalid: "),
        (PREFLIGHT, 0, "ErrorMailFrom="),
        ("show ORDER-9", 1, "no notification was saved"),
    ],
)
def test_command_runs_in_a_pipe_and_in_a_terminal(user: User, command: str, code: int, text: str) -> None:
    """With the same exit code and text; a pipe gets no control character."""
    piped = user.runs(*shlex.split(command), code=code)
    assert text in piped
    assert "\x1b" not in piped
    shown = unstyled(user.sees(*shlex.split(command), code=code))
    assert "".join(text.split()) in "".join(shown.split())


def test_json_is_for_programs(user: User) -> None:
    """Also what preflight finds of a table that has another key."""
    assert json.loads(user.runs("show", NOTIFICATION, "--json"))["notifications"][0]["state"] == "PENDING"
    [listed] = map(json.loads, user.runs("list", "--state", "pending", "--json").splitlines())
    assert listed["notificationId"] == NOTIFICATION
    found = user.preflight("--parameter", "ExistingOrderTable=process-paid-order-calls", code=1)
    wrong = "its key is orderId (S) + pass (N); expected orderId (S)"
    assert found["OrderTable process-paid-order-calls"]["text"] == wrong


def test_board_is_served_until_ctrl_c(user: User) -> None:
    """The address that it prints has the page; exit 0."""
    command: list[str | Path] = [PROGRAM, "--local", "board", "--no-browser"]
    with subprocess.Popen(command, cwd=user.folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().split()[4]
        with urlopen(address) as answer:  # noqa: S310 - it is on 127.0.0.1
            assert ORDER in answer.read().decode()
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_overdue_order_is_replayed_once(user: User) -> None:
    """At once, and safe to run twice."""
    user.writes(2)
    assert "ORDER-2" in user.runs("list")
    assert "pass 1 was run" in user.runs("replay", "ORDER-2")
    assert "left: pass 2 is due at" in user.runs("replay", "ORDER-2")


def test_dead_letter_is_listed_and_goes_back(user: User) -> None:
    """Through the retry queue and the deployed RetryFunction, and leaves its queue."""
    event = json.loads(EVENT.read_text())
    event["requestContext"]["requestId"] = unsaved = f"{NOTIFICATION}-1"
    letter = on_failure(user.stack.outputs["DelayedNotifyFunctionArn"], "a-request", event, OSError("asleep"))
    user.stack.client("sqs").send_message(QueueUrl=user.stack.outputs["FailureQueue"], **letter)
    # One queue: the command waits for a second before it takes one for empty.
    queue = ("--queue", "FailureQueue")
    said = user.runs("dead-letters", "list", *queue)
    assert re.search(rf"FailureQueue  on-failure  .* notificationId={unsaved} .*  \d+ s old  OSError: asleep\n", said)
    assert user.runs("dead-letters", "redrive", "--yes", *queue).endswith("sent; OSError: asleep\n")
    assert user.runs("dead-letters", "list", *queue) == ""
    while user.stack.messages() != {"RetryQueue": 0, "RefusedQueue": 0, "FailureQueue": 0}:
        pass  # pytest's caller has the patience, not this test
    assert f"Order {ORDER}: waiting, passes completed: 1, checksum valid\n" in user.runs("show", unsaved)


def test_terminal_shows_tables_colours_and_a_bar(user: User) -> None:
    """Three that failed: planned, with the command that runs them; run, each is a row above the bar."""
    for number in (3, 4, 5):
        gone = dict.fromkeys(("nextPassDue", "sweepShard", "sweepAt"))
        ended = {"failedAt": format_utc(datetime.now(UTC)), "failedShard": number, "lastError": "PassFailed: no"}
        user.writes(number, state="FAILED", **ended, **gone)
    shown = user.sees("list", "--state", "failed")
    assert re.search(r"\x1b\[1;31m(FAILED|failed)", shown)
    planned = user.runs("replay", "--state", "failed", code=1).splitlines()[-1]
    command = shlex.split(planned.partition("To do it:")[2])
    assert command[:2] == ["followups", "replay"]
    shown = user.sees(*command[1:])
    assert "\x1b[32m✓" in shown
    plain = unstyled(shown)
    assert "replay " in plain
    assert "━" in plain
    assert "3 run." in plain
    assert max(len(line) for line in plain.replace("\r", "\n").split("\n")) <= 80


def test_completion_is_a_script_for_bash(user: User) -> None:
    """What --help tells to put into one's profile: bash reads it, and completes with it."""
    ask = 'COMP_WORDS=(followups rep); COMP_CWORD=1; _followups_completion followups; echo "${COMPREPLY[@]}"'
    script = f'eval "$(_FOLLOWUPS_COMPLETE=bash_source followups)"\n{ask}'
    environment = ENVIRONMENT | {"PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=user.folder)
    assert done.stdout == "replay\n"
