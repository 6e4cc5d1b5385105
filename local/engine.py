"""The container engine, found as Docker's client finds it, and the base image: AWS's, or else a stand-in."""

import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import docker
from docker.errors import DockerException
from rich.console import Console

from local.emulator import ARCHITECTURE, ROOT, StackError

AWS = "public.ecr.aws/lambda/python"
STAND_IN = "delayednotify/lambda-stand-in:3.12"
PARTS = ROOT / "local" / "stand-in"
# The names that engines give to the default network of containers.
_NETWORKS = ("bridge", "podman")
INSTALL = """No container engine answers{where}. Any of these will do:
  Debian, Ubuntu   apt-get install docker.io    (or podman, with `systemctl start podman.socket`)
  macOS, Windows   Docker Desktop or Finch
One that listens elsewhere is named by DOCKER_HOST=unix:///its.sock"""


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    client: Any

    @property
    def name(self) -> str:
        """Its own name and version."""
        version = self.client.version()
        kinds = [component["Name"] for component in version.get("Components") or []]
        # Docker calls its daemon only "Engine"; the others put their name in front.
        kind = next((kind for kind in kinds if kind.endswith(" Engine") or kind == "nerdctl"), "Docker Engine")
        return f"{kind} {version['Version']}"

    @property
    def address(self) -> str | None:
        """Where a container finds this machine, on Linux; elsewhere it knows host.docker.internal by itself."""
        if platform.system() != "Linux":
            return None
        networks = [network.attrs for network in self.client.networks.list()]
        settings = [about.get("IPAM") or {} for about in networks if about["Name"] in _NETWORKS]
        ranges = [one for about in settings for one in about.get("Config") or []]
        # Docker omits the gateway if nobody chose one: then it is the first address.
        return next((one.get("Gateway") or str(ip_network(one["Subnet"])[1]) for one in ranges), None)

    def attributes(self, image: str) -> dict[str, Any]:
        """Return what is known of an image, or nothing. Some engines build from images that they do not list."""
        return dict(self.client.images.get(image).attrs) if self.client.images.list(name=image) else {}

    def base_image(self, console: Console, named: str | None, architecture: str = ARCHITECTURE) -> str:
        """Return the named image, or AWS's, or the stand-in, which is built if it is missing."""
        official = f"{AWS}:3.12-{architecture}"
        try:
            if not named and not self.attributes(official):
                with console.status(f"pulling {AWS}"):
                    self.client.images.pull(AWS, tag=f"3.12-{architecture}")
        except DockerException as error:
            reason = str(error).strip("()\"'").rsplit(": ", 1)[-1]  # the cause comes last
            console.print(f"AWS's base image cannot be pulled: {reason}", markup=False, soft_wrap=True)
        else:
            return named or official
        if architecture != ARCHITECTURE:
            raise StackError(f"a stand-in for AWS's base image is of this machine's {ARCHITECTURE} only")
        if not self.attributes(STAND_IN):
            self.build_stand_in(console)
        return STAND_IN

    def build_stand_in(self, console: Console) -> None:
        """Build the stand-in for AWS's base image. Raises `StackError`."""
        status = console.status(f"building {STAND_IN}: about a minute")
        with status, tempfile.TemporaryDirectory(prefix="lambda-stand-in-") as folder:
            command = [str(PARTS / "build"), folder, ARCHITECTURE]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise StackError((done.stdout + done.stderr)[-1500:].strip())
            self.client.images.build(path=folder, tag=STAND_IN, rm=True)
        # The SAM CLI adds its emulator to an image once, and would go on using that.
        repository = STAND_IN.partition(":")[0]
        tags = [tag for image in self.client.images.list(name=repository) for tag in image.tags]
        for tag in tags:
            if tag.startswith(f"{repository}:") and "rapid" in tag:
                self.client.images.remove(tag, force=True)

    def describe(self, image: str) -> str:
        """Say what an image is, so that nobody takes a stand-in for AWS's: its labels name it, whatever its name."""
        labels = (self.attributes(image).get("Config") or {}).get("Labels") or {}
        title = str(labels.get("org.opencontainers.image.title"))
        return f"{image} (NOT AWS's: {title})" if title.startswith("Stand-in") else image

    def unpinned(self, image: str) -> str | None:
        """Say how to pin a base that a tag names: by the digest that it was pulled by, if the engine knows it."""
        if "@sha256:" in image:
            return None
        pinned = next(iter(self.attributes(image).get("RepoDigests") or []), f"{AWS}@sha256:...")
        return f"base is not pinned: its tag may name another image tomorrow; BASE={pinned} pins it"


def find() -> Engine:
    """Return the engine that the environment names, as Docker's own client finds it. Raises `StackError`."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        named = os.environ.get("DOCKER_HOST")
        raise StackError(INSTALL.format(where=f" at DOCKER_HOST={named}" if named else "")) from error
    return Engine(client)
