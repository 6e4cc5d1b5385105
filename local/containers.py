"""`sam local` against the local stack: the built functions in containers, as the SAM CLI runs them."""

import contextlib
import json
import os
import platform
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_dump, yaml_parse

from local.emulator import ACCOUNT, HOST, REGION, STATE, free_port, write_private
from local.engine import ARCHITECTURE, Engine
from local.image import IMAGE_BUILD
from local.stack import BUILD, Stack, StackError, build, emulators_python

TEMPLATE = STATE / "sam-local.yaml"
FUNCTIONS = ("DelayedNotifyFunction", "RecheckFunction", "SweepFunction", "RetryFunction")
RUNTIME = "3.12"
# What a container calls its host; Docker Desktop knows it by itself, elsewhere --add-host tells.
_HOST_NAME = "host.docker.internal"
# Seconds that a container may take, from its making to its end.
_LIMIT = 300
_SAM = Path(sys.executable).parent / "sam"


@dataclass(frozen=True)
class Ran:
    """One `sam local invoke`: its exit code, what the function answered and what it logged."""

    code: int
    answer: Any
    log: str


@dataclass(frozen=True)
class SamLocal:
    """`sam local` with its engine; a zip runs in the base image, the image flavour was made from it."""

    stack: Stack
    engine: Engine
    base: str
    address: str | None
    image: bool = False

    def invoke(self, function: str, event: Path, *more: str) -> Ran:
        """Run a function in a container of its own, and keep what it says."""
        command = self.command("invoke", function, "--event", str(event), *more)
        try:
            done = subprocess.run(
                command, env=self.environment(), capture_output=True, text=True, check=False, timeout=_LIMIT
            )
        except subprocess.TimeoutExpired:
            return Ran(1, None, f"no end after {_LIMIT} s")
        lines = done.stdout.strip().splitlines()
        with contextlib.suppress(IndexError, json.JSONDecodeError):
            return Ran(done.returncode, json.loads(lines[-1]), done.stderr)
        return Ran(done.returncode, None, done.stdout + done.stderr)

    @contextlib.contextmanager
    def started(self, log: Path) -> Iterator[str]:
        """Keep `sam local start-lambda` on a port of 127.0.0.1, a container for each invocation, and return its URL."""
        port = free_port()
        command = self.command("start-lambda", "--host", HOST, "--port", str(port), "--no-watch")
        with (
            log.open("wb") as file,
            subprocess.Popen(command, env=self.environment(), stdout=file, stderr=file) as process,
        ):
            try:
                _wait_until_listening(port, process, log)
                yield f"http://{HOST}:{port}"
            finally:
                process.terminate()  # it ends its containers first

    def command(self, kind: str, *rest: str) -> list[str]:
        """Return the command line of `sam local KIND`."""
        command = [str(_SAM), "local", kind, *rest, "--template", str(TEMPLATE), "--skip-pull-image"]
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
        return kept | keys | quiet | {"AWS_ENDPOINT_URL_STS": self.stack.emulator.url}


def write_template(stack: Stack, *, image: bool = False) -> None:
    """Write the built template with each function's environment as deployed to the stack.

    SAM cannot resolve a table's name by itself, and passes no AWS_ENDPOINT_URL that the template does not declare.
    """
    built = IMAGE_BUILD if image else _zip_build()
    template = yaml_parse((built / "template.yaml").read_text())
    for name in FUNCTIONS:
        properties = template["Resources"][name]["Properties"]
        deployed = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs[name])
        endpoint = f"http://{_HOST_NAME}:{stack.emulator.port}"
        properties["Environment"] = {"Variables": deployed["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": endpoint}}
        properties["Architectures"] = [ARCHITECTURE]
        if not image:
            properties["CodeUri"] = str(built / name)
    write_private(TEMPLATE, yaml_dump(template))


def _zip_build() -> Path:
    # Containers run Lambda's Python, the emulator the machine's.
    folder = BUILD if emulators_python() == RUNTIME else BUILD.with_name("containers")
    build(folder, RUNTIME)
    return folder


def hand_over(stack: Stack, containers: str) -> None:
    """Let the emulator hand each invocation of these functions on to `sam local start-lambda`, and run none."""
    for name in FUNCTIONS:
        function = stack.outputs[name]
        invocations = f"{containers}/2015-03-31/functions/{function}/invocations"
        stack.client("lambda").update_function_configuration(
            FunctionName=function,
            Timeout=_LIMIT,
            Environment={"Variables": {"MINISTACK_LAMBDA_PROXY_URL": invocations}},
        )


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


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.1)
    raise StackError(f"sam local start-lambda did not start:\n{log.read_text(errors='replace')[-2000:]}")
