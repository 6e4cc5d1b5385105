"""The local stack as a newcomer uses it: the real programs, the real template, and a shorter minute."""

import io
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

import pytest
import urllib3
from rich.console import Console

from callback.table import format_utc
from local import emulator
from local.emulator import ROOT, Emulator
from local.report import Invocation, while_waiting
from local.run import Progress, picture
from local.samples import EVENTS, NAMES, EventError, read_sample
from local.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
# What a shell may have set: a proxy that answers nobody, an account's settings that lead nowhere.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT / 'functions'}{os.pathsep}{ROOT}",
    "COLUMNS": "80",  # as in CI's log
    **dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.0.0.1:1"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "intranet.example"),
    **dict.fromkeys(("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), "no-such-profile"),
    "AWS_CONFIG_FILE": str(ROOT / "Makefile"),  # which is no INI file
    "AWS_ENDPOINT_URL": "localhost:4566",
    "AWS_DEFAULT_REGION": "",
    "AWS_SESSION_TOKEN": "expired",
}
SAMPLE = read_sample(EVENTS / "authorized.json")
CHECKSUMS = {"browser-return": "missing", "missing-checksum": "missing", "wrong-checksum": "invalid"}
DECLINED = ("--event", str(EVENTS / "declined.json"))
Program = subprocess.Popen[str]


def start(state: Path, *arguments: str, **options: Any) -> Program:
    """Start one of make's commands, with a folder of its own for what it keeps."""
    usual: dict[str, Any] = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
    usual["env"] = usual["env"] | {"LOCAL_STATE": str(state)}
    return subprocess.Popen([sys.executable, "-m", "local", *arguments], cwd=ROOT, encoding="utf-8", **usual)


def ended(process: Program, code: int = 0) -> str:
    """What a command printed, once it has ended with this exit code."""
    with process:
        printed, _ = process.communicate(timeout=300)
    assert process.returncode == code, printed
    return printed


def emulators(state: Path) -> list[str]:
    """The emulators that run in a folder."""
    return [command for command in emulator._processes() if f"{emulator.MAIN} " in command and str(state) in command]


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    """Whole runs, which mostly wait: they start before the other tests here, and are checked after them."""
    commands = {
        "failures": ("--delay", "5", "--failures", "1"),
        "outage": ("--delay", "5", "--latency", "50", "--outage", "10", *DECLINED),
        "cut short": ("--limit", "5", *DECLINED),
    }
    started = {name: start(tmp_path_factory.mktemp("run"), "run", *words) for name, words in commands.items()}
    yield started
    for process in started.values():
        with process:
            process.terminate()


def test_picture_shows_what_waits_and_until_when() -> None:
    """In a terminal of 80 columns each row shows when the next try is, and how many seconds are left."""
    now = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    due = {"state": "PENDING", "nextPassDue": format_utc(now + timedelta(seconds=43)), "orderId": "ORDER-1"}
    item = due | {"passesDone": 1, "passes": [{"number": 1}], "attempts": 2, "attemptsBefore": 1}
    keys = {"chargeId": "charge", "notificationId": "notification"}
    rows = [Progress(read_sample(EVENTS / "pre-authorized.json"), item | keys, now, schedule_gone=True)]
    rows += [Progress(SAMPLE, item | keys | {"attempts": 1}, now)]
    shown = Console(width=80, record=True, file=io.StringIO())
    shown.print(picture(rows, now))
    text = shown.export_text()
    assert re.search(r"pre-authorized .* gone +pass 2, try 2 at 09:30:43, 43 s", text)
    assert re.search(r"authorized .* set +pass 2 at 09:30:43, 43 s", text)


@pytest.mark.parametrize("text", ["{}", "no json", b"\xff\xfe\x00", None, '"text"', "[" * 200_000, bytes(range(256))])
def test_bad_event_is_named(tmp_path: Path, text: str | bytes | None) -> None:
    """An event of the user's own is checked before anything starts, and the error names its file."""
    file = tmp_path / "event.json"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(EventError, match=re.escape(str(file))):
        read_sample(file)


def test_terminal_without_utf_8_gets_the_error_in_one_line(tmp_path: Path) -> None:
    """Exit 2 for a bad event, even if its name looks like markup, or is Thai and the terminal cannot show it."""
    file = tmp_path / "[bold]คำ.json"
    file.write_text("{}")
    ascii_only = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    printed = ended(start(tmp_path, "run", "--event", str(file), env=ascii_only), 2)
    assert printed.startswith("EventError: ")
    assert r"[bold]\u0e04\u0e33.json: " in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_bare_charge_is_an_event(tmp_path: Path, encoding: str) -> None:
    """The bank's documents show one without a gateway around it, and an editor may have saved it in any encoding."""
    file = tmp_path / "charge.json"
    file.write_text(SAMPLE.event["body"], encoding=encoding)
    assert read_sample(file).notification.charge_id == SAMPLE.notification.charge_id


def test_samples_show_no_real_charge_or_key() -> None:
    """They use made-up charges only."""
    assert not re.search("chrg_prod|skey_", "".join(file.read_text() for file in EVENTS.glob("*.json")))


@pytest.mark.parametrize(("sent", "after"), [("SIGINT", "saved"), ("SIGTERM", "Waits"), ("SIGHUP", "Waits")])
def test_interrupt_leaves_nothing_running(sent: str, after: str, tmp_path: Path) -> None:
    """Ctrl-C, a kill or a closed terminal ends a run with its exit code, even one begun in the background."""
    number = signal.Signals[sent]
    ignore: Any = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731 - runs in the child
    with start(tmp_path, "run", *DECLINED, preexec_fn=ignore) as process:
        assert process.stdout
        assert any(after in line for line in iter(process.stdout.readline, ""))
        assert emulators(tmp_path)
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 128 + number
    assert ("nothing is left running" in rest) == (sent == "SIGINT")
    assert not emulators(tmp_path)


def test_signal_counts_even_where_python_drops_its_exception(tmp_path: Path) -> None:
    """As it does in a finaliser: the command goes on to its end, and still its exit code is the signal's."""
    program = """if True:
        import signal, sys
        from local import __main__ as local
        class Finaliser:
            def __del__(self): signal.raise_signal(signal.SIGTERM)
        local.COMMANDS["down"] = lambda *_: Finaliser() is None
        sys.exit(local.main())
    """
    environment = ENVIRONMENT | {"LOCAL_STATE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program, "down"], env=environment, capture_output=True, check=False)
    assert done.returncode == 143


# --- a stack that is kept: the tests are steps, in their order ---


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the state of that stack."""
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def up(state: Path) -> Iterator[Stack]:
    """Two `make up` at once start one stack, in a folder that is its owner's alone, and say what to do next."""
    state.chmod(0o777)
    both = [start(state, "up", "--delay", "3") for _ in range(2)]
    try:
        printed = [ended(process) for process in both]
        assert sum("up already" in text for text in printed) == 1
        assert all("make send " in text and "make down " in text for text in printed)
        assert state.stat().st_mode & 0o777 == 0o700
        yield Stack(Emulator(**json.loads((state / "up.json").read_text())["emulator"]))
    finally:
        if emulators(state):
            ended(start(state, "down"))


HOSTS = ("localhost:4566", "HOST.docker.internal:4566", "host.containers.internal")
TOOL_HEADERS: list[dict[str, str]] = [{}, *({"Host": host} for host in HOSTS)]
# A page may open a web socket to any address, too; the browser then adds its origin.
SOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
PAGE_HEADERS = [
    *({"Host": host} for host in ("shop.example", "127.0.0.1.shop.example:4566", "localhost.shop.example", "")),
    *({"Origin": origin} for origin in ("http://127.0.0.1", "null")),
    *({"origin": "https://shop.example"}, {"Sec-Fetch-Mode": "no-cors"}, {"Referer": "https://shop.example/"}),
    *({"Sec-Fetch-Site": site} for site in ("cross-site", "none")),
    SOCKET | {"Sec-WebSocket-Key": "bm9uY2U=", "Origin": "https://shop.example"},
]


@pytest.mark.parametrize("headers", [*TOOL_HEADERS, *PAGE_HEADERS], ids=str)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_emulator_answers_no_web_page(up: Stack, method: str, headers: dict[str, str]) -> None:
    """A page open in the developer's browser could create and run a function there; tools and containers still may."""
    path = "/_ministack/health" if method == "GET" else "/?Action=ListTopics"
    answer = urllib3.request(method, f"{up.emulator.url}{path}", headers=headers)
    assert (answer.status == 403) == (headers in PAGE_HEADERS)


def test_env_points_a_shell_at_what_is_up(state: Path, up: Stack) -> None:
    """`eval "$(make -s env)"`: an AWS tool then asks the local stack, by no proxy and for no profile."""
    script = 'eval "$("$0" -m local env)" && echo "$AWS_ENDPOINT_URL" "${AWS_PROFILE-none}" "$NO_PROXY"'
    environment = ENVIRONMENT | {"LOCAL_STATE": str(state)}
    printed = subprocess.check_output(["/bin/sh", "-c", script, sys.executable], cwd=ROOT, env=environment, text=True)
    assert printed.split() == [up.emulator.url, "none", "127.0.0.1,intranet.example"]


@pytest.mark.usefixtures("up")
def test_what_is_up_can_be_sent_notifications(state: Path) -> None:
    """`make send COUNT=2`: each is a notification of its own."""
    printed = ended(start(state, "send", "--count", "2", *DECLINED))
    sent = re.findall(r"^ORDER-\d+ ([0-9a-f-]{36}): saved, pass 1 done$", printed, re.MULTILINE)
    assert len(set(sent)) == 2
    assert "Next: followups show ORDER-" in printed


def test_what_is_up_is_found_whatever_happens_to_it(state: Path, up: Stack) -> None:
    """Its file may be lost and its process stopped: `make down` still ends it, and commands then fail with exit 2."""
    note = state / "up.json"  # which `followups --local` reads
    note.write_text("")
    assert "up already" in ended(start(state, "up"))
    assert json.loads(note.read_text())["emulator"]["pid"] == up.emulator.pid
    note.unlink()
    os.kill(up.emulator.pid, signal.SIGSTOP)
    assert "does not answer" in ended(start(state, "up"), 2)
    assert ended(start(state, "down")) == "down\n"
    assert not emulators(state)
    note.touch()
    for command in ("env", "invoke"):
        assert ended(start(state, command, stderr=subprocess.DEVNULL), 2) == ""
    assert ended(start(state, "down")) == "nothing was up\n"


def test_function_that_sleeps_through_the_wait_is_seen() -> None:
    """`function time while waiting` counts an invocation that outlasts the wait, and does not count a short one."""
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    row = Progress(SAMPLE, {"passes": [{"at": format_utc(ended)}]}, schedule_at=ended + timedelta(seconds=60))
    for seconds, counted in ((1, 0), (61, 30_000)):
        end, lines = ended + timedelta(seconds=seconds), (row.key,)
        assert while_waiting(row, [Invocation("", ended, end, 1000 * seconds, 256, lines)]) == counted


# --- whole runs ---


def test_run_takes_every_sample_through_a_failure_and_both_passes(runs: dict[str, Program]) -> None:
    """`make run FAILURES=1`: each notification takes every step, a failed pass is repeated and mailed, and exit 0."""
    printed = ended(runs["failures"])
    failed = r"pass 1 failed, and is due again at \d\d:\d\d:\d\d"
    for name in NAMES:
        steps = ("saved", failed, "pass 1", "schedule set", "pass 2", "schedule gone")
        story = [re.search(rf"^\d\d:\d\d:\d\d {name}: {step}$", printed, re.MULTILINE) for step in steps]
        places = [found.start() for found in story if found]
        assert len(places) == len(steps), printed
        assert places[:4] == sorted(places[:4]), printed
        assert re.search(rf"^ +{name} +{CHECKSUMS.get(name, 'valid')} +DONE ", printed, re.MULTILINE), printed
    assert f"{len(NAMES)} of {len(NAMES)}" in printed
    assert "✗" not in printed
    assert re.search(r"✓\s+error mails, at most \d+\s+[1-9]\d*\s", printed)


def test_run_shows_an_outage_and_how_it_heals(runs: dict[str, Program]) -> None:
    """`make run OUTAGE=10`: what was not saved comes back from the retry queue, a failed pass at the time shown."""
    printed = ended(runs["outage"])
    story = (
        "CreditCardNotifyTable is out of DelayedNotify's reach",
        "declined: not saved",
        "declined: saved",
        "CreditCardNotifyTable is back",
        "declined: pass 1",
        "ProcessPaidOrder is down for 10 s",
        "declined: pass 2 failed, and is due again at",
        "ProcessPaidOrder is back",
        "declined: pass 2\n",
    )
    assert sorted(story, key=printed.index) == list(story)
    assert "✗" not in printed
    assert "What it cannot show" in printed


def test_run_that_does_not_hold_its_promises_says_so(runs: dict[str, Program]) -> None:
    """If a notification is not done when the run ends, the failed promise is marked, and the exit code is 1."""
    printed = ended(runs["cut short"], 1)
    assert re.search(r"✗\s+records that are DONE\s+0 of 1", printed)
    log = re.search(r"^What was logged is in (.+)$", printed, re.MULTILINE)
    assert log
    assert "payment3-delayed-notify-dev" in Path(log[1]).read_text()
