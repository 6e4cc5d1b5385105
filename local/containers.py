"""`sam local` against the local stack: the built functions in containers, and the commands that need an engine."""

import argparse
import contextlib
import copy
import json
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

from rich.console import Console
from samcli.yamlhelper import yaml_dump, yaml_parse

from local import engine
from local.emulator import ACCOUNT, ARCHITECTURE, HOST, REGION, ROOT, STATE
from local.engine import Engine
from local.samples import EVENTS, read_event
from local.stack import BUILD, FUNCTIONS, Stack, build, emulators_python, install_debugger, must_be_kept, sam_build

TEMPLATE = STATE / "sam-local.yaml"
IMAGE_BUILD = ROOT / ".aws-sam" / "image"
TAG = "payment3-follow-up"
# The SAM CLI names the image after the first function that it is for.
IMAGE = f"delayednotifyfunction:{TAG}"
RUNTIME = "3.12"
DEBUG_PORT = 5678
# A container's name for its host; Docker Desktop knows it by itself, elsewhere --add-host defines it.
_HOST_NAME = "host.docker.internal"
# Where `sam local` mounts --debugger-path.
_DEBUGGER = "/tmp/lambci_debug_files/debugpy"  # noqa: S108 - in the container, and the SAM CLI's own


@dataclass(frozen=True)
class SamLocal:
    """`sam local` with its engine. A zip runs in the base image, and the image flavour is made from it."""

    stack: Stack
    engine: Engine
    base: str
    address: str | None
    as_image: bool = False

    @contextlib.contextmanager
    def started(self, kind: str, *rest: str, stdout: int | IO[str] | None = None) -> Iterator["subprocess.Popen[str]"]:
        """Start `sam local KIND`, its output to `stdout`, and end it after use."""
        # In a separate session: a second Ctrl-C would keep it from ending its container.
        options: Any = {"env": self.environment(), "text": True, "start_new_session": True}
        with subprocess.Popen(self.command(kind, *rest), stdout=stdout, stderr=stdout, **options) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)  # Popen sends none to a process that has ended
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()

    def command(self, kind: str, *rest: str) -> list[str]:
        """Return the command line of `sam local KIND`."""
        sam, template = str(Path(sys.executable).with_name("sam")), str(TEMPLATE)
        image = [] if self.as_image else ["--invoke-image", self.base]
        host = ["--add-host", f"{_HOST_NAME}:{self.address}"] if self.address else []
        return [sam, "local", kind, *rest, "--template", template, "--skip-pull-image", *image, *host]

    def environment(self) -> dict[str, str]:
        """Return the environment of `sam`: keys of no account, and an endpoint for its own calls."""
        # These go to STS, before each invocation. An endpoint for all services would override the template's.
        keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT, "AWS_DEFAULT_REGION": REGION}
        return os.environ | keys | {"AWS_ENDPOINT_URL_STS": self.stack.emulator.url}


def debugging(port: int = DEBUG_PORT, *, as_image: bool = False) -> list[str]:
    """Return the options with which `sam local invoke` starts a function under debugpy, mounted into the container."""
    folder = STATE / "debugger"
    if not (folder / "debugpy").exists():
        install_debugger(folder, ARCHITECTURE)
    command = f"{_DEBUGGER} --listen 0.0.0.0:{port} --wait-for-client"
    if as_image:  # the SAM CLI knows only a zip's runtime
        command = f"/var/lang/bin/python3.12 {command} /var/runtime/bootstrap.py"
    return ["--debug-port", str(port), "--debugger-path", str(folder), "--debug-args", command]


def write_template(stack: Stack, *, as_image: bool = False) -> None:
    """Write the built template with each function's environment as deployed, which SAM cannot resolve by itself."""
    built = IMAGE_BUILD if as_image else build_for_containers()
    template = yaml_parse((built / "template.yaml").read_text())
    for name in FUNCTIONS:
        properties = template["Resources"][name]["Properties"]
        endpoint = f"http://{_HOST_NAME}:{stack.emulator.port}"
        properties["Environment"] = {"Variables": stack.variables(name) | {"AWS_ENDPOINT_URL": endpoint}}
        properties["Architectures"] = [ARCHITECTURE]
        if not as_image:
            properties["CodeUri"] = str(built / name)
    TEMPLATE.write_text(yaml_dump(template))


def build_for_containers() -> Path:
    """Build the functions for Lambda's Python, separately if the emulator has another, and return the folder."""
    folder = BUILD if emulators_python() == RUNTIME else BUILD.with_name("containers")
    build(folder, RUNTIME)
    return folder


@contextlib.contextmanager
def bridged(address: str | None, port: int) -> Iterator[None]:
    """Forward `address:port` to 127.0.0.1, where the emulator listens. They differ only on Linux."""
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
    daemon_threads = allow_reuse_address = True  # for one command after the other


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


def derive(template: dict[str, Any], architecture: str, base: str) -> dict[str, Any]:
    """Return a template whose functions come from one image, each with its handler as the command."""
    derived = copy.deepcopy(template)
    for name in ("Runtime", "CodeUri"):
        del derived["Globals"]["Function"][name]
    build = {"Dockerfile": "Dockerfile", "DockerContext": str(ROOT / "functions"), "DockerTag": TAG}
    for resource in derived["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            command = [resource["Properties"].pop("Handler")]
            resource["Properties"] |= {"PackageType": "Image", "ImageConfig": {"Command": command}}
            resource["Metadata"] = build | {"DockerBuildArgs": {"BASE": base}}
    # The zip is for both architectures, the image for one.
    only = {"Default": architecture, "AllowedValues": [architecture], "Description": "The image's"}
    derived["Parameters"]["Architecture"] |= only
    return derived


def build_image(architecture: str, base: str) -> None:
    """Build the image with the SAM CLI, and beside it the template that names it."""
    template, file = yaml_parse((ROOT / "template.yaml").read_text()), STATE / "image-template.json"
    file.write_text(json.dumps(derive(template, architecture, base), indent=2))
    sam_build(file, IMAGE_BUILD)


def sam_local(console: Console, deployed: Stack, base: str | None, address: str | None, *, as_image: bool) -> SamLocal:
    """Get ready for `sam local` against a stack: its engine, the image to run in, and the template."""
    found = engine.find()
    base = found.base_image(console, base)
    if as_image:
        with console.status("building the image"):
            build_image(ARCHITECTURE, base)
    write_template(deployed, as_image=as_image)
    return SamLocal(deployed, found, base, address or found.address, as_image)


def invoke(console: Console, arguments: argparse.Namespace, *more: str) -> int:
    """Run one function in a container, by `sam local invoke`, against what `up` started."""
    deployed, event = must_be_kept(), STATE / "event.json"
    event.write_text(json.dumps(read_event(arguments.event or EVENTS / "authorized.json")))
    sam = sam_local(console, deployed, arguments.base, arguments.address, as_image=arguments.image)
    command = ("invoke", arguments.function, "--event", str(event), *more)
    with bridged(sam.address, deployed.emulator.port), sam.started(*command) as process:
        return process.wait()


def debug(console: Console, arguments: argparse.Namespace) -> int:
    """Start one function in a container and wait for a debugger before its first line."""
    console.print(f"the function starts when a debugger attaches to {HOST}:{DEBUG_PORT} (.vscode/launch.json)")
    return invoke(console, arguments, *debugging(as_image=arguments.image))


def image(console: Console, arguments: argparse.Namespace) -> int:
    """Build the image flavour for an architecture, ready for `sam deploy`."""
    found, architecture = engine.find(), arguments.architecture
    base = found.base_image(console, arguments.base, architecture)
    with console.status("building the image"):
        build_image(architecture, base)
    size = found.attributes(IMAGE)["Size"] / 1_000_000
    origin = found.describe(base)
    lines = [f"{IMAGE}, {architecture}, {size:.0f} MB", f"from {origin}", found.unpinned(base)]
    if origin == base:  # a stand-in is not deployed
        lines.append("sam deploy --template .aws-sam/image/template.yaml --resolve-image-repos")
    console.print("\n".join(filter(None, lines)), soft_wrap=True)
    return 0
