"""The commands that need a container engine: `make invoke`, `make debug`, `make image` and `make stand-in`."""

import argparse
import json

from rich.console import Console

from local import engine, image, session, stand_in
from local.containers import DEBUG_PORT, SamLocal, bridged, debugging, write_template
from local.emulator import HOST, STATE, write_private
from local.samples import EVENTS, read_event
from local.stack import Stack


def invoke(console: Console, arguments: argparse.Namespace) -> int:
    """Run one function in a container, by `sam local invoke`, against what `up` started."""
    return _invoke(console, arguments, [])


def debug(console: Console, arguments: argparse.Namespace) -> int:
    """Start one function in a container and wait for a debugger before its first line."""
    console.print(f"the function starts when a debugger attaches to {HOST}:{DEBUG_PORT} (.vscode/launch.json)")
    return _invoke(console, arguments, debugging(image=arguments.image))


def build_image(console: Console, arguments: argparse.Namespace) -> int:
    """Build the image flavour for an architecture, ready for `sam deploy`."""
    found = engine.find()
    base = stand_in.base_image(console, found, arguments.base, arguments.architecture)
    with console.status("building the image"):
        image.build(arguments.architecture, base)
    size = found.attributes(image.IMAGE)["Size"] / 1_000_000
    lines = [f"{image.IMAGE}, {arguments.architecture}, {size:.0f} MB", f"from {stand_in.describe(found, base)}"]
    lines += filter(None, [stand_in.unpinned(found, base)])
    if not stand_in.is_stand_in(found, base):
        lines.append("sam deploy --template .aws-sam/image/template.yaml --resolve-image-repos")
    console.print("\n".join(lines), soft_wrap=True)
    return 0


def build_stand_in(console: Console, _arguments: argparse.Namespace) -> int:
    """Build the stand-in for AWS's base image anew."""
    found = engine.find()
    with console.status("about a minute"):
        stand_in.build(found)
    console.print(stand_in.describe(found, stand_in.NAME))
    return 0


def sam_local(console: Console, deployed: Stack, base: str | None, address: str | None, *, as_image: bool) -> SamLocal:
    """Get ready for `sam local` against a stack: its engine, the image to run in, and the template."""
    found = engine.find()
    base = stand_in.base_image(console, found, base)
    if as_image:
        with console.status("building the image"):
            image.build(engine.ARCHITECTURE, base)
    write_template(deployed, image=as_image)
    return SamLocal(deployed, found, base, address or found.address, as_image)


def _invoke(console: Console, arguments: argparse.Namespace, more: list[str]) -> int:
    deployed = session.must_be_kept()
    event = STATE / "event.json"
    write_private(event, json.dumps(read_event(arguments.event or EVENTS / "authorized.json")))
    sam = sam_local(console, deployed, arguments.base, arguments.address, as_image=arguments.image)
    command = ("invoke", arguments.function, "--event", str(event), *more)
    with bridged(sam.address, deployed.emulator.port), sam.started(*command) as process:
        return process.wait()
