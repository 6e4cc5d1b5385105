"""The emulator's process: started on 127.0.0.1 with its own environment, and ended by its id."""

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The tests have their own folder, so that they never touch a developer's stack.
STATE = Path(os.environ.get("LOCAL_STATE") or ROOT / ".local")
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
MAIN = ROOT / "local" / "emulator_main.py"
HOST = "127.0.0.1"
REGION = "ap-southeast-1"
ACCOUNT = "123456789012"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
# No proxy leads to this machine itself.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StackError(Exception):
    """The local stack cannot be built, started or reached; the message says why."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """The value for AWS_ENDPOINT_URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file that its functions log to; it is kept when the emulator has ended."""
        return STATE / "logs" / f"emulator-{self.port}.log"

    @property
    def folder(self) -> Path:
        """The folder it works in, which is removed when it has ended."""
        return STATE / f"emulator-{self.port}"

    def ask(self, what: str) -> Any:  # noqa: ANN401 - whatever it answers
        """Return what it reports of itself: `health`, or the mails sent. Raises `OSError` if it does not answer."""
        with _OPENER.open(f"{self.url}/_ministack/{what}", timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End its process group, even if it is suspended, and remove what it left on disk."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # `make down` ends what another process started
            os.waitpid(self.pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(sweep_every: float = 60, *, kept: bool = False) -> Emulator:
    """Start an emulator on a free port and wait until it answers. `find_kept` finds one that was started as `kept`."""
    new = Emulator(0, free_port())
    for folder in (STATE, new.folder, new.log.parent):
        folder.mkdir(exist_ok=True, parents=True)
    STATE.chmod(0o700)
    with contextlib.suppress(FileNotFoundError):  # another process tidies up at the same time
        for old in sorted(new.log.parent.iterdir(), key=os.path.getmtime)[:-20]:
            old.unlink()
    with new.log.open("wb") as log:
        # In a separate session: Ctrl-C reaches only this process, which ends the emulator and its workers together.
        process = subprocess.Popen(
            [PYTHON, "-P", MAIN, "kept" if kept else "run", STATE, str(new.port)],
            cwd=new.folder,
            env=_environment(new) | {"SWEEP_EVERY": str(sweep_every)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    emulator = Emulator(process.pid, new.port)
    try:
        _wait_until_up(emulator, process)
    except BaseException:  # Ctrl-C among them: nothing is left running
        emulator.stop()
        raise
    process.returncode = 0  # for Popen's sake: another command may end it by its id
    return emulator


def _environment(emulator: Emulator) -> dict[str, str]:
    # Nothing from the shell: the emulator passes its own environment to the functions.
    return {
        "PATH": os.defpath,
        **dict.fromkeys(("HOME", "TMPDIR"), str(emulator.folder)),
        **dict.fromkeys(("BIND_HOST", "MINISTACK_HOST"), HOST),
        "GATEWAY_PORT": str(emulator.port),
        **dict.fromkeys(("IOT_MTLS_ENABLED", "SFTP_ENABLED"), "0"),
        **dict.fromkeys(("MINISTACK_REGION", "AWS_DEFAULT_REGION"), REGION),
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ACCOUNT),
    }


def _wait_until_up(emulator: Emulator, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            emulator.ask("health")
            return
        time.sleep(0.05)  # it does not report that it is up
    raise StackError(f"the emulator did not start:\n{emulator.log.read_text(errors='replace')[-2000:]}")


def find_kept() -> Emulator | None:
    """Return the emulator that was started to be kept. It looks for the process: a file could be out of date."""
    pattern = re.compile(rf" *(\d+) .*{re.escape(f'{MAIN} kept {STATE}')} (\d+) ?")
    found = next(filter(None, map(pattern.fullmatch, _processes())), None)
    return Emulator(int(found[1]), int(found[2])) if found else None


def _processes() -> Iterator[str]:
    if platform.system() == "Darwin":
        yield from subprocess.check_output(["/bin/ps", "-axww", "-o", "pid=,command="], text=True).splitlines()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            yield f"{file.parent.name} {os.fsdecode(file.read_bytes())}".replace("\0", " ")


def leave_account() -> None:
    """Change the environment so that nothing can reach a real account, or reach this machine through a proxy."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0"}
    without_proxy = ",".join(filter(None, (HOST, os.environ.get("no_proxy", os.environ.get("NO_PROXY")))))
    os.environ |= dict.fromkeys(("no_proxy", "NO_PROXY"), without_proxy)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds the lock of a file, and hold it."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        yield
