"""The container engine that DOCKER_HOST and its companions name, or Docker's own socket."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import docker
from docker.errors import DockerException

ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
# What each calls the network that containers are in by default.
_NETWORKS = ("bridge", "podman")
LABEL = "sam.cli.container.type=lambda"
INSTALL = """No container engine answers{where}. Any of these will do:
  Debian, Ubuntu   apt-get install docker.io    (or podman, with `systemctl start podman.socket`)
  macOS, Windows   Docker Desktop or Finch
One that listens elsewhere is named by DOCKER_HOST=unix:///its.sock"""


class EngineMissing(Exception):
    """No container engine answers; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    client: Any

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
        return next((one.get("Gateway") or str(ip_network(one["Subnet"])[1]) for one in ranges), None)

    def attributes(self, image: str) -> dict[str, Any]:
        """Return what is known of an image; nothing where it is not there. Some build from what they do not list."""
        return dict(self.client.images.get(image).attrs) if self.client.images.list(name=image) else {}

    def remove_left(self, since: datetime) -> None:
        """Remove the containers that the SAM CLI, when it was ended, left behind."""
        for container in self.client.containers.list(all=True, filters={"label": LABEL}):
            # To the second: that is all both clocks have in common.
            if container.attrs["Created"][:19] >= since.astimezone(UTC).isoformat()[:19]:
                container.remove(force=True)


def find() -> Engine:
    """Return the engine that the environment names, as Docker's own client finds it. Raises `EngineMissing`."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        named = os.environ.get("DOCKER_HOST")
        raise EngineMissing(INSTALL.format(where=f" at DOCKER_HOST={named}" if named else "")) from error
    return Engine(client)
