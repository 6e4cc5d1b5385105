"""What is deployed: how large it is, what is in it, and that it runs with nothing else installed."""

import re
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from artefact import size
from artefact.runtime import RuntimeEmulatorError, emulator_program, running
from artefact.size import CEILING_MB, contents
from bench import facts
from bench.notifications import notification, timer, variables
from bench.standins import serving
from local.emulator import ROOT
from local.stack import BUILD, FUNCTIONS, build, emulators_python
from tests.project.test_ceilings import CEILINGS
from tests.support.programs import absent

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
LOCK = (ROOT / "functions" / "requirements.txt").read_text()
PINS = re.findall(r"^([a-z0-9-]+)==\S+ .*(.)$", LOCK, re.MULTILINE)
OURS = {"callback", "delayednotify", "recheck"}


@pytest.fixture(scope="module")
def built() -> Path:
    """The functions, built for the Python that runs them here: Lambda's version, if the machine has it."""
    build()
    return BUILD


def test_functions_are_the_same_files_below_the_ceiling(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make build` prints the size of each, under 20 MB unpacked with its bytecode; each build gives the same bytes."""
    assert size.main(built) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(FUNCTIONS)
    assert all("MB unpacked" in line and "bytecode of" in line for line in lines)
    of = [{file.relative_to(built / name): file.read_bytes() for file in contents(built / name)} for name in FUNCTIONS]
    assert all(one == of[0] for one in of)
    # A new environment fetches and unpacks this before it starts.
    assert sum(len(data) for file, data in of[0].items() if file.suffix != ".pyc") <= CEILINGS["artefact"]["bytes"]


def test_function_above_the_ceiling_fails_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The build fails if a function is too large, has no bytecode, or if there is no function at all."""
    assert size.main(tmp_path) == 1
    (tmp_path / "Large").mkdir()
    (tmp_path / "Large" / "data").write_bytes(bytes(CEILING_MB * 1_000_000))
    assert size.main(tmp_path) == 1
    printed = capsys.readouterr().out
    assert "MORE THAN THE 20 MB ALLOWED" in printed
    assert "NO BYTECODE" in printed


def test_only_what_runs_is_in_it(built: Path) -> None:
    """Modules, the page, the extension for both architectures, and bytecode; no tests, metadata or stubs."""
    files, version = contents(built / "RecheckFunction"), emulators_python().replace(".", "")
    extensions = {f"_pydantic_core.cpython-{version}-{machine}-linux-gnu.so" for machine in ("x86_64", "aarch64")}
    kinds = Counter(file.suffix for file in files)
    assert kinds == {".html": 1, ".so": 2, ".py": kinds[".py"], ".pyc": kinds[".py"]}
    assert {file.name for file in files if file.suffix == ".so"} == extensions
    assert not [f for f in files if {"tests", "test"} & set(f.parts) or f.name.startswith("test_")]
    assert {f.stat().st_mode & 0o777 for f in files} == {0o644}
    # A zip loses time stamps, so bytecode is by hash, and unchecked, since nothing changes there (PEP 552).
    assert {file.read_bytes()[4:8] for file in files if file.suffix == ".pyc"} == {b"\1\0\0\0"}


def test_every_package_in_it_is_a_locked_one(built: Path) -> None:
    """The packages are those of functions/requirements.txt, which locks them by version and hash, at no registry."""
    modules = {path.stem for path in (built / "RecheckFunction").iterdir() if path.name != "__pycache__"} - OURS
    owners = metadata.packages_distributions()
    assert {owners[module][0].lower().replace("_", "-") for module in modules} == {name for name, _ in PINS}
    assert {end for _, end in PINS} == {"\\"}  # hashes follow
    assert not re.search("http|index-url", LOCK)


def test_notification_goes_through_the_artefact(built: Path, tmp_path: Path) -> None:
    """With only Lambda's runtime, one is saved and has pass 1; Recheck comes too early, and the sweep finds nothing."""
    try:
        emulator_program()
    except RuntimeEmulatorError as why:
        absent(str(why))
    assert [*(ROOT / ".venv-runtime").rglob("*.pyc")]  # as Lambda's own runtime has, where starts are measured
    facts.write_template()
    with serving() as url:

        def invoke(function: str, handler: str, event: object) -> Any:
            with running(built / function, handler, variables(1, url), tmp_path / f"{function}.log") as here:
                return here.invoke(event)

        assert invoke("DelayedNotifyFunction", "delayednotify.lambda_handler", notification(1))["statusCode"] == 200
        answer = invoke("RecheckFunction", "recheck.lambda_handler", timer(1))
        assert answer == {"state": "PENDING", "passesDone": 1}
        assert set(invoke("SweepFunction", "recheck.sweep_handler", {}).values()) == {0}
