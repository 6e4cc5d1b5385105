"""What an editor does with `make debug`: attach, stop at a breakpoint in the repository's file, and go on."""

import contextlib
import itertools
import json
import socket
import sys
import time
from typing import IO, Any

from local.debugger import PORT
from local.emulator import HOST, ROOT

# As .vscode/launch.json maps it.
MAPPED = {"localRoot": str(ROOT / "functions"), "remoteRoot": "/var/task"}
HANDLER = ROOT / "functions" / "delayednotify" / "__init__.py"
_numbers = itertools.count(1)
BREAKPOINT = "    app = application()"


def stopped_in_handler(port: int = PORT, patience: float = 60) -> tuple[str, bool]:
    """Stop in DelayedNotify's first line, and return where an editor would show it, and whether that is the line."""
    line = 1 + HANDLER.read_text().splitlines().index(BREAKPOINT)
    with _attach(port, patience) as connection, connection.makefile("rb") as incoming:
        found = stop_at(connection, incoming, line)
    return found.removeprefix(f"{HANDLER.parent}/"), found == f"{HANDLER}:{line} lambda_handler"


def stop_at(connection: socket.socket, incoming: IO[bytes], line: int) -> str:
    """Speak the Debug Adapter Protocol: return where it stopped, and let it go on."""
    _send(connection, "initialize", adapterID="debugpy", pathFormat="path")
    _wait_for(incoming, command="initialize")
    _send(connection, "attach", pathMappings=[MAPPED], justMyCode=True)
    _wait_for(incoming, event="initialized")
    _send(connection, "setBreakpoints", source={"path": str(HANDLER)}, breakpoints=[{"line": line}])
    _send(connection, "configurationDone")
    thread = _wait_for(incoming, event="stopped")["body"]["threadId"]
    _send(connection, "stackTrace", threadId=thread, levels=1)
    frame = _wait_for(incoming, command="stackTrace")["body"]["stackFrames"][0]
    _send(connection, "continue", threadId=thread)
    _wait_for(incoming, command="continue")
    return f"{frame['source']['path']}:{frame['line']} {frame['name']}"


def _send(connection: socket.socket, command: str, **arguments: object) -> None:
    text = json.dumps({"seq": next(_numbers), "type": "request", "command": command, "arguments": arguments}).encode()
    connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))


def _wait_for(incoming: IO[bytes], **wanted: str) -> dict[str, Any]:
    while header := incoming.readline():
        incoming.readline()  # the empty line after the only header
        message: dict[str, Any] = json.loads(incoming.read(int(header.partition(b":")[2])))
        if wanted.items() <= message.items():
            return message
    raise ConnectionError("the debugger hung up")


def _attach(port: int, patience: float) -> socket.socket:
    # The engine listens before the container does: only what speaks is a debugger.
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            connection = socket.create_connection((HOST, port), timeout=patience)
            if connection.recv(1, socket.MSG_PEEK):
                return connection
            connection.close()
        time.sleep(0.2)
    raise ConnectionError(f"no debugger answers at {HOST}:{port}")


if __name__ == "__main__":
    place, is_right = stopped_in_handler(patience=600)
    print(f"stopped at {place}")
    sys.exit(0 if is_right else 1)
