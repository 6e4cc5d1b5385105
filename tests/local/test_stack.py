"""The local stack as a newcomer uses it: the real programs, the real template, a real minute made short."""

import io
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection
from typing import Any

import boto3
import pytest
import yaml
from rich.console import Console

from callback.clock import format_utc
from local import emulator
from local.containers import bridged
from local.emulator import ROOT
from local.progress import Progress, picture
from local.report import Invocation, while_waiting
from local.samples import EVENTS, NAMES, read_sample
from local.stack import Options, build, deploy

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
COMMAND = [sys.executable, "-m", "local"]
STATE = ROOT / ".local" / "tests"
KEPT = STATE / "up.json"
# What a shell may have set: a proxy that answers nobody, an account's settings that lead nowhere, and no UTF-8.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT / 'functions'}{os.pathsep}{ROOT}",
    "LOCAL_STATE": str(STATE),
    "COLUMNS": "100",
    **dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:1"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "intranet.example"),
    **dict.fromkeys(("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), "no-such-profile"),
    "AWS_CONFIG_FILE": str(ROOT / "Makefile"),  # which is no INI file
    "AWS_ENDPOINT_URL": "localhost:4566",
    "AWS_DEFAULT_REGION": "",
    "AWS_SESSION_TOKEN": "expired",
}
SAMPLE = read_sample(EVENTS / "authorized.json")
Program = subprocess.Popen[str]


def start(*arguments: str, **options: Any) -> Program:
    """Start one of the commands behind make."""
    usual: dict[str, Any] = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, encoding="utf-8", **usual | options)


def local(*arguments: str) -> tuple[int, str]:
    """Run one of the commands behind make, and return its exit code and what it printed."""
    with start(*arguments) as process:
        printed, _ = process.communicate(timeout=180)
    return process.returncode, printed


def test_terminal_without_utf_8_gets_a_question_mark(tmp_path: Path) -> None:
    """A mark that it cannot show, or a Thai name, changes nothing of the command's work and its exit code."""
    event = tmp_path / "คำสั่ง.json"
    event.write_text("{}")
    ascii_only = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with start("run", "--event", str(event), env=ascii_only) as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "EventError: " in printed
    assert "??????.json" in printed


def hold(code: int, printed: str) -> None:
    """A run found that every promise holds."""
    assert code == 0, printed
    assert "✗" not in printed


def test_run_takes_every_sample_through_both_passes() -> None:
    """`make run`: the template deployed, each notification seen through every step, all promises checked, exit 0."""
    code, printed = local("run", "--delay", "5")
    hold(code, printed)
    for name in NAMES:
        for step in ("saved", "pass 1", "schedule armed", "pass 2", "schedule gone"):
            assert re.search(rf"^\d\d:\d\d:\d\d {name}: {step}$", printed, re.MULTILINE), printed
    assert f"{len(NAMES)} of {len(NAMES)}" in printed
    assert not _emulators()


@pytest.fixture(scope="module")
def healed() -> dict[str, str]:
    """What two runs of one event printed, at once since both mostly wait: a pass that fails first, and an outage."""
    one = ("run", "--delay", "3", "--latency", "50", "--event", str(EVENTS / "declined.json"))
    told = {}
    with start(*one, "--failures", "1") as failures, start(*one, "--outage", "10") as outage:
        for name, process in (("failures", failures), ("outage", outage)):
            told[name], _ = process.communicate(timeout=300)
            hold(process.returncode, told[name])
    return told


def test_run_heals_a_pass_that_failed(healed: dict[str, str]) -> None:
    """`make run EVENT=… FAILURES=1`: the sweep brings pass 1 back after a minute, and one mail told of it."""
    printed = healed["failures"]
    assert re.search(r"declined: pass 1 failed, and is due again at \d\d:\d\d:\d\d\n", printed)
    assert re.search(r"✓\s+error mails, at most \d+\s+1\s", printed)


def test_run_shows_an_outage_and_how_it_heals(healed: dict[str, str]) -> None:
    """`make run OUTAGE=10`: what was not saved comes back from the retry queue, a failed pass at the time shown."""
    printed = healed["outage"]
    story = (
        "CreditCardNotifyTable is out of DelayedNotify's reach",
        "declined: not saved",
        "declined: saved",
        "CreditCardNotifyTable is back",
        "declined: pass 1",
        "ProcessPaidOrder is away for 10 s",
        "declined: pass 2 failed, and is due again at",
        "ProcessPaidOrder is back",
        "declined: pass 2\n",
    )
    assert [text for _, text in sorted((printed.index(text), text) for text in story)] == list(story)
    assert "What it cannot show" in printed


def test_run_that_does_not_hold_its_promises_says_so() -> None:
    """A notification that is not through when the run is over: a mark at what does not hold, and exit code 1."""
    code, printed = local("run", "--event", str(EVENTS / "authorized.json"), "--failures", "9", "--limit", "6")
    assert code == 1, printed
    assert re.search(r"✗\s+records that are DONE\s+0 of 1", printed)
    log = re.search(r"^What was logged is in (.+)$", printed, re.MULTILINE)
    assert log
    assert "PassFailed" in Path(log[1]).read_text()


def test_picture_shows_what_waits_and_until_when() -> None:
    """In a terminal of 80 columns each row has its next try, with the seconds until then."""
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    due = {"state": "PENDING", "nextPassDue": format_utc(now + timedelta(seconds=43)), "orderId": "ORDER-1"}
    item = due | {"passesDone": 1, "passes": [{"number": 1}], "attempts": 2, "attemptsBefore": 1}
    keys = {"chargeId": "charge", "notificationId": "notification"}
    rows = [Progress(read_sample(EVENTS / "pre-authorized.json"), item | keys, now, schedule_gone=True)]
    rows += [Progress(SAMPLE, item | keys | {"attempts": 1}, now + timedelta(seconds=44))]
    shown = Console(width=80, record=True, file=io.StringIO())
    shown.print(picture(rows, now))
    text = shown.export_text()
    assert re.search(r"pre-authorized .* gone +pass 2, try 2 at 09:30:43, 43 s", text)
    assert re.search(r"authorized .* armed +pass 2 at 09:30:44, 44 s", text)


@pytest.fixture(scope="module")
def alone() -> Iterator[emulator.Emulator]:
    """An emulator with nothing deployed to it."""
    started = emulator.start()
    yield started
    started.stop()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:4566"}, 200),
        ({"Host": "HOST.docker.internal:4566"}, 200),
        ({"Host": "host.containers.internal"}, 200),
        ({"Host": "shop.example"}, 403),
        ({"Host": "127.0.0.1.shop.example:4566"}, 403),
        ({"Host": "localhost.shop.example"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
        ({"origin": "https://shop.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Referer": "https://shop.example/"}, 403),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_emulator_answers_no_web_page(
    alone: emulator.Emulator, method: str, headers: dict[str, str], status: int
) -> None:
    """Any page that is open in the developer's browser could make and run a function there; a container still can."""
    path = "/_ministack/health" if method == "GET" else "/?Action=ListTopics"
    assert (_status(alone, method, path, headers) == 403) == (status == 403)


def test_emulator_opens_no_web_socket_for_a_page(alone: emulator.Emulator) -> None:
    """A page may open one to any address, and says where it comes from."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "https://shop.example"}
    assert _status(alone, "GET", "/_aws/execute-api/abc/dev/", upgrade | key) == 403


def _status(asked: emulator.Emulator, method: str, path: str, headers: dict[str, str]) -> int:
    with closing(HTTPConnection("127.0.0.1", asked.port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        with connection.getresponse() as answer:
            return answer.status


def test_state_is_its_owner_s_alone(alone: emulator.Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders 0700 and files 0600, whatever they were before and whatever the umask is."""
    assert {oct(folder.stat().st_mode)[-3:] for folder in (emulator.STATE, alone.log.parent)} == {"700"}
    assert oct(alone.log.stat().st_mode)[-3:] == "600"
    monkeypatch.setattr(emulator, "STATE", tmp_path / ".local")
    note = tmp_path / ".local" / "up.json"
    note.parent.mkdir(mode=0o777)
    note.parent.chmod(0o777)
    note.touch(mode=0o666)
    emulator.write_private(note, "whole")
    assert (oct(note.parent.stat().st_mode)[-3:], oct(note.stat().st_mode)[-3:]) == ("700", "600")
    assert [file.name for file in note.parent.iterdir()] == ["up.json"]


@pytest.mark.parametrize("text", ["{}", "no json", b"\xff\xfe\x00", None, '"text"', "[" * 200_000, bytes(range(256))])
def test_run_refuses_a_bad_event_before_it_starts_anything(tmp_path: Path, text: str | bytes | None) -> None:
    """One's own event is checked first: exit 2, and one line that names the file."""
    file = tmp_path / "[bold]event.json"  # to rich its name is markup
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    code, printed = local("run", "--event", str(file))
    assert code == 2
    assert f"EventError: {file}" in printed.replace("\n", "")
    assert "Traceback" not in printed


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_bare_json_of_the_bank_is_an_event(tmp_path: Path, encoding: str) -> None:
    """What the bank's documents show, without a gateway around it, in whatever encoding an editor saved it."""
    file = tmp_path / "charge.json"
    file.write_text(SAMPLE.event["body"], encoding=encoding)
    assert read_sample(file).notification.charge_id == SAMPLE.notification.charge_id


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
def test_interrupt_leaves_nothing_running(sent: signal.Signals, code: int) -> None:
    """Ctrl-C, a kill or a closed terminal in the middle of the wait: its exit code, and no process left.

    Begun as a job in the background would be, with SIGINT ignored.
    """
    ignore: Any = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731 - runs in the child
    with start("run", "--event", str(EVENTS / "authorized.json"), preexec_fn=ignore) as process:
        assert process.stdout
        assert any("schedule armed" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(sent)
        rest = process.stdout.read()
    assert process.returncode == code
    assert ("nothing is left running" in rest) == (sent == signal.SIGINT)
    assert not _emulators()


def test_up_keeps_a_stack_for_other_tools_until_down() -> None:
    """Two `make up` at once start one stack, and say what to do next; `make send` and the shell reach it."""
    try:
        with start("up", "--delay", "3") as first, start("up", "--delay", "3") as second:
            printed = [process.communicate(timeout=180)[0] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), printed
        assert sum("up already" in text for text in printed) == 1
        assert all("make send " in text and "make down " in text for text in printed)
        kept = json.loads(KEPT.read_text())["emulator"]
        url = _leads_a_shell()
        assert url == f"http://127.0.0.1:{kept['port']}"
        _answers(url)
        _can_be_run_in_containers(url)
        _can_be_sent_notifications()
        _is_found_whatever_happens_to_it(kept["pid"])
    finally:
        assert local("down") == (0, "down\n")
    assert not _emulators()


def _leads_a_shell() -> str:
    script = 'eval "$("$0" -m local env)" && echo "$AWS_ENDPOINT_URL" "${AWS_PROFILE-none}" "$NO_PROXY"'
    command = ["/bin/sh", "-c", script, sys.executable]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    url, profile, past_the_proxy = done.stdout.split()
    assert (profile, past_the_proxy) == ("none", "127.0.0.1,intranet.example")
    return url


def _can_be_sent_notifications() -> None:
    code, printed = local("send", "--count", "2", "--event", str(EVENTS / "declined.json"))
    assert code == 0, printed
    sent = re.findall(r"^ORDER-\d+ ([0-9a-f-]{36}): saved, pass 1 done$", printed, re.MULTILINE)
    assert len(set(sent)) == 2
    assert "Next: followups show ORDER-" in printed


def _is_found_whatever_happens_to_it(process: int) -> None:
    # A note that a full disk left empty; and a process that somebody stopped.
    KEPT.write_text("")
    assert "up already" in local("up")[1]
    assert json.loads(KEPT.read_text())["emulator"]["pid"] == process
    KEPT.unlink()
    os.kill(process, signal.SIGSTOP)
    code, printed = local("up")
    assert (code, "does not answer" in printed) == (2, True)


def _answers(url: str) -> None:
    keys: Any = {"aws_access_key_id": "123456789012", "aws_secret_access_key": "local"}
    event = (EVENTS / "authorized.json").read_bytes()
    client = boto3.client("lambda", endpoint_url=url, **keys)
    answer = client.invoke(FunctionName="payment3-delayed-notify-dev", Payload=event)
    assert json.load(answer["Payload"])["statusCode"] == 200


def _can_be_run_in_containers(url: str) -> None:
    # `sam local` gets the built functions, every variable with its value, and an endpoint that containers reach.
    template: dict[str, Any] = yaml.safe_load((STATE / "sam-local.yaml").read_text())
    functions = [r["Properties"] for r in template["Resources"].values() if r["Type"].endswith("Serverless::Function")]
    assert len(functions) == 4
    for function in functions:
        variables = function["Environment"]["Variables"]
        assert variables["AWS_ENDPOINT_URL"] == url.replace("127.0.0.1", "host.docker.internal")
        assert variables["CREDIT_CARD_NOTIFY_TABLE"] == "payment3-credit-card-notify-dev"
        assert (Path(function["CodeUri"]) / "callback" / "app.py").is_file()


@pytest.mark.parametrize(("command", "code"), [("invoke", 2), ("send", 2), ("env", 2), ("down", 0)])
def test_command_without_up_says_so(command: str, code: int) -> None:
    """It may be called at any time, also after a crash that left an empty note; `eval` gets nothing to run."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.touch()
    with start(command, stderr=subprocess.PIPE) as process:
        printed, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert (printed + said).count("\n") == 1
    assert (printed, said) == ("nothing was up\n", "") if code == 0 else not printed and "`make up` first" in said


def test_what_no_retry_can_help_goes_to_the_refused_queue() -> None:
    """Lambda's tries, OnFailure, the retry queue and RetryFunction, all as deployed; the message says why."""
    build()
    started = emulator.start()
    try:
        stack = deploy(started, Options(delay=3, latency_ms=1))
        broken = json.dumps(SAMPLE.event | {"body": "{}"})
        function, sqs = stack.outputs["DelayedNotifyFunction"], stack.client("sqs")
        stack.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=broken)
        [message] = sqs.receive_message(
            QueueUrl=stack.outputs["RefusedQueue"], WaitTimeSeconds=20, MessageAttributeNames=["All"]
        )["Messages"]
        assert message["MessageAttributes"]["errorType"]["StringValue"] == "InvalidNotification"
        assert json.loads(message["Body"])["requestPayload"] == json.loads(broken)
        while stack.messages() != {"RetryQueue": 0, "RefusedQueue": 1, "FailureQueue": 0}:
            pass  # pytest's caller has the patience, not this test
    finally:
        started.stop()


def test_function_that_sleeps_through_the_wait_is_seen() -> None:
    """`function time while waiting` is no empty check: an invocation that outlasts the wait counts, a short one not."""
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    row = Progress(SAMPLE, {"passes": [{"at": format_utc(ended)}]}, schedule_at=ended + timedelta(seconds=60))

    def waiting(seconds: int) -> float:
        lines = ({"notificationId": SAMPLE.notification.notification_id},)
        end = ended + timedelta(seconds=seconds)
        return while_waiting(row, [Invocation("", ended, end, 1000 * seconds, 256, lines)])

    assert (waiting(1), waiting(61)) == (0, 30_000)


def test_container_reaches_the_stack_over_the_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the bridge's address is answered by the same port of 127.0.0.1."""
    monkeypatch.setattr("platform.system", lambda: "Linux")

    class Upper(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline().upper())

    with socketserver.TCPServer(("127.0.0.1", 0), Upper) as server:
        port = server.server_address[1]
        threading.Thread(target=server.handle_request).start()
        with bridged("127.0.0.2", port), create_connection(("127.0.0.2", port)) as connection:
            connection.sendall(b"paid\n")
            assert connection.makefile("rb").read() == b"PAID\n"


def _emulators() -> list[str]:
    # Those that nobody has in hand any more: one whose parent lives is another test's.
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)  # noqa: S607
    processes = [line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:]]
    living = {pid for pid, _, arguments in processes if "python" in arguments and pid != "1"}
    ours = [line for line in processes if str(emulator.MAIN) in line[2]]
    return [arguments for _, parent, arguments in ours if parent not in living]
