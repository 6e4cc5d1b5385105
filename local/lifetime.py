"""A local stack for one command, or kept by `make up` until `make down`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console

from local import emulator, stack
from local.emulator import Emulator
from local.samples import Sample
from local.stack import Options, Stack

# Read by `followups --local`, too.
KEPT = emulator.STATE / "up.json"


@contextmanager
def running(console: Console, options: Options, sweep_every: float = 60) -> Iterator[Stack]:
    """Build, start and deploy a stack, and end it after use."""
    with console.status("building the functions"):
        stack.build()
    with console.status("starting the emulator"):
        started = emulator.start(sweep_every)
    try:
        with console.status("deploying template.yaml"):
            deployed = stack.deploy(started, options)
        yield deployed
    finally:
        started.stop()


def furnish(deployed: Stack, chosen: list[Sample]) -> None:
    """Give each notification its payment record and its order."""
    for sample in chosen:
        stack.furnish(deployed, sample.notification)


def keep(deployed: Stack) -> None:
    """Note a stack that stays, for the commands after this one."""
    noted = {"emulator": asdict(deployed.emulator), "session": deployed.reach}
    KEPT.write_text(json.dumps(noted))


def kept() -> Emulator | None:
    """Return what `make up` started, if it still answers."""
    try:
        found = Emulator(**json.loads(KEPT.read_text())["emulator"])
    except (OSError, ValueError):  # none, or one that a crash left empty
        return None
    return found if found.is_up() else None
