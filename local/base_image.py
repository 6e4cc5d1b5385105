"""The image that functions run in: AWS's own where it is or can be had, else our stand-in, clearly named as one."""

from docker.errors import DockerException
from rich.console import Console

from local import stand_in
from local.engine import ARCHITECTURE, Engine

AWS = "public.ecr.aws/lambda/python"


def choose(console: Console, engine: Engine, named: str | None, architecture: str = ARCHITECTURE) -> str:
    """Return the named image, or AWS's, or the stand-in, which is built where it is missing."""
    if named:
        return named
    tag = f"3.12-{architecture}"
    if engine.has(f"{AWS}:{tag}") or _pulled(console, engine, tag):
        return f"{AWS}:{tag}"
    if architecture != ARCHITECTURE:
        raise stand_in.StandInError(f"a stand-in for AWS's base image is of this machine's {ARCHITECTURE} only")
    if not engine.has(stand_in.NAME):
        with console.status(f"building {stand_in.NAME}, once: about a minute"):
            stand_in.build(engine)
    return stand_in.NAME


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
    # Some engines build from an image that they do not list.
    digests = engine.client.images.get(image).attrs.get("RepoDigests") if engine.has(image) else None
    pinned = next(iter(digests or []), f"{AWS}@sha256:...")
    return f"base is not pinned: its tag may name another image tomorrow; BASE={pinned} pins it"


def _title(engine: Engine, image: str) -> str:
    if not engine.has(image):
        return ""
    return str((engine.client.images.get(image).labels or {}).get("org.opencontainers.image.title", ""))


def _pulled(console: Console, engine: Engine, tag: str) -> bool:
    try:
        with console.status(f"pulling {AWS}:{tag}"):
            engine.client.images.pull(AWS, tag=tag)
    except DockerException as error:
        # What went wrong stands last.
        reason = str(error).strip("()\"'").rsplit(": ", 1)[-1]
        console.print(f"AWS's base image cannot be pulled: {reason}", highlight=False, markup=False, soft_wrap=True)
        return False
    return True
