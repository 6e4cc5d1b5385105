"""The container engine that is there, found as the SAM CLI finds it: DOCKER_HOST, or the first socket that answers."""

import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
# Docker's, Finch's and podman's, as root and as a user.
_SOCKETS = (
    "/var/run/docker.sock",
    "~/.docker/run/docker.sock",
    "/var/run/finch.sock",
    "/Applications/Finch/lima/data/finch/sock/finch.sock",
    "/run/podman/podman.sock",
    "/run/user/{user}/podman/podman.sock",
)
# What each calls the network that containers are in by default.
_NETWORKS = ("bridge", "podman")
INSTALL = """No container engine answers{where}. Any of these will do:
  Debian, Ubuntu   apt-get install docker.io    (or podman, with `systemctl start podman.socket`)
  macOS, Windows   Docker Desktop or Finch
One that listens elsewhere is named by DOCKER_HOST=unix:///its.sock"""


class EngineMissing(Exception):
    """No container engine answers; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    host: str
    client: Any = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Its own name and version."""
        version = self.client.version()
        kinds = [component["Name"] for component in version.get("Components") or []]
        # Docker calls its daemon only "Engine", others say whose it is.
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
        # Docker leaves the gateway out where nobody chose it: it is the first address then.
        found = [one.get("Gateway") or str(ip_network(one["Subnet"])[1]) for one in ranges]
        return found[0] if found else None

    def has(self, image: str) -> bool:
        """Tell whether an image is there."""
        return bool(self.client.images.list(name=image))

    def started(self, since: datetime) -> Counter[str]:
        """Count the containers that the SAM CLI started, by function."""
        filters = {"type": "container", "event": "start", "label": "sam.cli.container.type=lambda"}
        events = self.client.events(since=since, until=datetime.now(UTC), filters=filters, decode=True)
        return Counter(event["Actor"]["Attributes"]["sam.cli.function.name"] for event in events)


def find() -> Engine:
    """Return the engine that DOCKER_HOST names, or the first that answers; raises `EngineMissing`."""
    for host in _hosts():
        try:
            client = docker.DockerClient(base_url=host, timeout=600)
            client.ping()
        except (DockerException, OSError):
            continue
        return Engine(host, client)
    named = os.environ.get("DOCKER_HOST")
    raise EngineMissing(INSTALL.format(where=f" at DOCKER_HOST={named}" if named else ""))


def _hosts() -> Iterator[str]:
    if named := os.environ.get("DOCKER_HOST"):
        yield named
        return
    for socket in _SOCKETS:
        file = Path(socket.format(user=os.getuid())).expanduser()
        if file.exists():
            yield f"unix://{file}"
