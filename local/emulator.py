"""The emulator's process: started on 127.0.0.1 with an environment of its own, and ended by its id."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
HOST = "127.0.0.1"
REGION = "ap-southeast-1"
ACCOUNT = "123456789012"
# Of the emulator that ended last, with what its functions logged.
LOG = STATE / "emulator.log"
# It looks every 10 s for schedules that are due; a run would only show its idling. It waits 50 ms for a function's log
# line, and on a busy machine misses it. It knows no saved queries, and refuses a template that has some: here they are
# made, and do nothing.
_MAIN = """
import os
from ministack.core import lambda_runtime
from ministack.services import eventbridge, scheduler
from ministack.services.cloudformation import provisioners
scheduler._SCHEDULE_TICK_INTERVAL = eventbridge._SCHEDULER_TICK_INTERVAL = 0.2
eventbridge._parse_rate_seconds = lambda _: float(os.environ["SWEEP_EVERY"])
lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (2.0, 0.02, 3.0)
saved = {"create": lambda name, *_: (name, {}), "delete": lambda *_: None}
provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = saved
from ministack.app import main
main()
"""
# No proxy leads to this machine itself.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class EmulatorError(Exception):
    """The emulator did not come up; the message says where its log is."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """What AWS_ENDPOINT_URL is to be."""
        return f"http://{HOST}:{self.port}"

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return bool(self.ask("health"))
        except OSError:
            return False

    def ask(self, what: str) -> Any:  # noqa: ANN401 - whatever it answers
        """Return what it says of itself: `health`, or the mails sent."""
        with _OPENER.open(f"{self.url}/_ministack/{what}", timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the process group that `start` made, and what it left on disk."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
            _wait_for_end(self.pid)
        with contextlib.suppress(OSError):
            shutil.move(_room(self.port) / "emulator.log", LOG)
        shutil.rmtree(_room(self.port), ignore_errors=True)


def start(sweep_every: float = 60) -> Emulator:
    """Start an emulator on a free port and wait until it answers; its rules fire every so many seconds."""
    port = free_port()
    room = _room(port)
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    with (room / "emulator.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches only us, and we end it and its workers together.
        process = subprocess.Popen(
            [PYTHON, "-c", _MAIN],
            cwd=room,
            env=_environment(room, port) | {"SWEEP_EVERY": str(sweep_every)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    emulator = Emulator(process.pid, port)
    try:
        _wait_until_up(emulator, process)
    except BaseException:  # Ctrl-C among them: nothing is left running
        emulator.stop()
        raise
    return emulator


def _wait_until_up(emulator: Emulator, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while not emulator.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            text = (_room(emulator.port) / "emulator.log").read_text(errors="replace")
            raise EmulatorError(f"the emulator did not start:\n{text[-2000:]}")
        time.sleep(0.05)


def _environment(room: Path, port: int) -> dict[str, str]:
    # From nothing: the emulator hands its own environment on to the functions.
    return {
        "PATH": os.defpath,
        "HOME": str(room),
        "TMPDIR": str(room),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def _room(port: int) -> Path:
    return STATE / f"emulator-{port}"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):  # not ours to reap: `make down` after `make up`
            os.waitpid(pid, os.WNOHANG)
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
