"""The installed program `followups`, as a new user has it, against the local stack: each command, once for real."""

import fcntl
import json
import os
import re
import shlex
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

import pytest

from callback.clock import format_utc
from callback.notification import parse_notification
from local import emulator
from local.emulator import ROOT
from local.samples import EVENTS
from local.stack import Options, Stack, build, deploy, furnish
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.dead_letter_events import on_failure

pytestmark = [
    pytest.mark.stack,
    pytest.mark.enable_socket,
    # An emulator is let go as a process and ended by its id, which Popen does not like.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROGRAM = Path(sys.executable).parent / "followups"
EVENT = EVENTS / "authorized.json"
COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class User:
    """Who has a stack up, and a terminal in the folder where it was started."""

    stack: Stack
    folder: Path

    def runs(self, *arguments: str | Path, code: int = 0) -> str:
        """Run the program into a pipe, and return what it printed."""
        done = subprocess.run(
            [PROGRAM, "--local", *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def sees(self, *arguments: str) -> str:
        """Run the program in a terminal of 80 columns, and return what is shown there."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with subprocess.Popen(
            [PROGRAM, "--local", *arguments],
            cwd=self.folder,
            env=environment() | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b"".join(iter(lambda: read(ours), b""))
        os.close(ours)
        assert process.returncode == 0, shown
        return shown.decode()

    def table(self) -> Any:
        """The notifications."""
        return self.stack.table(self.stack.outputs["CreditCardNotifyTable"])

    def writes(self, number: int, **changes: Any) -> dict[str, Any]:
        """Let there be another notification, whose pass 1 was due ten minutes ago; None takes an attribute away."""
        ids = {"notificationId": f"{NOTIFICATION}-{number}", "orderId": f"ORDER-{number}"}
        item: dict[str, Any] = self.table().get_item(Key={"chargeId": CHARGE, "notificationId": NOTIFICATION})["Item"]
        due = format_utc(datetime.now(UTC) - timedelta(minutes=10))
        item |= ids | {"state": "PENDING", "passesDone": Decimal(0), "passes": [], "attempts": Decimal(1)}
        item |= {"attemptsBefore": Decimal(0), "nextPassDue": due, "firstDue": due, "sweepAt": due} | changes
        self.table().put_item(Item={name: value for name, value in item.items() if value is not None})
        return ids


def environment() -> dict[str, str]:
    """Nobody's account, and no folder of ours on the path: the program was installed."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def read(terminal: int) -> bytes:
    """What is shown next; nothing at the end."""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux's way to say that the other side was closed
        return b""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A stack that is up, with one notification that waits for its recheck."""
    folder = tmp_path_factory.mktemp("checkout")
    build()
    started = emulator.start(sweep_every=86_400)  # what is overdue is the tests' own
    try:
        stack = deploy(started, Options(delay=600, latency_ms=1))
        (folder / ".local").mkdir()
        (folder / ".local" / "up.json").write_text(json.dumps({"emulator": {}, "session": stack.reach}))
        event = json.loads(EVENT.read_text())
        furnish(stack, parse_notification(event))
        function = stack.outputs["DelayedNotifyFunction"]
        stack.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        yield User(stack, folder)
    finally:
        started.stop()


def test_order_is_shown_listed_verified_and_replayed(user: User) -> None:
    """By its ids, as lines and as JSON, with the stack's own secret; what is overdue is run once."""
    said = user.runs("show", ORDER)
    assert said.startswith(f"Order {ORDER}: waiting, passes completed: 1, checksum valid\n")
    for what in ("received", "checksum  valid", "pass 1", "schedule", "waits", "next  the timer starts pass 2"):
        assert f"  {what}" in said
    assert json.loads(user.runs("show", NOTIFICATION, "--json"))["notifications"][0]["state"] == "PENDING"
    listed = [json.loads(line) for line in user.runs("list", "--state", "pending", "--json").splitlines()]
    assert NOTIFICATION in {one["notificationId"] for one in listed}
    assert user.runs("verify", EVENT).startswith("valid: with the current key, plain form\n")
    assert user.runs("verify", EVENTS / "wrong-checksum.json", code=1).startswith("invalid: ")
    user.writes(2)
    assert "ORDER-2" in user.runs("list")
    assert "pass 1 was run" in user.runs("replay", "ORDER-2")
    assert "left: pass 2 is due at" in user.runs("replay", "ORDER-2")


def test_dead_letter_is_listed_and_goes_back(user: User) -> None:
    """It lies there, it goes back through the retry queue and the deployed RetryFunction, and lies there no more."""
    event = json.loads(EVENT.read_text())
    event["requestContext"]["requestId"] = unsaved = f"{NOTIFICATION}-1"
    letter = on_failure(user.stack.outputs["DelayedNotifyFunctionArn"], "a-request", event, OSError("asleep"))
    user.stack.client("sqs").send_message(QueueUrl=user.stack.outputs["FailureQueue"], **letter)
    # One queue: each is waited for, a second long, before it is taken for empty.
    queue = ("--queue", "FailureQueue")
    said = user.runs("dead-letters", "list", *queue)
    assert re.search(rf"FailureQueue  on-failure  .* notificationId={unsaved} .*  \d+ s old  OSError: asleep\n", said)
    assert user.runs("dead-letters", "redrive", "--yes", *queue).endswith("Dead letters: 1, staying: 0.\n")
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
    command = shlex.split(planned.removeprefix("To run them:"))
    assert command[:2] == ["followups", "replay"]
    shown = user.sees(*command[1:])
    assert "\x1b[32m✓" in shown
    plain = COLOUR.sub("", shown)
    assert "replaying" in plain
    assert "━" in plain
    assert "Notifications: 3, run: 3, left alone: 0, failed again: 0." in plain
    assert max(len(line) for line in plain.replace("\r", "\n").split("\n")) <= 80


def test_completion_is_a_script_that_bash_takes(user: User) -> None:
    """What --help tells to put into one's profile: bash reads it, and completes with it."""
    script = subprocess.run(
        [PROGRAM],
        env=environment() | {"_FOLLOWUPS_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
        cwd=user.folder,
    ).stdout
    ask = 'COMP_WORDS=(followups rep); COMP_CWORD=1; _followups_completion followups; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"],  # noqa: S607 - the shell that people have
        env=environment() | {"PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "replay\n"


def test_without_a_stack_that_is_up_it_says_what_to_do(tmp_path: Path) -> None:
    """`--local` before `make up`: exit 2, and the command."""
    if (ROOT / ".local" / "up.json").exists():
        pytest.skip("a stack is up in this checkout")
    done = subprocess.run(
        [PROGRAM, "list", "--local"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no local stack is up: `make up` starts the local stack" in done.stderr
