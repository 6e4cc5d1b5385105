"""Cold starts under the runtime emulator: with and without bytecode, with the runtime's boto3 and with our own."""

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artefact.runtime import PYTHON, running

HANDLER = "delayednotify.lambda_handler"
# What boto3 is made of, and the services that the functions call.
_BOTO = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six.py")
_SERVICES = {"dynamodb", "lambda", "scheduler", "secretsmanager", "ses", "sqs"}
_BYTECODE = "__pycache__"


@dataclass(frozen=True)
class Variant:
    """A way to pack the functions."""

    name: str
    folder: Path
    environment: dict[str, str]


@contextmanager
def variants(built: Path) -> Iterator[list[Variant]]:
    """The built function in four ways; what is copied for it is taken away again."""
    with tempfile.TemporaryDirectory() as room:
        plain, bundled, none = (Path(room) / name for name in ("plain", "bundled", "none"))
        shutil.copytree(built, plain, ignore=shutil.ignore_patterns(_BYTECODE))
        shutil.copytree(built, bundled)
        _bundle(bundled)
        # Python looks for all bytecode in an empty folder, the runtime's boto3's too.
        nowhere = {"PYTHONPYCACHEPREFIX": str(none)}
        yield [
            Variant("with bytecode, the runtime's boto3", built, {}),
            Variant("without bytecode, the runtime's boto3 with", plain, {}),
            Variant("without any bytecode", plain, nowhere),
            Variant("with bytecode, boto3 bundled", bundled, {}),
        ]


def start_ms(variant: Variant) -> float:
    """How long one cold start takes; the handler refuses the empty event, once everything is imported."""
    with (
        tempfile.TemporaryDirectory() as room,
        running(variant.folder, HANDLER, variant.environment, Path(room) / "log") as function,
    ):
        function.invoke({})
        return function.init_ms


def table(built: Path, count: int) -> list[str]:
    """Start each variant in turn, several times, and tell the least and the median of each in a line.

    The least is what the machine can do; the median has its other work in it.
    """
    with variants(built) as ways:
        took: dict[str, list[float]] = {way.name: [] for way in ways}
        for _ in range(count):
            for way in ways:
                took[way.name].append(start_ms(way))
    return [f"{min(ms):6.0f} {statistics.median(ms):8.0f}   {name}" for name, ms in took.items()]


def _bundle(folder: Path) -> None:
    [site_packages] = (PYTHON.parent.parent / "lib").glob("python*/site-packages")
    for name in _BOTO:
        source, target = site_packages / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_other_services)
        else:
            shutil.copyfile(source, target)


def _other_services(folder: str, names: list[str]) -> set[str]:
    data = Path(folder)
    return {n for n in names if data.name == "data" and (data / n).is_dir() and n not in _SERVICES}
