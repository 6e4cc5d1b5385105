"""A local stack for one command, or kept by `make up` until `make down`."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from botocore.exceptions import ClientError
from rich.console import Console

from local import emulator, stack
from local.emulator import Emulator, EmulatorError
from local.samples import Sample
from local.stack import Options, Stack

# Read by `followups --local`, too.
KEPT = emulator.STATE / "up.json"


@contextmanager
def running(console: Console, options: Options, sweep_every: float = 60, *, keep: bool = False) -> Iterator[Stack]:
    """Build, start and deploy a stack; end it after use, unless it is to be kept and nothing goes wrong."""
    with console.status("building the functions"):
        stack.build()
    with console.status("starting the emulator"):
        started = emulator.start(sweep_every, kept=keep)
    try:
        with console.status("deploying template.yaml"):
            deployed = stack.deploy(started, options)
        yield deployed
    except BaseException as error:
        error.add_note(f"What was logged is in {started.log}")
        started.stop()
        raise
    if not keep:
        started.stop()


def furnish(deployed: Stack, chosen: list[Sample]) -> None:
    """Give each notification its payment record and its order."""
    for sample in chosen:
        stack.furnish(deployed, sample.notification)


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other `make up` or `make down` of this checkout is at work."""
    emulator.make_private(emulator.STATE)
    with KEPT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        yield


def note(deployed: Stack) -> None:
    """Note a complete stack that stays, for `followups --local`."""
    noted = {"emulator": asdict(deployed.emulator), "session": deployed.reach}
    emulator.write_private(KEPT, json.dumps(noted))


def kept() -> Stack | None:
    """Return what `make up` started and completed. Raises `EmulatorError` where it does not answer."""
    found = emulator.find_kept()
    if found and not found.is_up():
        raise EmulatorError(f"process {found.pid} does not answer (is it stopped?); `make down` ends it")
    return Stack(found) if found and _is_complete(Stack(found)) else None


def must_be_kept() -> Stack:
    """Return what `make up` started. Raises `EmulatorError` where there is nothing."""
    if (found := kept()) is None:
        raise EmulatorError("nothing is up; `make up` first")
    return found


def _is_complete(found: Stack) -> bool:
    # It is not where `make up` was killed before its end.
    try:
        [deployed] = found.client("cloudformation").describe_stacks(StackName=stack.NAME)["Stacks"]
    except ClientError:
        return False
    return str(deployed["StackStatus"]) == "CREATE_COMPLETE"


def end_kept() -> Emulator | None:
    """Stop what `make up` started, whatever state it is in, and return what it was."""
    KEPT.unlink(missing_ok=True)
    if found := emulator.find_kept():
        found.stop()
    return found
