"""`sam local`, as far as it can be tested without a container engine; `make sam-local` runs the containers."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
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
from local.engine import Engine
from local.report import Check, print_checks
from local.stack import BUILD, Stack

QUIET = Console(quiet=True)


class Images:
    """An engine's images: some are there, others can be pulled."""

    def __init__(self, there: set[str], pullable: set[str] = frozenset(), title: str = "") -> None:  # type: ignore[assignment]
        self.there, self._pullable = there, pullable
        self._title = title

    def list(self, name: str) -> list[str]:
        """Those of a name."""
        return [image for image in self.there if image == name]

    def pull(self, repository: str, tag: str) -> None:
        """Pull it from the registry, which this class plays."""
        if f"{repository}:{tag}" not in self._pullable:
            raise APIError("no such host")

    def get(self, name: str) -> Any:
        """An image with its labels."""
        return SimpleNamespace(
            attrs={"Id": name, "Config": {"Labels": {"org.opencontainers.image.title": self._title}}}
        )


def an_engine(images: Images | None = None, **client: object) -> Engine:
    """An engine that has these images."""
    return Engine(SimpleNamespace(images=images, **client))


# --- which engine ---


def test_missing_engine_is_exit_2_with_what_to_install() -> None:
    """Where no engine answers, the command prints where it asked and what to install, before it starts anything."""
    done = subprocess.run(
        [sys.executable, "-m", "local", "stand-in"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"functions{os.pathsep}.", "DOCKER_HOST": "unix:///no/such.sock"},
        capture_output=True,
        text=True,
        check=False,
    )
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
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
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
    ("network", "address"),
    [
        ({"Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}}, "172.18.0.1"),
        ({"Name": "podman", "IPAM": {"Config": [{"Subnet": "10.88.0.0/16", "Gateway": "10.88.0.2"}]}}, "10.88.0.2"),
        ({"Name": "host", "IPAM": {"Config": []}}, None),
    ],
)
def test_containers_find_this_machine_at_the_engine_s_gateway(
    network: dict[str, Any], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Linux it is the gateway of the engine's own network, whatever its numbers."""
    monkeypatch.setattr("platform.system", lambda: "Linux")
    networks = SimpleNamespace(list=lambda: [SimpleNamespace(attrs=network)])
    assert an_engine(networks=networks).address == address


# --- which image ---

OURS = f"{engine.AWS}:3.12-{engine.ARCHITECTURE}"


@pytest.mark.parametrize(
    ("images", "named", "chosen"),
    [
        (Images({OURS, engine.STAND_IN}), None, OURS),
        (Images({engine.STAND_IN}, pullable={OURS}), None, OURS),
        (Images({engine.STAND_IN}), None, engine.STAND_IN),
        (Images({OURS}), "my/own:1", "my/own:1"),
    ],
    ids=["aws-there", "aws-pulled", "stand-in", "named"],
)
def test_image_is_aws_s_own_where_it_can_be_had(images: Images, named: str | None, chosen: str) -> None:
    """A named image comes first, the stand-in last."""
    assert an_engine(images).base_image(QUIET, named) == chosen


def test_stand_in_is_built_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS's image cannot be pulled the stand-in is built, once."""
    built: list[Engine] = []
    monkeypatch.setattr(Engine, "build_stand_in", lambda found, _: built.append(found))
    assert an_engine(Images(set())).base_image(QUIET, None) == engine.STAND_IN
    assert len(built) == 1


def test_stand_in_is_of_this_machine_only() -> None:
    """An image for the other architecture needs AWS's base image, and the message says so."""
    other = "x86_64" if engine.ARCHITECTURE == "arm64" else "arm64"
    with pytest.raises(StackError, match="this machine's"):
        an_engine(Images(set())).base_image(QUIET, None, other)


def test_stand_in_is_never_taken_for_aws_s() -> None:
    """Its name, its labels and every report say what it is, even under another's name."""
    assert "aws" not in engine.STAND_IN
    [title] = re.findall(r'image\.title="([^"]+)"', (engine.PARTS / "Dockerfile").read_text())
    assert "NOT AWS's" in (engine.PARTS / "Dockerfile").read_text()
    assert an_engine(Images({OURS}, title=title)).describe(OURS) == f"{OURS} (NOT AWS's: {title})"
    assert an_engine(Images({OURS})).describe(OURS) == OURS


@pytest.mark.parametrize(
    ("base", "digests", "pins"),
    [
        (OURS, [f"{engine.AWS}@sha256:1a2b"], f"BASE={engine.AWS}@sha256:1a2b pins it"),
        (engine.STAND_IN, [], f"BASE={engine.AWS}@sha256:... pins it"),
        ("my/own:1", None, f"BASE={engine.AWS}@sha256:... pins it"),
        (f"{engine.AWS}@sha256:1a2b", [], None),
    ],
    ids=["pulled", "stand-in", "not-listed", "pinned"],
)
def test_base_without_a_digest_is_reported(base: str, digests: list[str] | None, pins: str | None) -> None:
    """`make image` prints one line, with the digest to name if the engine knows one (docs/decisions/22)."""
    there = [] if digests is None else [base]
    images = SimpleNamespace(get=lambda _: SimpleNamespace(attrs={"RepoDigests": digests}), list=lambda **_: there)
    line = an_engine(images).unpinned(base)  # type: ignore[arg-type]
    assert line is None if pins is None else str(line).startswith("base is not pinned: ") and str(line).endswith(pins)


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
    monkeypatch.setenv("DOCKER_HOST", "unix:///engine.sock")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setattr(os, "environ", os.environ.copy())
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


# --- the debugger ---


def test_editor_attaches_where_the_debugger_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """.vscode/launch.json names the port of `make debug`, and maps the repository's files to the container's."""
    monkeypatch.setattr("local.containers.install_wheels", lambda *_: None)
    text = re.sub(r"^\s*//.*$", "", (ROOT / ".vscode" / "launch.json").read_text(), flags=re.MULTILINE)
    [configuration] = json.loads(text)["configurations"]
    assert configuration["connect"] == {"host": "127.0.0.1", "port": DEBUG_PORT}
    mapped = {"localRoot": "${workspaceFolder}/functions", "remoteRoot": "/var/task"}
    assert configuration["pathMappings"] == [mapped]
    assert f"--listen 0.0.0.0:{DEBUG_PORT} --wait-for-client" in debugging()[-1]


def test_debugger_starts_the_same_in_both_flavours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SAM CLI puts Python and the runtime around the debugger for a zip; for an image it takes what it is given."""
    monkeypatch.setattr("local.containers.install_wheels", lambda *_: None)
    of_zip, of_image = (debugging(as_image=image)[-1] for image in (False, True))
    settings: Any = LambdaDebugSettings.get_debug_settings
    entries = [
        settings(DEBUG_PORT, debug.split(" "), {}, runtime, {}).entrypoint
        for debug, runtime in ((of_zip, "python3.12"), (of_image, None))
    ]
    assert entries[0] == entries[1]


# --- what is printed ---


@pytest.mark.parametrize("width", [40, 80, 200])
def test_failing_check_is_marked_at_any_width(width: int) -> None:
    """The mark is there in CI's log, too, which has 80 columns."""
    shown = Console(record=True, width=width, file=io.StringIO())
    print_checks(shown, [Check("layers beyond those of its base, none of them a tool's" * 2, "2", holds=False)])
    assert "✗" in shown.export_text()


# --- what the document says ---


def test_document_shows_both_flavours_and_nothing_of_a_machine() -> None:
    """docs/sam-local.md shows what was printed, with every step passed, and names what replaced AWS's image."""
    text = (ROOT / "docs" / "sam-local.md").read_text()
    for flavour, steps in (("zip", 15), ("image", 16)):
        assert len(re.findall(rf"^Docker Engine \S+, {flavour}, in ", text, re.MULTILINE)) == 1
        assert f"{steps} passed" in text
    assert "FAILED" not in text
    assert "✗" not in text
    assert ("NOT AWS's: Stand-in" in text) == (engine.STAND_IN in text)
    assert not re.search(r"skey_|/root/|/home/|/work/|/tmp/", text)


# --- CI ---


@pytest.mark.parametrize(
    ("host", "code", "says"),
    [
        (
            "unix:///no/such.sock",
            0,
            "!!! NOT TESTED: sh -c exit 3\n!!! DOCKER_HOST=unix:///no/such.sock does not answer",
        ),
        ("tcp://127.0.0.1:1", 3, ""),
    ],
    ids=["skipped", "run"],
)
def test_ci_reports_what_it_skipped(host: str, code: int, says: str) -> None:
    """Without an engine the command is skipped with a reason; otherwise its exit code counts."""
    done = subprocess.run(
        [ROOT / ".ci" / "with-engine", "sh", "-c", "exit 3"],
        env={**os.environ, "DOCKER_HOST": host},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert says in done.stderr
