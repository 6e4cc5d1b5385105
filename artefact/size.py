"""`make build` prints how large each built function is; more than the ceiling fails it."""

import sys
from pathlib import Path

from local.emulator import ROOT

# Unpacked. boto3 is the runtime's own (docs/decisions/19), so growth means a new dependency.
CEILING_MB = 20


def main(build: Path = ROOT / ".aws-sam" / "build") -> int:
    """Print the size of each built function; exit code 1 for one above the ceiling, or where there is none."""
    folders = [folder for folder in sorted(build.iterdir()) if folder.is_dir()]
    sizes = {folder: sum(file.stat().st_size for file in contents(folder)) / 1e6 for folder in folders}
    for folder, megabytes in sizes.items():
        verdict = "" if megabytes < CEILING_MB else f", MORE THAN THE {CEILING_MB} MB ALLOWED"
        modules = sum(file.suffix == ".pyc" for file in contents(folder))
        bytecode = f"bytecode of {modules} modules" if modules else "NO BYTECODE: it starts more slowly"
        print(f"{folder.name}: {megabytes:.1f} MB unpacked, {len(contents(folder))} files, {bytecode}{verdict}")
    return int(not sizes or max(sizes.values()) >= CEILING_MB)


def contents(folder: Path) -> list[Path]:
    """Return every file of a built function, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
