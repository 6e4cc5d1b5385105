"""The image that functions run in: AWS's own where it is or can be had, else our stand-in, clearly named as one."""

from docker.errors import DockerException
from rich.console import Console

from local import stand_in
from local.engine import ARCHITECTURE, Engine

AWS = "public.ecr.aws/lambda/python"
TAG = f"3.12-{ARCHITECTURE}"


def choose(console: Console, engine: Engine, named: str | None) -> str:
    """Return the named image, or AWS's, or the stand-in, which is built where it is missing."""
    if named:
        return named
    if engine.has(f"{AWS}:{TAG}") or _pulled(console, engine):
        return f"{AWS}:{TAG}"
    if not engine.has(stand_in.NAME):
        with console.status(f"building {stand_in.NAME}, once: about a minute"):
            stand_in.build(engine)
    return stand_in.NAME


def describe(engine: Engine, image: str) -> str:
    """Say what an image is, by its labels: a stand-in is never taken for AWS's."""
    labels = engine.client.images.get(image).labels or {}
    title = labels.get("org.opencontainers.image.title", "")
    return f"{image} (NOT AWS's: {title})" if title.startswith("Stand-in") else image


def _pulled(console: Console, engine: Engine) -> bool:
    try:
        with console.status(f"pulling {AWS}:{TAG}"):
            engine.client.images.pull(AWS, tag=TAG)
    except DockerException as error:
        # What went wrong stands last.
        reason = str(error).strip("()\"'").rsplit(": ", 1)[-1]
        console.print(f"AWS's base image cannot be pulled: {reason}", highlight=False, markup=False, soft_wrap=True)
        return False
    return True
