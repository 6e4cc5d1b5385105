"""`sam local` and the image flavour, as far as they can be tested without a container engine.

`make sam-local` runs the containers.
"""

import json
import os
import re
import subprocess
from argparse import Namespace
from collections.abc import Collection
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from docker.errors import APIError
from rich.console import Console

from local import containers, engine
from local.__main__ import COMMANDS
from local.containers import DEBUG_PORT, SamLocal, derive
from local.emulator import ARCHITECTURE, ROOT, Emulator, StackError, leave_account
from local.engine import STAND_IN, Engine
from local.stack import FUNCTIONS, Stack
from tests.support.template import source

QUIET = Console(quiet=True)
OFFICIAL = f"{engine.AWS}:3.12-{ARCHITECTURE}"
DIGEST = f"{engine.AWS}@sha256:"
[TITLE] = re.findall(r'image\.title="([^"]+)"', (engine.PARTS / "Dockerfile").read_text())


def an_engine(there: Collection[str] = (), about: Any = None, **client: object) -> Engine:
    """An engine that has these images, and knows this of each."""
    images = Mock(**{"get.return_value.attrs": {"Id": "1"} | (about or {})})
    images.list = lambda name: [image for image in there if image == name]
    return Engine(Mock(images=images, **client))


# --- which engine ---


def test_engine_is_found_as_docker_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's variables count. Where no engine answers, the error says what to install."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    says = r"No container engine answers at DOCKER_HOST=tcp://127(.|\n)+apt-get install docker.io(.|\n)+Finch"
    with pytest.raises(StackError, match=says):
        engine.find()


@pytest.mark.parametrize(
    ("kind", "network", "ranges", "found"),
    [
        ("Engine", "bridge", [{"Subnet": "172.18.0.0/16"}], ("Docker Engine 1.2", "172.18.0.1")),
        ("Podman Engine", "podman", [{"Gateway": "10.88.0.2"}], ("Podman Engine 1.2", "10.88.0.2")),
        ("Engine", "host", [], ("Docker Engine 1.2", None)),
    ],
)
def test_engine_is_named_and_its_gateway_found(
    kind: str, network: str, ranges: object, found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report names the engine. On Linux, containers find this machine at the gateway of the engine's network."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    networks = [Mock(attrs={"Name": network, "IPAM": {"Config": ranges}})]
    version = {"Version": "1.2", "Components": [{"Name": kind}, {"Name": "runc"}]}
    one = an_engine(version=lambda: version, networks=Mock(list=lambda: networks))
    assert (one.name, one.address) == found


def test_engine_that_fails_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that ends in the middle of a command is reported as any other error is, without a traceback."""
    monkeypatch.setattr(containers, "invoke", Mock(side_effect=APIError("the daemon is gone")))
    with pytest.raises(StackError, match="the container engine failed: the daemon is gone"):
        COMMANDS["invoke"](QUIET, Namespace(command="invoke"))


# --- which image ---


@pytest.mark.parametrize(
    ("there", "pulled", "named", "chosen"),
    [
        ({OFFICIAL, STAND_IN}, False, None, OFFICIAL),
        ({STAND_IN}, True, None, OFFICIAL),
        ({STAND_IN}, False, None, STAND_IN),
        ((), False, None, "built"),
        ({OFFICIAL}, False, "my/own:1", "my/own:1"),
    ],
)
def test_image_is_aws_s_own_where_it_can_be_had(
    there: set[str], named: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch, *, pulled: bool
) -> None:
    """A named image comes first, the stand-in last: built where it is missing, for this machine's processor only."""
    monkeypatch.setattr(Engine, "build_stand_in", build := Mock())
    found = an_engine(there)
    found.client.images.pull.side_effect = None if pulled else APIError("no such host")
    assert found.base_image(QUIET, named) == (STAND_IN if chosen == "built" else chosen)
    assert build.called == (chosen == "built")
    found.client.images.pull.side_effect = APIError("no such host")
    with pytest.raises(StackError, match="this machine's"):
        found.base_image(QUIET, None, "x86_64" if ARCHITECTURE == "arm64" else "arm64")


@pytest.mark.parametrize(
    ("base", "about", "is_stand_in", "pin"),
    [
        (OFFICIAL, {"RepoDigests": [f"{DIGEST}1a2b"]}, False, f"{DIGEST}1a2b"),
        (OFFICIAL, {"Config": {"Labels": {"org.opencontainers.image.title": TITLE}}}, True, f"{DIGEST}..."),
        (f"{DIGEST}1a2b", {}, False, None),
    ],
)
def test_report_says_what_the_base_is(base: str, about: object, *, is_stand_in: bool, pin: str | None) -> None:
    """A stand-in is never taken for AWS's image, whatever its name; an unpinned base is shown with its digest."""
    found = an_engine({base}, about=about)
    says = f"base is not pinned: its tag may name another image tomorrow; BASE={pin} pins it"
    assert found.describe(base) == (f"{base} (NOT AWS's: {TITLE})" if is_stand_in else base)
    assert found.unpinned(base) == (says if pin else None)


# --- how functions are run ---


@pytest.mark.parametrize("address", ["172.17.0.1", None], ids=["on-linux", "elsewhere"])
def test_sam_has_no_way_to_a_real_account(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the shell's variables only the engine's reaches `sam local`, which pulls no image and runs what was chosen."""
    mine = dict.fromkeys(("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"), "mine")
    monkeypatch.setattr(os, "environ", os.environ | mine | {"DOCKER_HOST": "unix:///engine.sock"})
    leave_account()
    of_zip, of_image = (SamLocal(Stack(Emulator(1, 4566)), an_engine(), "base:1", address, it) for it in (False, True))
    environment = of_zip.environment()
    assert "mine" not in environment.values()
    assert environment["AWS_ACCESS_KEY_ID"] == "123456789012"
    assert environment["DOCKER_HOST"] == "unix:///engine.sock"
    assert environment["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:4566"
    host = ["--add-host", f"host.docker.internal:{address}"] if address else []
    for sam, image in ((of_zip, ["--invoke-image", "base:1"]), (of_image, [])):
        command = sam.command("invoke", "RecheckFunction")
        assert command[1:4] == ["local", "invoke", "RecheckFunction"]
        assert command[command.index("--skip-pull-image") + 1 :] == image + host


def test_debugger_is_where_the_editor_attaches() -> None:
    """.vscode/launch.json has the port of `make debug`, and maps the repository's files to the container's."""
    text = re.sub(r"^\s*//.*$", "", (ROOT / ".vscode" / "launch.json").read_text(), flags=re.MULTILINE)
    [configuration] = json.loads(text)["configurations"]
    assert configuration["connect"] == {"host": "127.0.0.1", "port": DEBUG_PORT}
    mapped = {"localRoot": "${workspaceFolder}/functions", "remoteRoot": "/var/task"}
    assert configuration["pathMappings"] == [mapped]


# --- the image flavour ---


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_flavours_are_equal_in_all_but_packaging(architecture: str) -> None:
    """One image, built once, serves all functions, for one architecture; its command is the zip's handler."""
    of_zip, of_image = source(), derive(source(), architecture, "base:1")
    for name in ("Runtime", "CodeUri"):
        del of_zip["Globals"]["Function"][name]
    builds = []
    for name in FUNCTIONS:
        zipped, image = of_zip["Resources"][name]["Properties"], of_image["Resources"][name]["Properties"]
        assert image.pop("PackageType") == "Image"
        assert image.pop("ImageConfig") == {"Command": [zipped.pop("Handler")]}
        del of_zip["Resources"][name]["Metadata"]
        builds.append(of_image["Resources"][name].pop("Metadata"))
    assert all(build == builds[0] and build["DockerBuildArgs"] == {"BASE": "base:1"} for build in builds)
    del of_zip["Parameters"]["Architecture"]
    parameter = of_image["Parameters"].pop("Architecture")
    assert (parameter["Default"], parameter["AllowedValues"]) == (architecture, [architecture])
    assert of_image == of_zip


def test_image_holds_what_is_locked() -> None:
    """It has wheels by hash only, on AWS's image by default; what it does not copy is not sent to the engine."""
    dockerfile = (ROOT / "functions" / "Dockerfile").read_text()
    assert all(option in dockerfile for option in ("--require-hashes", "--only-binary=:all:", "--no-deps"))
    assert re.search(r"^ARG BASE=public\.ecr\.aws/lambda/python:3\.12$", dockerfile, re.MULTILINE)
    sent = re.findall(r"^!(\S+)$", (ROOT / "functions" / ".dockerignore").read_text(), re.MULTILINE)
    assert set(sent) == set(re.findall(r"^COPY (\w\S*) ", dockerfile, re.MULTILINE))


# --- where there is no engine ---


@pytest.mark.parametrize(("host", "code"), [("unix:///no/such.sock", 0), ("tcp://127.0.0.1:1", 3)])
def test_ci_reports_what_it_skipped(host: str, code: int) -> None:
    """Without an engine the command is skipped with a reason; otherwise its exit code counts."""
    command: list[str | Path] = [ROOT / ".ci" / "with-engine", "sh", "-c", "exit 3"]
    done = subprocess.run(command, env=os.environ | {"DOCKER_HOST": host}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (f"NOT TESTED: sh -c exit 3\n!!! DOCKER_HOST={host} does not answer" in done.stderr) == (code == 0)
