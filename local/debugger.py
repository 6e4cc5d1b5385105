"""debugpy for a container: fetched once by its lock, mounted by the SAM CLI, listening before the runtime starts."""

import subprocess
import sys
from pathlib import Path

from local.emulator import ROOT, STATE
from local.stack import StackError

PORT = 5678
_FOLDER = STATE / "debugger"
# Where `sam local` mounts --debugger-path.
_MOUNTED = "/tmp/lambci_debug_files"  # noqa: S108 - in the container, and the SAM CLI's own


def arguments_for(architecture: str, port: int = PORT, *, image: bool = False) -> list[str]:
    """Return what `sam local invoke` needs to start a function under the debugger.

    An image's runtime is not known to the SAM CLI: what it starts of a zip by itself must be said of an image.
    """
    _fetch(architecture)
    debug = f"{_MOUNTED}/debugpy --listen 0.0.0.0:{port} --wait-for-client"
    if image:
        debug = f"/var/lang/bin/python3.12 {debug} /var/runtime/bootstrap.py"
    return ["--debug-port", str(port), "--debugger-path", str(_FOLDER), "--debug-args", debug]


def _fetch(architecture: str) -> None:
    if (_FOLDER / "debugpy").exists():
        return
    machine = "aarch64" if architecture == "arm64" else "x86_64"
    uv = Path(sys.executable).parent / "uv"
    place: list[str | Path] = [
        "--target",
        _FOLDER,
        "--python-version",
        "3.12",
        "--python-platform",
        f"{machine}-unknown-linux-gnu",
    ]
    lock: list[str | Path] = [
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--requirement",
        ROOT / "requirements" / "debugger.txt",
    ]
    done = subprocess.run([uv, "pip", "install", "--quiet", *place, *lock], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"debugpy: {done.stderr}")
