"""What an editor does with `make debug`: attach, set a breakpoint in the repository's file, stop there, and go on."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.debugger import PORT
from local.emulator import HOST, ROOT

# As .vscode/launch.json maps it.
MAPPED = {"localRoot": str(ROOT / "functions"), "remoteRoot": "/var/task"}
_HANDLER = ROOT / "functions" / "delayednotify" / "__init__.py"
Message = dict[str, Any]


@dataclass
class DebugClient:
    """A connection that speaks the Debug Adapter Protocol."""

    connection: socket.socket
    _sent: int = 0

    def __post_init__(self) -> None:
        """Read what comes line by line."""
        self._incoming = self.connection.makefile("rb")

    def stop_at(self, file: Path, line: int, roots: dict[str, str]) -> str:
        """Stop at a line of a file and return where it stopped, as the editor would show it; then go on."""
        self.tell("initialize", adapterID="debugpy", pathFormat="path")
        self.wait_for(lambda said: said.get("command") == "initialize")
        self.tell("attach", pathMappings=[roots], justMyCode=True)
        self.wait_for(lambda said: said.get("event") == "initialized")
        self.tell("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        self.tell("configurationDone")
        thread = self.wait_for(lambda said: said.get("event") == "stopped")["body"]["threadId"]
        self.tell("stackTrace", threadId=thread, levels=1)
        [frame, *_] = self.wait_for(lambda said: said.get("command") == "stackTrace")["body"]["stackFrames"]
        self.tell("continue", threadId=thread)
        self.wait_for(lambda said: said.get("command") == "continue")
        return f"{frame['source']['path']}:{frame['line']} {frame['name']}"

    def tell(self, command: str, **arguments: object) -> None:
        """Send a request."""
        self._sent += 1
        text = json.dumps({"seq": self._sent, "type": "request", "command": command, "arguments": arguments}).encode()
        self.connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))

    def wait_for(self, wanted: Callable[[Message], bool]) -> Message:
        """Read until a message is the wanted one."""
        while not wanted(said := self._read()):
            pass
        return said

    def _read(self) -> Message:
        length = 0
        while (line := self._incoming.readline()).strip():
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        if not line:
            raise ConnectionError("the debugger hung up")
        message: Message = json.loads(self._incoming.read(length))
        return message


def attach(port: int, patience: float = 60) -> DebugClient:
    """Connect as soon as a debugger speaks there: the engine listens before the container does."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            connection = socket.create_connection((HOST, port), timeout=patience)
            if connection.recv(1, socket.MSG_PEEK):
                return DebugClient(connection)
            connection.close()
        time.sleep(0.2)
    raise ConnectionError(f"no debugger answers at {HOST}:{port}")


def stopped_in_handler(port: int = PORT, patience: float = 60) -> tuple[str, bool]:
    """Stop in DelayedNotify's first line, and return where an editor would show it, and whether that is the line."""
    line = 1 + _HANDLER.read_text().splitlines().index("    app = application()")
    found = attach(port, patience).stop_at(_HANDLER, line, MAPPED)
    return found.removeprefix(f"{_HANDLER.parent}/"), found == f"{_HANDLER}:{line} lambda_handler"


if __name__ == "__main__":
    place, right = stopped_in_handler(patience=600)
    print(f"stopped at {place}")
    sys.exit(0 if right else 1)
