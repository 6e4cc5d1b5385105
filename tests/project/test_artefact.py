"""What is deployed, as it is built: how large, what is in it, and that it runs where nothing else is."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from artefact import __main__ as commands
from artefact import runtime
from artefact.runtime import RuntimeEmulatorError, running
from artefact.size import CEILING_MB, contents
from callback.clock import utc_now
from callback.table import format_utc
from local import emulator
from local.emulator import ROOT
from local.samples import EVENTS, read_sample
from local.stack import BUILD, Options, Stack, build, deploy, emulators_python, furnish
from tests.support.programs import absent

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
FUNCTIONS = ("DelayedNotifyFunction", "RecheckFunction", "RetryFunction", "SweepFunction")
LOCK = (ROOT / "functions" / "requirements.txt").read_text()
OURS = {"callback", "delayednotify", "recheck"}


@pytest.fixture(scope="module")
def built() -> Path:
    """The functions, built for the Python that runs them here: Lambda's, where there is one."""
    build()
    return BUILD


@pytest.fixture(scope="module")
def runtime_python() -> Path:
    """A Python that has what Lambda's runtime has; skipped loudly where that cannot be."""
    try:
        runtime.emulator_program()
    except RuntimeEmulatorError as why:
        absent(str(why))
    return runtime.PYTHON


def test_functions_are_below_the_ceiling(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make build` prints the size of each, which is under 20 MB unpacked, and that bytecode is in it."""
    assert commands.main(["size", "--build", str(built)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(FUNCTIONS)
    assert all("MB unpacked" in line and "bytecode of" in line for line in lines)
    assert CEILING_MB == 20


def test_function_above_the_ceiling_fails_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function that has grown past it is reported before it is deployed, and so is missing bytecode."""
    (tmp_path / "Large").mkdir()
    (tmp_path / "Large" / "data").write_bytes(bytes(CEILING_MB * 1_000_000))
    assert commands.main(["size", "--build", str(tmp_path)]) == 1
    assert "MORE THAN THE 20 MB ALLOWED" in (printed := capsys.readouterr().out)
    assert "NO BYTECODE" in printed


def test_nothing_built_is_no_success(tmp_path: Path) -> None:
    """An empty folder has no function under the ceiling."""
    assert commands.main(["size", "--build", str(tmp_path)]) == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_what_runs_is_in_it(built: Path, function: str) -> None:
    """Modules, their bytecode, the page and the extension for both architectures; no tests, metadata or stubs."""
    files = contents(built / function)
    libraries = {file.name for file in files if file.suffix == ".so"}
    version = emulators_python().replace(".", "")
    assert {file.suffix for file in files} == {".html", ".py", ".pyc", ".so"}
    assert libraries == {
        f"_pydantic_core.cpython-{version}-{machine}-linux-gnu.so" for machine in ("x86_64", "aarch64")
    }
    assert not [f for f in files if {"tests", "test"} & set(f.parts) or f.name.startswith("test_")]
    assert {f.stat().st_mode & 0o777 for f in files} == {0o644}


def test_every_package_in_it_is_a_locked_one(built: Path) -> None:
    """Nothing comes along that functions/requirements.txt does not name, and nothing it names is missing."""
    modules = {path.stem for path in (built / "RecheckFunction").iterdir() if path.name != "__pycache__"} - OURS
    owners = metadata.packages_distributions()
    assert {owners[module][0].lower().replace("_", "-") for module in modules} == set(
        re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE)
    )


def test_every_module_has_bytecode_that_no_time_stamp_spoils(built: Path) -> None:
    """A zip loses time stamps, so bytecode is by hash, and unchecked, since nothing changes there (PEP 552)."""
    files = contents(built / "RecheckFunction")
    compiled = [file for file in files if file.suffix == ".pyc"]
    assert len(compiled) == sum(file.suffix == ".py" for file in files)
    assert {file.read_bytes()[4:8] for file in compiled} == {b"\1\0\0\0"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_functions_are_the_same_bytes(built: Path, function: str) -> None:
    """Each was built by itself, in a folder of its own: bytecode too comes out the same."""
    assert _bytes(built / function) == _bytes(built / "DelayedNotifyFunction")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in contents(folder)}


@pytest.mark.parametrize(
    ("version", "says"), [("3.99", True), (f"{sys.version_info.major}.{sys.version_info.minor}", False)]
)
def test_build_says_when_it_makes_no_bytecode(version: str, says: bool) -> None:  # noqa: FBT001 - a table's column
    """Where no Python of Lambda's version runs the build goes on, and a line says what that costs."""
    command = ["make", "--dry-run", "build-X", "ARTIFACTS_DIR=/none", f"PYTHON={sys.executable}"]
    done = subprocess.run(
        [*command, f"PYTHON_VERSION={version}"], cwd=ROOT / "functions", capture_output=True, text=True, check=True
    )
    assert (f"no Python {version} here: the artefact goes without bytecode" in done.stdout) == says
    assert ("-m compileall" in done.stdout) != says


# --- under Lambda's runtime emulator ---


def test_handlers_import_from_the_artefact_alone(built: Path, runtime_python: Path) -> None:
    """Beside the artefact there are the standard library and what Lambda's runtime has; nothing is imported twice."""
    program = (
        "import sys, delayednotify, recheck;"
        "delayednotify.lambda_handler, delayednotify.retry_handler, recheck.lambda_handler, recheck.sweep_handler;"
        "print('\\n'.join(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)))"
    )
    done = subprocess.run(
        [runtime_python, "-c", program],
        cwd=built / "RecheckFunction",
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    elsewhere = [line for line in done.stdout.splitlines() if str(ROOT) in line and "RecheckFunction" not in line]
    assert all("/.venv-runtime/" in line for line in elsewhere)
    assert {_package(line) for line in elsewhere} <= {"boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six"}


def _package(file: str) -> str:
    return Path(file.split("/site-packages/")[1]).parts[0].removesuffix(".py")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The local stack; its functions' environment is what the runtime emulator's get."""
    started = emulator.start()
    try:
        yield deploy(started, Options(delay=60, latency_ms=1))
    finally:
        started.stop()


# An emulator is let go as a process and ended by its id, which Popen does not like.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("runtime_python")
def test_notification_goes_through_the_artefact(built: Path, stack: Stack, tmp_path: Path) -> None:
    """Saved and passed by DelayedNotify, armed, passed again by Recheck; the sweep finds nothing left to do."""
    sample = read_sample(EVENTS / "authorized.json")
    furnish(stack, sample.notification)

    def invoke(function: str, handler: str, event: object) -> Any:
        configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs[function])
        environment = configuration["Environment"]["Variables"] | _reach(stack)
        with running(built / function, handler, environment, tmp_path / f"{function}.log") as here:
            answer = here.invoke(event)
            print(f"{function}: cold start {here.init_ms:.0f} ms")  # noqa: T201 - `pytest -s` shows it
            return answer

    assert invoke("DelayedNotifyFunction", "delayednotify.lambda_handler", sample.event)["statusCode"] == 200
    timer = _timer(stack)
    _make_due(stack, timer)
    assert invoke("RecheckFunction", "recheck.lambda_handler", timer) == {"state": "DONE", "passesDone": 2}
    swept = invoke("SweepFunction", "recheck.sweep_handler", {})
    assert set(swept.values()) == {0}


def _reach(stack: Stack) -> dict[str, str]:
    key, secret = stack.reach["aws_access_key_id"], stack.reach["aws_secret_access_key"]
    where = {"AWS_ENDPOINT_URL": stack.reach["endpoint_url"], "AWS_DEFAULT_REGION": stack.reach["region_name"]}
    return where | {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}


def _timer(stack: Stack) -> dict[str, Any]:
    scheduler, group = stack.client("scheduler"), stack.outputs["ScheduleGroup"]
    [schedule] = scheduler.list_schedules(GroupName=group)["Schedules"]
    target = scheduler.get_schedule(Name=schedule["Name"], GroupName=group)["Target"]
    timer: dict[str, Any] = json.loads(target["Input"])
    return timer


def _make_due(stack: Stack, timer: dict[str, Any]) -> None:
    # The minute passes.
    stack.table(stack.outputs["CreditCardNotifyTable"]).update_item(
        Key={name: timer[name] for name in ("chargeId", "notificationId")},
        UpdateExpression="SET nextPassDue = :now",
        ExpressionAttributeValues={":now": format_utc(utc_now())},
    )


@pytest.mark.usefixtures("runtime_python")
def test_cold_starts_are_printed(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make starts`: with and without bytecode, with the runtime's boto3 and with a bundled one."""
    assert commands.main(["starts", "--build", str(built), "--count", "1"]) == 0
    printed = capsys.readouterr().out
    for variant in ("with bytecode, the runtime's boto3", "without any bytecode", "with bytecode, boto3 bundled"):
        assert f"   {variant}\n" in printed


@pytest.mark.parametrize("machine", ["riscv64", ""])
def test_machine_without_a_runtime_emulator_is_reported(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on Linux on two architectures; elsewhere the error says so, and nothing is started."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(RuntimeEmulatorError, match="runs on Linux"):
        runtime.emulator_program()


def test_requirements_are_locked_for_both_architectures() -> None:
    """By version and hash, and naming no registry."""
    pins = re.findall(r"^[a-z0-9-]+==\S+ .*$", LOCK, re.MULTILINE)
    assert pins
    assert all(pin.endswith("\\") for pin in pins)  # hashes follow
    assert "http" not in LOCK
    assert "index-url" not in LOCK
