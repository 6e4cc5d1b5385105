"""A stand-in for AWS's base image, for machines that cannot pull it: Debian, a Python 3.12, AWS's runtime client.

It is NOT AWS's image, and carries a name and labels that say so. It is laid out like it: /var/lang, /var/runtime,
/var/task and /lambda-entrypoint.sh, with the runtime emulator that comes with the SAM CLI.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import samcli

from local.emulator import ROOT
from local.engine import ARCHITECTURE, Engine
from local.stack import install_wheels

NAME = "delayednotify/lambda-stand-in:3.12"
PARTS = ROOT / "local" / "stand-in"
# Found by each machine's own dynamic linker, so they cannot come from another's.
_SYSTEM_LIBRARIES = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|util|pthread|resolv)\.so.*)$")
_NOT_RUN = ("test", "idlelib", "lib2to3", "tkinter", "turtledemo", "config-*", "site-packages", "__pycache__")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_ABOUT_PYTHON = (
    "import sys, sysconfig; assert sys.version_info[:2] == (3, 12);"
    "print(sys.executable); print(sysconfig.get_path('stdlib')); print(sys.base_prefix)"
)


class StandInError(Exception):
    """The stand-in cannot be built here; the message says what is missing."""


def build(engine: Engine) -> None:
    """Build the stand-in in an engine; a minute, as root, on Debian or Ubuntu, and with a Python 3.12."""
    missing = what_is_missing()
    if missing:
        raise StandInError(f"a stand-in for AWS's base image needs {' and '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="lambda-stand-in-") as name:
        root = Path(name) / "root"
        _debian(root)
        _python(root)
        _runtime(root)
        _run("tar", "-C", root, "--exclude=./dev/*", "--exclude=./var/*/apt", "-cf", Path(name) / "root.tar", ".")
        shutil.rmtree(root)
        shutil.copy(PARTS / "Dockerfile", name)
        engine.client.images.build(path=name, tag=NAME, rm=True)
    _remove_what_sam_made_of_it(engine)


def what_is_missing() -> list[str]:
    """Return what a build needs and this machine has not."""
    needs = {
        "root's rights (debootstrap makes devices)": os.geteuid() == 0,
        "debootstrap (apt-get install debootstrap)": shutil.which("debootstrap") is not None,
        "a Python 3.12": _python_312() is not None,
    }
    return [what for what, there in needs.items() if not there]


def _remove_what_sam_made_of_it(engine: Engine) -> None:
    # The SAM CLI adds its emulator to an image once, and goes on with that.
    repository = NAME.split(":", maxsplit=1)[0]
    tags = [tag for image in engine.client.images.list(name=repository) for tag in image.tags]
    for tag in tags:
        if tag.startswith(f"{repository}:") and "rapid" in tag:
            engine.client.images.remove(tag, force=True)


def _debian(root: Path) -> None:
    _run("debootstrap", "--variant=minbase", _release(), root)
    # Who made the machine's certificates known to it wants containers to know them too.
    _copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))


def _release() -> str:
    # The machine's own: its Python was built for that one's C library.
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    if not found:
        raise StandInError("a stand-in for AWS's base image needs Debian or Ubuntu: /etc/os-release names no release")
    return found[1]


def _python(root: Path) -> None:
    if not (found := _python_312()):
        raise StandInError("a stand-in for AWS's base image needs a Python 3.12")
    executable, library, prefix = found
    lang = root / "var" / "lang"
    _copy(executable, lang / "bin" / "python3.12")
    for name in ("python3", "python"):
        (lang / "bin" / name).symlink_to("python3.12")
    shutil.copytree(library, lang / "lib" / "python3.12", ignore=shutil.ignore_patterns(*_NOT_RUN))
    (lang / "lib" / "python3.12" / "site-packages").mkdir()
    modules = [executable, *(library / "lib-dynload").glob("*.so")]
    for needed in sorted({file for module in modules for file in _libraries(module, prefix)}):
        _copy(needed, lang / "lib" / needed.name)


def _libraries(module: Path, prefix: Path) -> Iterator[Path]:
    environment = os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib")}
    listed = subprocess.run(["ldd", module], env=environment, capture_output=True, text=True, check=True)  # noqa: S607
    for name, path in re.findall(r"(\S+) => (/\S+)", listed.stdout):
        if not _SYSTEM_LIBRARIES.match(name):
            yield Path(path)


def _python_312() -> tuple[Path, Path, Path] | None:
    found = subprocess.run([ROOT / "local" / "find-python"], capture_output=True, text=True, check=False)
    for candidate in filter(None, (sys.executable, found.stdout.strip())):
        about = subprocess.run([candidate, "-c", _ABOUT_PYTHON], capture_output=True, text=True, check=False)
        if about.returncode == 0:
            executable, library, prefix = map(Path, about.stdout.split("\n")[:3])
            return executable.resolve(), library, prefix
    return None


def _runtime(root: Path) -> None:
    packages = root / "var" / "lang" / "lib" / "python3.12" / "site-packages"
    install_wheels("runtime", packages, ARCHITECTURE)
    for name in ("bootstrap", "bootstrap.py"):
        _copy(PARTS / name, root / "var" / "runtime" / name)
    _copy(PARTS / "lambda-entrypoint.sh", root / "lambda-entrypoint.sh")
    emulator = Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
    _copy(emulator, root / "usr" / "local" / "bin" / "aws-lambda-rie")
    for folder in ("var/task", "opt"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StandInError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-1500:]}")
