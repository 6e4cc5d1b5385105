"""debugpy for a container: fetched once by its lock, mounted by the SAM CLI, listening before the runtime starts."""

from local.emulator import STATE
from local.stack import install_wheels

PORT = 5678
_FOLDER = STATE / "debugger"
# Where `sam local` mounts --debugger-path.
_MOUNTED = "/tmp/lambci_debug_files"  # noqa: S108 - in the container, and the SAM CLI's own


def arguments_for(architecture: str, port: int = PORT, *, image: bool = False) -> list[str]:
    """Return what `sam local invoke` needs to start a function under the debugger.

    An image's runtime is not known to the SAM CLI: what it starts of a zip by itself must be said of an image.
    """
    if not (_FOLDER / "debugpy").exists():
        install_wheels("debugger", _FOLDER, architecture)
    debug = f"{_MOUNTED}/debugpy --listen 0.0.0.0:{port} --wait-for-client"
    if image:
        debug = f"/var/lang/bin/python3.12 {debug} /var/runtime/bootstrap.py"
    return ["--debug-port", str(port), "--debugger-path", str(_FOLDER), "--debug-args", debug]
