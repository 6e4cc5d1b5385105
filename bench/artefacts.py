"""What is started cold: this edition and the one before it as built, and bare handlers with and without bytecode."""

import compileall
import io
import os
import py_compile
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

from artefact.size import measured
from bench.template import ROOT

ROOM = ROOT / ".local" / "bench"
# The last commit of the edition before this one.
PREVIOUS = "767a660c68e84cfedd45fa7365e2a75d8b28c39a"
# What Lambda's runtime brings: boto3 and what it needs.
_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six")
_BARE = "def lambda_handler(event, context):\n    return {}\n"
_FLOOR = ("__init__", "environment", "template", "subjects/__init__", "subjects/floor", "subjects/cold")


def make() -> dict[str, Path]:
    """Make every folder anew, and return them by name; without its commit there is no previous edition."""
    shutil.rmtree(ROOM, ignore_errors=True)
    ROOM.mkdir(parents=True)
    _build(ROOT / "functions", ROOM / "ours")
    history = ["git", "archive", "--format=tar", PREVIOUS, "functions"]
    found = subprocess.run(history, cwd=ROOT, capture_output=True, check=False)
    if not found.returncode:
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as sources:
            sources.extractall(ROOM / "sources", filter="data")
        _build(ROOM / "sources" / "functions", ROOM / "previous")
    _copy_runtime(ROOM / "runtime-plain")
    (ROOM / "bare").mkdir()
    (ROOM / "bare" / "bare.py").write_text(_BARE)
    _copy_floor(ROOM / "floor-plain")
    for name in ("runtime", "floor"):
        shutil.copytree(ROOM / f"{name}-plain", ROOM / f"{name}-compiled")
    for name in ("bare", "runtime-compiled", "floor-compiled"):
        _compile(ROOM / name)
    return {folder.name: folder for folder in ROOM.iterdir()}


def _build(sources: Path, target: Path) -> None:
    """Build as `sam build` does: by the Makefile of the functions, from a copy of them."""
    copy = ROOM / f"{target.name}-copy"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("__pycache__"))
    target.mkdir()
    surroundings = os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    line = ["make", "build-DelayedNotifyFunction", f"ARTIFACTS_DIR={target}", f"PYTHON={sys.executable}"]
    # A make of its own, whatever started this.
    surroundings = {name: value for name, value in surroundings.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    done = subprocess.run(line, cwd=copy, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode or not measured(target).bytecode:
        raise RuntimeError(f"{' '.join(line)}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def _compile(folder: Path) -> None:
    # Beside the sources, even if whoever measures keeps bytecode elsewhere (PYTHONPYCACHEPREFIX).
    sys.pycache_prefix = None
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=2, invalidation_mode=unchecked) or not measured(folder).bytecode:
        raise RuntimeError(f"{folder} was not compiled")


def _copy_runtime(target: Path) -> None:
    target.mkdir()
    for name in _RUNTIME:
        origin = Path(str(getattr(find_spec(name), "origin", "")))
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, target)


def _copy_floor(target: Path) -> None:
    (target / "bench" / "subjects").mkdir(parents=True)
    for name in _FLOOR:
        shutil.copy(ROOT / "bench" / f"{name}.py", target / "bench" / f"{name}.py")
    shutil.copytree(ROOT / "events", target / "events")
