"""`sam local`, as far as it can be tested without a container engine; `make sam-local` runs the containers."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError
from rich.console import Console
from samcli.local.docker.lambda_debug_settings import LambdaDebugSettings

from local import containers, engine
from local.containers import DEBUG_PORT, SamLocal, debugging
from local.emulator import ROOT, Emulator, StackError, leave_account
from local.engine import STAND_IN, Engine
from local.report import Check, print_checks
from local.stack import BUILD, Stack

QUIET = Console(quiet=True)
OURS = f"{engine.AWS}:3.12-{engine.ARCHITECTURE}"
DIGEST = f"{engine.AWS}@sha256:"


def an_engine(
    there: Collection[str] = (),
    pullable: Collection[str] = (),
    about: Mapping[str, Any] | None = None,
    **client: object,
) -> Engine:
    """An engine that has these images, can pull others, and knows this of each."""

    def pull(repository: str, tag: str) -> None:
        if f"{repository}:{tag}" not in pullable:
            raise APIError("no such host")

    images = SimpleNamespace(pull=pull, get=lambda _: SimpleNamespace(attrs={"Id": "1", **(about or {})}))
    images.list = lambda name: [image for image in there if image == name]
    return Engine(SimpleNamespace(images=images, **client))


# --- which engine ---


def test_missing_engine_is_exit_2_with_what_to_install() -> None:
    """Where no engine answers, the command prints where it asked and what to install, before it starts anything."""
    environment = {**os.environ, "PYTHONPATH": f"functions{os.pathsep}.", "DOCKER_HOST": "unix:///no/such.sock"}
    command = [sys.executable, "-m", "local", "image"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No container engine answers at DOCKER_HOST=unix:///no/such.sock" in done.stderr
    assert "apt-get install docker.io" in done.stderr
    assert "Finch" in done.stderr


def test_engine_behind_tls_is_found_as_docker_s_client_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH count; where they lead nowhere, the error is that of a missing engine."""
    monkeypatch.setattr("docker.APIClient._retrieve_server_version", lambda _: "1.41")
    monkeypatch.setattr("docker.DockerClient.ping", lambda _: True)
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    host = {"DOCKER_HOST": "tcp://engine.example:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    for name, value in host.items():
        monkeypatch.setenv(name, value)
    api = engine.find().client.api
    assert api.base_url == "https://engine.example:2376"
    assert api.cert == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(StackError, match="No container engine answers at DOCKER_HOST=tcp://engine"):
        engine.find()


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ({"Version": "20.10.24", "Components": [{"Name": "Engine"}, {"Name": "runc"}]}, "Docker Engine 20.10.24"),
        ({"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}, "Podman Engine 4.3.1"),
    ],
)
def test_report_names_the_engine(version: dict[str, Any], name: str) -> None:
    """The report names the engine and its version."""
    assert an_engine(version=lambda: version).name == name


@pytest.mark.parametrize(
    ("name", "ranges", "address"),
    [
        ("bridge", [{"Subnet": "172.18.0.0/16"}], "172.18.0.1"),
        ("podman", [{"Subnet": "10.88.0.0/16", "Gateway": "10.88.0.2"}], "10.88.0.2"),
        ("host", [], None),
    ],
)
def test_containers_find_this_machine_at_the_engine_s_gateway(
    name: str, ranges: list[dict[str, str]], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Linux it is the gateway of the engine's own network, whatever its numbers."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    network = SimpleNamespace(attrs={"Name": name, "IPAM": {"Config": ranges}})
    assert an_engine(networks=SimpleNamespace(list=lambda: [network])).address == address


# --- which image ---


@pytest.mark.parametrize(
    ("there", "pullable", "named", "chosen"),
    [
        ({OURS, STAND_IN}, (), None, OURS),
        ({STAND_IN}, {OURS}, None, OURS),
        ({STAND_IN}, (), None, STAND_IN),
        ((), (), None, "built"),
        ({OURS}, (), "my/own:1", "my/own:1"),
    ],
    ids=["aws-there", "aws-pulled", "stand-in", "stand-in-built", "named"],
)
def test_image_is_aws_s_own_where_it_can_be_had(
    there: set[str], pullable: set[str], named: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named image comes first, the stand-in last; it is built only where it is missing."""
    built: list[Engine] = []
    monkeypatch.setattr(Engine, "build_stand_in", lambda found, _: built.append(found))
    image = an_engine(there, pullable).base_image(QUIET, named)
    assert (image, len(built)) == ((STAND_IN, 1) if chosen == "built" else (chosen, 0))


def test_stand_in_is_of_this_machine_only() -> None:
    """An image for the other architecture needs AWS's base image, and the message says so."""
    other = "x86_64" if engine.ARCHITECTURE == "arm64" else "arm64"
    with pytest.raises(StackError, match="this machine's"):
        an_engine().base_image(QUIET, None, other)


def test_stand_in_is_never_taken_for_aws_s() -> None:
    """Its name, its labels and every report say what it is, even under another's name."""
    dockerfile = (engine.PARTS / "Dockerfile").read_text()
    [title] = re.findall(r'image\.title="([^"]+)"', dockerfile)
    assert "aws" not in STAND_IN
    assert "NOT AWS's" in dockerfile
    labelled = {"Config": {"Labels": {"org.opencontainers.image.title": title}}}
    assert an_engine({OURS}, about=labelled).describe(OURS) == f"{OURS} (NOT AWS's: {title})"
    assert an_engine({OURS}).describe(OURS) == OURS


@pytest.mark.parametrize(
    ("base", "there", "digests", "pin"),
    [
        (OURS, {OURS}, [f"{DIGEST}1a2b"], f"{DIGEST}1a2b"),
        (STAND_IN, {STAND_IN}, [], f"{DIGEST}..."),
        ("my/own:1", (), [], f"{DIGEST}..."),
        (f"{DIGEST}1a2b", (), [], None),
    ],
    ids=["pulled", "stand-in", "not-listed", "pinned"],
)
def test_base_without_a_digest_is_reported(base: str, there: set[str], digests: list[str], pin: str | None) -> None:
    """`make image` prints one line, with the digest to name if the engine knows one (docs/decisions/22)."""
    line = an_engine(there, about={"RepoDigests": digests}).unpinned(base)
    says = f"base is not pinned: its tag may name another image tomorrow; BASE={pin} pins it"
    assert line == (says if pin else None)


def test_stand_in_names_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without debootstrap, for example, nothing is started, and the error names what is missing."""
    for program in ("bash", "dirname", "id", "sh", "python3.12"):
        (tmp_path / program).symlink_to(shutil.which(program) or sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"base image needs debootstrap \(apt-get install debootstrap\)"):
        an_engine().build_stand_in(QUIET)


# --- how functions are run ---


def test_sam_has_no_way_to_a_real_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a profile nor an endpoint of the shell's reaches `sam local`; the engine's name does."""
    mine = dict.fromkeys(("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"), "mine")
    monkeypatch.setattr(os, "environ", os.environ | mine | {"DOCKER_HOST": "unix:///engine.sock"})
    leave_account()
    environment = SamLocal(Stack(Emulator(1, 4566)), an_engine(), "base:1", "172.17.0.1").environment()
    assert "mine" not in environment.values()
    assert environment["AWS_ACCESS_KEY_ID"] == "123456789012"
    assert environment["DOCKER_HOST"] == "unix:///engine.sock"
    assert environment["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("image", "address", "more"),
    [
        (False, "172.17.0.1", ["--invoke-image", "base:1", "--add-host", "host.docker.internal:172.17.0.1"]),
        (True, None, []),
    ],
    ids=["zip-on-linux", "image-elsewhere"],
)
def test_sam_gets_image_and_address(image: bool, address: str | None, more: list[str]) -> None:  # noqa: FBT001 - a table's column
    """A zip runs in the chosen image, an image in itself; nothing is pulled meanwhile."""
    sam = SamLocal(Stack(Emulator(1, 4566)), an_engine(), "base:1", address, image)
    command = sam.command("invoke", "RecheckFunction")
    assert command[1:4] == ["local", "invoke", "RecheckFunction"]
    assert command[command.index("--skip-pull-image") + 1 :] == more


@pytest.mark.parametrize(("version", "folder"), [("3.12", "local"), ("3.11", "containers")])
def test_container_runs_the_current_sources(version: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command builds what changed since `make up` for Lambda's Python, apart where the emulator has another."""
    built: list[tuple[Path, str]] = []
    monkeypatch.setattr(containers, "emulators_python", lambda: version)
    monkeypatch.setattr(containers, "build", lambda *of: built.append(of))
    assert containers.build_for_containers() == BUILD.with_name(folder)
    assert built == [(BUILD.with_name(folder), "3.12")]


def test_debugger_is_where_the_editor_attaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """.vscode/launch.json names the port of `make debug`, and maps the repository's files to the container's.

    The SAM CLI puts Python and the runtime around the debugger for a zip; for an image it takes what it is given.
    """
    monkeypatch.setattr("local.containers.install_debugger", lambda *_: None)
    text = re.sub(r"^\s*//.*$", "", (ROOT / ".vscode" / "launch.json").read_text(), flags=re.MULTILINE)
    [configuration] = json.loads(text)["configurations"]
    assert configuration["connect"] == {"host": "127.0.0.1", "port": DEBUG_PORT}
    mapped = {"localRoot": "${workspaceFolder}/functions", "remoteRoot": "/var/task"}
    assert configuration["pathMappings"] == [mapped]
    of_zip, of_image = (debugging(as_image=image)[-1] for image in (False, True))
    assert f"--listen 0.0.0.0:{DEBUG_PORT} --wait-for-client" in of_zip
    settings: Any = LambdaDebugSettings.get_debug_settings
    flavours = ((of_zip, "python3.12"), (of_image, None))
    entries = [settings(DEBUG_PORT, words.split(" "), {}, runtime, {}).entrypoint for words, runtime in flavours]
    assert entries[0] == entries[1]


# --- what is said ---


@pytest.mark.parametrize("width", [40, 80, 200])
def test_failing_check_is_marked_at_any_width(width: int) -> None:
    """The mark is there in CI's log, too, which has 80 columns."""
    shown = Console(record=True, width=width, file=io.StringIO())
    print_checks(shown, [Check("layers beyond those of its base, none of them a tool's" * 2, "2", holds=False)])
    assert "✗" in shown.export_text()


def test_document_shows_both_flavours_and_nothing_of_a_machine() -> None:
    """docs/sam-local.md shows what was printed, with every step passed, and names what replaced AWS's image."""
    text = (ROOT / "docs" / "sam-local.md").read_text()
    for flavour, steps in (("zip", 15), ("image", 16)):
        assert len(re.findall(rf"^Docker Engine \S+, {flavour}, in ", text, re.MULTILINE)) == 1
        assert f"{steps} passed" in text
    assert not re.search(r"FAILED|✗|skey_|/root/|/home/|/work/|/tmp/", text)
    assert ("NOT AWS's: Stand-in" in text) == (STAND_IN in text)


@pytest.mark.parametrize(
    ("host", "code", "says"),
    [
        ("unix:///no/such.sock", 0, "NOT TESTED: sh -c exit 3\n!!! DOCKER_HOST=unix:///no/such.sock does not answer"),
        ("tcp://127.0.0.1:1", 3, ""),
    ],
    ids=["skipped", "run"],
)
def test_ci_reports_what_it_skipped(host: str, code: int, says: str) -> None:
    """Without an engine the command is skipped with a reason; otherwise its exit code counts."""
    command: list[str | Path] = [ROOT / ".ci" / "with-engine", "sh", "-c", "exit 3"]
    environment = {**os.environ, "DOCKER_HOST": host}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert says in done.stderr
