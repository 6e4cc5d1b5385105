"""`sam local` against the local stack: the built functions in containers, as the SAM CLI runs them."""

import contextlib
import os
import platform
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from samcli.yamlhelper import yaml_dump, yaml_parse

from local.emulator import ACCOUNT, HOST, REGION, STATE, write_private
from local.engine import ARCHITECTURE, Engine
from local.image import IMAGE_BUILD
from local.stack import BUILD, Stack, build, emulators_python, install_wheels

TEMPLATE = STATE / "sam-local.yaml"
FUNCTIONS = ("DelayedNotifyFunction", "RecheckFunction", "SweepFunction", "RetryFunction")
RUNTIME = "3.12"
DEBUG_PORT = 5678
# What a container calls its host; Docker Desktop knows it by itself, elsewhere --add-host tells.
_HOST_NAME = "host.docker.internal"
# Where `sam local` mounts --debugger-path.
_DEBUGGER = "/tmp/lambci_debug_files/debugpy"  # noqa: S108 - in the container, and the SAM CLI's own


@dataclass(frozen=True)
class SamLocal:
    """`sam local` with its engine; a zip runs in the base image, the image flavour was made from it."""

    stack: Stack
    engine: Engine
    base: str
    address: str | None
    image: bool = False

    @contextlib.contextmanager
    def started(self, kind: str, *rest: str, stdout: int | IO[str] | None = None) -> Iterator["subprocess.Popen[str]"]:
        """Start `sam local KIND`, with pipes where its output is asked for, and end it after use."""
        # A session of its own: Ctrl-C reaches only us, and twice would keep it from ending its container.
        options: Any = {"env": self.environment(), "text": True, "start_new_session": True}
        with subprocess.Popen(self.command(kind, *rest), stdout=stdout, stderr=stdout, **options) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)  # unless it has ended
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()

    def command(self, kind: str, *rest: str) -> list[str]:
        """Return the command line of `sam local KIND`."""
        sam = str(Path(sys.executable).parent / "sam")
        command = [sam, "local", kind, *rest, "--template", str(TEMPLATE), "--skip-pull-image"]
        command += [] if self.image else ["--invoke-image", self.base]
        return command + (["--add-host", f"{_HOST_NAME}:{self.address}"] if self.address else [])

    def environment(self) -> dict[str, str]:
        """Return the environment of `sam`: no way leads to a real account.

        The shell's endpoint would win over the template's, and 127.0.0.1 is the container itself. STS alone is asked by
        the SAM CLI, before each invocation: AWS's would refuse the keys, or keep it waiting where it is out of reach.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT, "AWS_DEFAULT_REGION": REGION}
        quiet = {"AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0"}
        quiet |= dict.fromkeys(("NO_PROXY", "no_proxy"), f"{HOST},{os.environ.get('no_proxy', '')}")
        return kept | keys | quiet | {"AWS_ENDPOINT_URL_STS": self.stack.emulator.url}


def debugging(port: int = DEBUG_PORT, *, image: bool = False) -> list[str]:
    """Return what `sam local invoke` needs to start a function under debugpy, which it mounts into the container.

    An image's runtime is not known to the SAM CLI: what it starts of a zip by itself must be said of an image.
    """
    folder = STATE / "debugger"
    if not (folder / "debugpy").exists():
        install_wheels("debugger", folder, ARCHITECTURE)
    command = f"{_DEBUGGER} --listen 0.0.0.0:{port} --wait-for-client"
    if image:
        command = f"/var/lang/bin/python3.12 {command} /var/runtime/bootstrap.py"
    return ["--debug-port", str(port), "--debugger-path", str(folder), "--debug-args", command]


def write_template(stack: Stack, *, image: bool = False) -> None:
    """Write the built template with each function's environment as deployed to the stack.

    SAM cannot resolve a table's name by itself, and passes no AWS_ENDPOINT_URL that the template does not declare.
    """
    built = IMAGE_BUILD if image else _zip_build()
    template = yaml_parse((built / "template.yaml").read_text())
    for name in FUNCTIONS:
        properties = template["Resources"][name]["Properties"]
        endpoint = f"http://{_HOST_NAME}:{stack.emulator.port}"
        properties["Environment"] = {"Variables": stack.variables(name) | {"AWS_ENDPOINT_URL": endpoint}}
        properties["Architectures"] = [ARCHITECTURE]
        if not image:
            properties["CodeUri"] = str(built / name)
    write_private(TEMPLATE, yaml_dump(template))


def _zip_build() -> Path:
    # Containers run Lambda's Python, the emulator the machine's.
    folder = BUILD if emulators_python() == RUNTIME else BUILD.with_name("containers")
    build(folder, RUNTIME)
    return folder


@contextlib.contextmanager
def bridged(address: str | None, port: int) -> Iterator[None]:
    """Hand connections to `address:port` on to 127.0.0.1, the only place where the emulator listens.

    Only Linux needs it: elsewhere a container's host is 127.0.0.1.
    """
    if address is None or platform.system() != "Linux":
        yield
        return
    with _Bridges((address, port), _Bridge) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


class _Bridges(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False
    allow_reuse_address = True  # by one command after the other


class _Bridge(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection((HOST, self.request.getsockname()[1])) as far:
            back = threading.Thread(target=_copy, args=(far, self.request), daemon=True)
            back.start()
            _copy(self.request, far)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may hang up at any time
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
