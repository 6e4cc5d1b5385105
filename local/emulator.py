"""The emulator's process: started on 127.0.0.1 with an environment of its own, and ended by its id."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
# Each has a stack of its own that `make up` keeps: the tests never touch a developer's.
STATE = Path(os.environ.get("LOCAL_STATE") or ROOT / ".local")
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
MAIN = ROOT / "local" / "emulator_main.py"
HOST = "127.0.0.1"
REGION = "ap-southeast-1"
ACCOUNT = "123456789012"
# Those of the emulators that were started last, with what their functions logged.
_LOGS = STATE / "logs"
_LOGS_KEPT = 20
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

    @property
    def log(self) -> Path:
        """Where it writes what its functions log; the file stays when it has ended."""
        return _LOGS / f"emulator-{self.port}.log"

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
            os.killpg(self.pid, signal.SIGCONT)  # one that was stopped hears nothing else
            _wait_for_end(self.pid)
        shutil.rmtree(_room(self.port), ignore_errors=True)


def start(sweep_every: float = 60, *, kept: bool = False) -> Emulator:
    """Start an emulator on a free port and wait until it answers; its rules fire every so many seconds.

    One to be kept is found again by `find_kept`.
    """
    port = free_port()
    room = _room(port)
    shutil.rmtree(room, ignore_errors=True)
    make_private(room)
    with _new_log(Emulator(0, port).log) as log:
        # A session of its own: Ctrl-C reaches only us, and we end it and its workers together.
        process = subprocess.Popen(
            [PYTHON, "-P", MAIN, "kept" if kept else "run", STATE, str(port)],
            cwd=room,
            env=_environment(room, port) | {"SWEEP_EVERY": str(sweep_every)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
        )
    emulator = Emulator(process.pid, port)
    try:
        _wait_until_up(emulator, process)
    except BaseException:  # Ctrl-C among them: nothing is left running
        emulator.stop()
        raise
    process.returncode = 0  # to Popen; it is ended by its id, maybe by another command
    return emulator


def _new_log(file: Path) -> IO[bytes]:
    make_private(_LOGS)
    with contextlib.suppress(FileNotFoundError):  # another tidies up at the same time
        for old in sorted(_LOGS.iterdir(), key=lambda log: log.stat().st_mtime)[:-_LOGS_KEPT]:
            old.unlink()
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    return file.open("wb")


def find_kept() -> Emulator | None:
    """Return the emulator that was started to be kept, by its process: no file can part from it."""
    for pid, command in _processes():
        _, found, port = command.partition(f"{MAIN} kept {STATE} ")
        if found and port.isdigit():
            return Emulator(pid, int(port))
    return None


def _processes() -> Iterator[tuple[int, str]]:
    if Path("/proc/self/cmdline").exists():
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                parts = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                yield int(folder.name), " ".join(map(os.fsdecode, parts))
    else:
        listed = subprocess.check_output(["/bin/ps", "-axww", "-o", "pid=,command="], text=True)
        for pid, command in (line.split(None, 1) for line in listed.splitlines()):
            yield int(pid), command


def make_private(folder: Path) -> None:
    """Make a folder of the local state, or take the rights of others away from it."""
    for each in (STATE, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        each.chmod(0o700)


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    make_private(file.parent)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as written:  # with mode 0600
        written.write(text)
    Path(written.name).replace(file)


def _wait_until_up(emulator: Emulator, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while not emulator.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise EmulatorError(f"the emulator did not start:\n{emulator.log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)  # it says nothing when it is up, so it is asked


def _environment(room: Path, port: int) -> dict[str, str]:
    # From nothing: the emulator hands its own environment on to the functions.
    return {
        "PATH": os.defpath,
        **dict.fromkeys(("HOME", "TMPDIR"), str(room)),
        **dict.fromkeys(("BIND_HOST", "MINISTACK_HOST"), HOST),
        "GATEWAY_PORT": str(port),
        **dict.fromkeys(("IOT_MTLS_ENABLED", "SFTP_ENABLED"), "0"),
        **dict.fromkeys(("MINISTACK_REGION", "AWS_DEFAULT_REGION"), REGION),
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ACCOUNT),
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
        time.sleep(0.05)  # there is no event for the end of another's process group
    os.killpg(pid, signal.SIGKILL)
