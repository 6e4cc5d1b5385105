"""The machine's facts: what a reader needs to judge the figures."""

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

from artefact.runtime import PYTHON
from bench.page import Section

_PACKAGES = (
    "boto3",
    "botocore",
    "pydantic",
    "aws-lambda-powertools",
    "aws-durable-execution-sdk-python",
    "aws-durable-execution-sdk-python-testing",
)


def facts(mode: str, minutes: float) -> Section:
    """Return the section about this machine and this run."""
    section = Section("The machine and the run")
    rows = [
        ("run", f"`{mode}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.1f} minutes"),
        ("processor", f"{_cpu()}, {os.cpu_count()} cores, {platform.machine()}"),
        ("load when it ended (1, 5, 15 minutes)", ", ".join(f"{load:.1f}" for load in os.getloadavg())),
        ("memory", _memory()),
        ("system", f"{_system()}, Linux {platform.release()}"),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in _PACKAGES),
        ("awslambdaric", _runtimes("awslambdaric")),
        ("valgrind", _valgrind()),
    ]
    section.table(("", ""), rows)
    return section


def _runtimes(name: str) -> str:
    [folder] = (PYTHON.parent.parent / "lib").glob("python*/site-packages")
    [found] = distributions(name=name, path=[str(folder)])
    return found.version


def _cpu() -> str:
    found = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[0] if found else platform.processor()


def _memory() -> str:
    [kib] = re.findall(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return f"{int(kib) / 1024**2:.1f} GiB"


def _system() -> str:
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def _valgrind() -> str:
    try:
        return subprocess.run(
            [shutil.which("valgrind") or "valgrind", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except OSError:
        return "none"
