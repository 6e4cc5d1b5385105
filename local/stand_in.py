"""The image that functions run in: AWS's own where it is or can be had, else our stand-in, clearly named as one."""

import subprocess
import tempfile

from docker.errors import DockerException
from rich.console import Console

from local.emulator import ROOT
from local.engine import ARCHITECTURE, Engine

AWS = "public.ecr.aws/lambda/python"
NAME = "delayednotify/lambda-stand-in:3.12"
PARTS = ROOT / "local" / "stand-in"


class StandInError(Exception):
    """The stand-in cannot be built here; the message says what is missing."""


def base_image(console: Console, engine: Engine, named: str | None, architecture: str = ARCHITECTURE) -> str:
    """Return the named image, or AWS's, or the stand-in, which is built where it is missing."""
    ours = f"{AWS}:3.12-{architecture}"
    if named or engine.attributes(ours) or _pulled(console, engine, architecture):
        return named or ours
    if architecture != ARCHITECTURE:
        raise StandInError(f"a stand-in for AWS's base image is of this machine's {ARCHITECTURE} only")
    if not engine.attributes(NAME):
        with console.status(f"building {NAME}, once: about a minute"):
            build(engine)
    return NAME


def _pulled(console: Console, engine: Engine, architecture: str) -> bool:
    try:
        with console.status(f"pulling {AWS}"):
            engine.client.images.pull(AWS, tag=f"3.12-{architecture}")
    except DockerException as error:
        reason = str(error).strip("()\"'").rsplit(": ", 1)[-1]  # what went wrong stands last
        console.print(f"AWS's base image cannot be pulled: {reason}", markup=False, soft_wrap=True)
        return False
    return True


def _title(engine: Engine, image: str) -> str:
    labels = (engine.attributes(image).get("Config") or {}).get("Labels") or {}
    return str(labels.get("org.opencontainers.image.title", ""))


def is_stand_in(engine: Engine, image: str) -> bool:
    """Tell a stand-in by its labels, whatever its name."""
    return _title(engine, image).startswith("Stand-in")


def describe(engine: Engine, image: str) -> str:
    """Say what an image is: a stand-in is never taken for AWS's."""
    return f"{image} (NOT AWS's: {_title(engine, image)})" if is_stand_in(engine, image) else image


def unpinned(engine: Engine, image: str) -> str | None:
    """Say of a base that a tag names how to pin it: by the digest that the engine had it by, where it was pulled."""
    if "@sha256:" in image:
        return None
    pinned = next(iter(engine.attributes(image).get("RepoDigests") or []), f"{AWS}@sha256:...")
    return f"base is not pinned: its tag may name another image tomorrow; BASE={pinned} pins it"


def build(engine: Engine) -> None:
    """Build the stand-in in an engine, by local/stand-in/build. Raises `StandInError`."""
    with tempfile.TemporaryDirectory(prefix="lambda-stand-in-") as folder:
        command = [str(PARTS / "build"), folder, ARCHITECTURE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StandInError((done.stdout + done.stderr)[-1500:].strip())
        engine.client.images.build(path=folder, tag=NAME, rm=True)
    # The SAM CLI adds its emulator to an image once, and goes on with that.
    repository = NAME.partition(":")[0]
    for image in engine.client.images.list(name=repository):
        for tag in image.tags:
            if tag.startswith(f"{repository}:") and "rapid" in tag:
                engine.client.images.remove(tag, force=True)
