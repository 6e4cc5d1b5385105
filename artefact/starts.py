"""Cold starts under the runtime emulator: with and without bytecode, with the runtime's boto3 and a bundled one."""

import shutil
import statistics
import tempfile
from pathlib import Path

from artefact.runtime import PYTHON, running

# boto3 and what it imports, and the services that the functions call.
_BOTO = ("boto3", "botocore", "s3transfer", "jmespath", "urllib3", "dateutil", "six.py")
_SERVICES = {"dynamodb", "lambda", "scheduler", "secretsmanager", "ses", "sqs"}
WITHOUT_BYTECODE = shutil.ignore_patterns("__pycache__")


def compare(built: Path, count: int) -> list[str]:
    """Start each variant in turn, and return the least and the median time of each in a line.

    The least is what the machine can do; the median includes its other work.
    """
    with tempfile.TemporaryDirectory() as room:
        variants = _variants(built, Path(room))
        took: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(count):
            for name, (folder, environment) in variants.items():
                # The handler refuses the empty event after everything is imported.
                with running(folder, "delayednotify.lambda_handler", environment, Path(room) / "log") as function:
                    function.invoke({})
                    took[name].append(function.init_ms)
    return [f"{min(ms):6.0f} {statistics.median(ms):8.0f}   {name}" for name, ms in took.items()]


def _variants(built: Path, room: Path) -> dict[str, tuple[Path, dict[str, str]]]:
    plain, bundled = room / "plain", room / "bundled"
    shutil.copytree(built, plain, ignore=WITHOUT_BYTECODE)
    shutil.copytree(built, bundled)
    bundle_boto3(bundled, bytecode=True)
    return {
        "with bytecode, the runtime's boto3": (built, {}),
        "without bytecode, the runtime's boto3 with": (plain, {}),
        # Python looks for all bytecode in a folder that does not exist, the runtime's boto3's too.
        "without any bytecode": (plain, {"PYTHONPYCACHEPREFIX": str(room / "none")}),
        "with bytecode, boto3 bundled": (bundled, {}),
    }


def bundle_boto3(folder: Path, *, bytecode: bool) -> None:
    """Copy the runtime's boto3 into a function, with the data of the services that are called."""
    [site_packages] = (PYTHON.parent.parent / "lib").glob("python*/site-packages")

    def ignored(parent: str, names: list[str]) -> set[str]:
        services = {name for name in names if Path(parent, name).is_dir()} if Path(parent).name == "data" else set()
        return (services - _SERVICES) | (set() if bytecode else {"__pycache__"})

    for name in _BOTO:
        if (site_packages / name).is_dir():
            shutil.copytree(site_packages / name, folder / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copyfile(site_packages / name, folder / name)
