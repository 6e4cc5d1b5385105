"""The commands behind `make sam-local`, `make invoke`, `make debug`, `make image` and `make stand-in`."""

import argparse
import json
import subprocess

from rich.console import Console

from local import base_image, engine, image, sam_local, session, stand_in
from local.containers import SamLocal, bridged, write_template
from local.debugger import arguments_for
from local.emulator import STATE, write_private
from local.report import print_checks
from local.samples import EVENTS, read_event, samples
from local.stack import Options, Stack


def check(console: Console, arguments: argparse.Namespace) -> int:
    """Take every event and the whole flow through containers, and check what must hold."""
    found, base = _found(console, arguments)
    options = Options(arguments.delay, arguments.latency)
    with session.running(console, options, sam_local.SWEEP_EVERY) as deployed:
        session.furnish(deployed, samples())
        sam = _ready(deployed, found, base, arguments)
        sam_local.introduce(console, sam)
        with bridged(sam.address, deployed.emulator.port):
            checks = sam_local.run(console, sam, options)
        print_checks(console, checks)
    return 0 if all(one.holds for one in checks) else 1


def invoke(console: Console, arguments: argparse.Namespace) -> int:
    """Run one function in a container, by `sam local invoke`, against what `up` started."""
    return _invoke(console, arguments, [])


def debug(console: Console, arguments: argparse.Namespace) -> int:
    """Start one function in a container and wait for a debugger before its first line."""
    return _invoke(console, arguments, arguments_for(engine.ARCHITECTURE, image=arguments.image))


def build_image(console: Console, arguments: argparse.Namespace) -> int:
    """Build the image flavour for an architecture, ready for `sam deploy`."""
    found = engine.find()
    architecture = arguments.architecture
    base = base_image.choose(console, found, arguments.base, architecture)
    _build_image(console, architecture, base)
    size = found.client.images.get(image.IMAGE).attrs["Size"] / 1_000_000
    console.print(f"{image.IMAGE}, {architecture}, {size:.0f} MB", highlight=False)
    console.print(f"from {base_image.describe(found, base)}", highlight=False, soft_wrap=True)
    if unpinned := base_image.unpinned(found, base):
        console.print(unpinned, highlight=False, soft_wrap=True)
    if not base_image.is_stand_in(found, base):
        console.print("sam deploy --template .aws-sam/image/template.yaml --resolve-image-repos", highlight=False)
    return 0


def build_stand_in(console: Console, _arguments: argparse.Namespace) -> int:
    """Build the stand-in for AWS's base image anew."""
    found = engine.find()
    with console.status("about a minute"):
        stand_in.build(found)
    console.print(base_image.describe(found, stand_in.NAME), highlight=False)
    return 0


def _found(console: Console, arguments: argparse.Namespace) -> tuple[engine.Engine, str]:
    found = engine.find()
    base = base_image.choose(console, found, arguments.base)
    if arguments.image:
        _build_image(console, engine.ARCHITECTURE, base)
    return found, base


def _ready(deployed: Stack, found: engine.Engine, base: str, arguments: argparse.Namespace) -> SamLocal:
    write_template(deployed, image=arguments.image)
    return SamLocal(deployed, found, base, arguments.address or found.address, arguments.image)


def _build_image(console: Console, architecture: str, base: str) -> None:
    with console.status("building the image"):
        image.build(architecture, base)


def _invoke(console: Console, arguments: argparse.Namespace, more: list[str]) -> int:
    kept = session.must_be_kept()
    event = STATE / "event.json"
    write_private(event, json.dumps(read_event(arguments.event or EVENTS / "authorized.json")))
    sam = _ready(Stack(kept), *_found(console, arguments), arguments)
    if more:
        console.print("the function starts when a debugger attaches to 127.0.0.1:5678 (.vscode/launch.json)")
    with bridged(sam.address, kept.port):
        command = sam.command("invoke", arguments.function, "--event", str(event), *more)
        return subprocess.run(command, env=sam.environment(), check=False).returncode
