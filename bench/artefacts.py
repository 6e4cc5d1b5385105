"""What is started cold: the built artefact and the bare handlers, each with and without bytecode."""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from artefact.size import measured
from bench.template import ROOT

ROOM = ROOT / ".local" / "bench"
# What Lambda's runtime brings: boto3 and what it needs.
_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
_BARE = "def lambda_handler(event, context):\n    return {}\n"
_FLOOR = (
    "__init__.py",
    "environment.py",
    "template.py",
    "subjects/__init__.py",
    "subjects/floor.py",
    "subjects/cold.py",
)


def make() -> dict[str, Path]:
    """Make every folder anew, and return them by name."""
    shutil.rmtree(ROOM, ignore_errors=True)
    built = _sam_build()
    _copy_runtime(ROOM / "runtime-plain")
    (ROOM / "bare-plain").mkdir()
    (ROOM / "bare-plain" / "bare.py").write_text(_BARE)
    _copy_floor(ROOM / "floor-plain")
    shutil.copytree(built, ROOM / "ours-plain", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("runtime", "bare", "floor", "ours"):
        shutil.copytree(ROOM / f"{name}-plain", ROOM / f"{name}-compiled")
        compiled(ROOM / f"{name}-compiled")
    return {folder.name: folder for folder in ROOM.iterdir()} | {"ours-built": built}


def compiled(folder: Path) -> None:
    """Add bytecode as `make build` does: of this Python, checked by nothing."""
    # Beside the sources: whoever measures may keep bytecode elsewhere (PYTHONPYCACHEPREFIX), where none would find it.
    sys.pycache_prefix = None
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=2, invalidation_mode=unchecked) or not measured(folder).bytecode:
        raise RuntimeError(f"{folder} was not compiled")


def _sam_build() -> Path:
    own = ROOT / ".venv" / "bin"
    surroundings = os.environ | {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    line: list[str | Path] = [own / "sam", "build", "DelayedNotifyFunction", "--build-dir", ROOM / "build"]
    done = subprocess.run(line, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"sam build:\n{done.stderr[-3000:]}")
    return ROOM / "build" / "DelayedNotifyFunction"


def _copy_runtime(target: Path) -> None:
    target.mkdir(parents=True)
    for name in _RUNTIME:
        origin = Path(str(getattr(find_spec(name), "origin", "")))
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, target)


def _copy_floor(target: Path) -> None:
    for name in _FLOOR:
        (target / "bench" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "bench" / name, target / "bench" / name)
    shutil.copytree(ROOT / "events", target / "events")
