"""The installed program `followups`, as a new user has it, runs each command once against the local stack."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from callback.notification import parse_notification
from callback.table import format_utc
from local import emulator
from local.emulator import ROOT
from local.samples import EVENTS
from local.stack import Options, Stack, build, deploy, furnish
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import notification, notify_letter, unstyled

pytestmark = [
    pytest.mark.stack,
    pytest.mark.enable_socket,
    # An emulator is let go as a process and ended by its id, which Popen does not like.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
EVENT = shlex.quote(str(EVENTS / "authorized.json"))
PREFLIGHT = shlex.join(["preflight", f"--config-file={ROOT}/samconfig.toml", f"--template={ROOT}/template.yaml"])
# Neither an account nor PYTHONPATH: the program was installed.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
ENVIRONMENT |= {"TERM": "xterm-256color", "COLUMNS": "80"}
# One queue, because a command waits a second before it takes a queue for empty.
QUEUE = "--queue FailureQueue"
LINE = f"FailureQueue on-failure .* notification {NOTIFICATION}-8 .* s old  "
WAITING = f'"notificationId": "{NOTIFICATION}", .*"state": "PENDING"'


@dataclass(frozen=True)
class User:
    """A user in the folder where a stack was started; `letters` holds the ids of the messages that were sent."""

    stack: Stack
    folder: Path
    letters: dict[str, str] = field(default_factory=dict)

    def sees(self, command: str, code: int = 0, *, in_terminal: bool = False) -> str:
        """Run the program, answer yes, and return what it printed."""
        with self.starts(command, in_terminal=in_terminal) as process:
            printed, _ = process.communicate("y\n")
        assert process.returncode == code, printed
        return printed

    def starts(self, command: str, *, in_terminal: bool = False) -> subprocess.Popen[str]:
        """Start the program in a pipe or a terminal of 80 columns; it is ended after a minute."""
        words = [f"{Path(sys.executable).parent}/followups", "--local", *shlex.split(command.format(**self.letters))]
        if in_terminal:
            words = ["script", "--quiet", "--return", "--command", f"exec {shlex.join(words)}", os.devnull]
        how: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
        words = ["/usr/bin/timeout", "--foreground", "60", *words]
        return subprocess.Popen(words, cwd=self.folder, env=ENVIRONMENT, **how)

    def writes_failed(self, number: int) -> None:
        """Store another notification, whose pass 1 has failed for good."""
        table: Any = self.stack.table(self.stack.outputs["CreditCardNotifyTable"])
        item: dict[str, Any] = table.get_item(Key={"chargeId": CHARGE, "notificationId": NOTIFICATION})["Item"]
        item |= {"notificationId": f"{NOTIFICATION}-{number}", "orderId": f"ORDER-{number}", "state": "FAILED"}
        item |= {"passesDone": Decimal(0), "passes": [], "attempts": Decimal(1), "attemptsBefore": Decimal(0)}
        item |= {"failedAt": format_utc(datetime.now(UTC)), "failedShard": number, "lastError": "PassFailed: no"}
        table.put_item(Item={name: item[name] for name in item.keys() - {"nextPassDue", "sweepShard", "sweepAt"}})

    def posts(self, name: str, queue: str, event: object) -> None:
        """Send a message to a queue."""
        letter = notify_letter(event, OSError("asleep"), self.stack.outputs["DelayedNotifyFunctionArn"])
        sent = self.stack.client("sqs").send_message(QueueUrl=self.stack.outputs[queue], **letter)
        self.letters[name] = sent["MessageId"][:8]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A stack that is up, with something for each command to act on."""
    folder = tmp_path_factory.mktemp("checkout")
    # A child process would inherit an ignored Ctrl-C.
    before_all = signal.signal(signal.SIGINT, signal.default_int_handler)
    build()
    started = emulator.start(sweep_every=86_400)  # what is overdue is the tests' own
    try:
        (folder / ".local").mkdir()
        (folder / ".local" / "up.json").write_text(json.dumps({"emulator": {}, "session": Stack(started).reach}))
        stack = deploy(started, Options(delay=600, latency_ms=1))
        furnish(stack, parse_notification(notification()))
        function, payload = stack.outputs["DelayedNotifyFunction"], json.dumps(notification())
        stack.client("lambda").invoke(FunctionName=function, Payload=payload)
        user = User(stack, folder)
        for number in (2, 4, 5):
            user.writes_failed(number)
        user.posts("unsaved", "FailureQueue", notification(8))
        user.posts("nonsense", "RefusedQueue", {"body": "nonsense"})
        yield user
    finally:
        started.stop()
        signal.signal(signal.SIGINT, before_all)


# Only a terminal is asked a question.
@pytest.mark.parametrize(
    ("command", "codes", "line", "shown"),
    [
        (f"show {ORDER}", (0, 0), f"Order {ORDER}: waiting, passes completed: 1, ", "valid (plain form)"),
        (f"show {NOTIFICATION} --json", (0, 0), WAITING, '"status": "waiting"'),
        ("list --state pending", (0, 0), f"waiting .*{ORDER}", f"{ORDER} valid"),
        ("watch --once", (0, 0), "Failed  3\n", "3 failed · 1 waiting"),
        (f"replay --dry-run {ORDER}", (0, 0), "left: pass 2 is due at 20", "ORDER-1001"),
        ("replay ORDER-2", (0, 0), "pass 1 was run: now PENDING", "left: pass 2 is due at"),
        ("resolve ORDER-4 --reason settled", (0, 0), "ORDER-4 .* resolved: settled\n", "resolved already"),
        ("forget ORDER-5", (1, 0), "would be erased: body.*\nNothing was changed", "erased:"),
        (f"verify {EVENT}", (0, 0), "^valid: with the current key, plain form\n", "amount=200.5000 currency=THB"),
        (f"verify {NOTIFICATION}", (0, 0), "when it came:  valid\n", "when it came: valid"),
        (PREFLIGHT, (0, 0), r"ok  parameters  .*ErrorMailFrom=(?s:.*)\n0 stop, 0 warn, ", "0 stop, 0 warn, 5 ok"),
        (f"dead-letters list {QUEUE}", (0, 0), f"{LINE}OSError: asleep\nFailureQueue: 1", "OSError: asleep"),
        (f"dead-letters show {QUEUE} {{unsaved}}", (0, 0), '"error": "OSError: asleep", ', '"messageId":'),
        (f"dead-letters export {QUEUE} {{unsaved}}", (0, 0), '"event": {"resource": ".*"requestId":', '"event":'),
        (f"dead-letters redrive {QUEUE} {{unsaved}}", (0, 1), f"{LINE}sent; OSError", "Nothing to redrive."),
        ("dead-letters discard {nonsense}", (1, 0), "would be deleted; .*\nNothing was changed", "deleted; "),
    ],
)
def test_command_in_pipe_and_terminal(user: User, command: str, codes: tuple[int, int], line: str, shown: str) -> None:
    """A pipe gets lines or JSON without control characters, a terminal gets tables; each has its exit code."""
    piped = user.sees(command, codes[0])
    assert re.search(line, piped), piped
    assert "\x1b" not in piped
    screen = unstyled(user.sees(command, codes[1], in_terminal=True))
    assert "".join(shown.split()) in "".join(screen.split()), screen


@pytest.mark.parametrize(
    ("command", "in_terminal", "shows"),
    [("watch", True, "waiting"), ("board --no-browser", True, "http:"), ("board --no-browser", False, "http:")],
)
def test_live_views_end_with_ctrl_c(user: User, command: str, shows: str, *, in_terminal: bool) -> None:
    """Ctrl-C is exit code 0, in a terminal and in a pipe; until then the board's address serves the page."""
    with user.starts(command, in_terminal=in_terminal) as process:
        line = next(line for line in process.stdout or [] if shows in line)
        if address := re.search(r"http://127\.0\.0\.1:\d+/", line):
            with urlopen(address[0]) as answer:  # noqa: S310 - it is on 127.0.0.1
                assert ORDER in answer.read().decode()
        if not in_terminal:
            process.send_signal(signal.SIGINT)
        process.communicate("\x03")
    assert process.returncode == 0
