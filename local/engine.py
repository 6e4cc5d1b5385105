"""The container engine that is there, found as the SAM CLI finds it: DOCKER_HOST, or the first socket that answers."""

import contextlib
import os
import platform
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
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

    def remove_left(self, since: datetime, functions: Iterable[str]) -> None:
        """Remove the containers that the SAM CLI, when it was ended, left behind."""
        for function in functions:
            label = f"sam.cli.function.name={function}"
            for container in self.client.containers.list(all=True, filters={"label": label}):
                # To the second: that is all both clocks have in common.
                if container.attrs["Created"][:19] >= since.astimezone(UTC).isoformat()[:19]:
                    container.remove(force=True)


def find() -> Engine:
    """Return the engine that DOCKER_HOST names, or the first that answers; raises `EngineMissing`."""
    for host in _hosts():
        with contextlib.suppress(DockerException, OSError):
            _ask(host)
            return Engine(host, docker.DockerClient(base_url=host, timeout=600))
    named = os.environ.get("DOCKER_HOST")
    raise EngineMissing(INSTALL.format(where=f" at DOCKER_HOST={named}" if named else ""))


def _ask(host: str) -> None:
    # Docker's own client leaves its connection open where nobody answers.
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(5)
            asked.connect(host.removeprefix("unix://"))
            asked.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            if b" 200 " not in asked.recv(1024):
                raise ConnectionError(host)


def _hosts() -> Iterator[str]:
    if named := os.environ.get("DOCKER_HOST"):
        yield named
        return
    for place in _SOCKETS:
        file = Path(place.format(user=os.getuid())).expanduser()
        if file.exists():
            yield f"unix://{file}"
