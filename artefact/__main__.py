"""The commands behind `make build` and `make starts`."""

import argparse
import sys
import time
from pathlib import Path

from artefact.size import describe, fits
from artefact.starts import compare
from local.emulator import ROOT

BUILD = ROOT / ".aws-sam" / "build"
FUNCTION = "DelayedNotifyFunction"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m artefact", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for command in (size, starts):
        one = commands.add_parser(command.__name__, help=command.__doc__)
        one.set_defaults(command=command)
        one.add_argument("--build", type=Path, default=BUILD, help="the folder of the built functions")
        one.add_argument("--began", type=int, help="when the build began, in seconds since 1970")
        one.add_argument("--count", type=int, default=7, help="the number of cold starts of each variant")
    given = parser.parse_args(arguments)
    return int(given.command(given))


def size(given: argparse.Namespace) -> int:
    """Print the size of each built function; exit code 1 for one above the ceiling."""
    folders = [folder for folder in sorted(given.build.iterdir()) if folder.is_dir()]
    for folder in folders:
        print(describe(folder))
    if given.began:
        print(f"built in {time.time() - given.began:.0f} s")
    return int(not folders or not all(map(fits, folders)))


def starts(given: argparse.Namespace) -> int:
    """Print how long cold starts take under the runtime emulator, for four ways to pack the function."""
    print(f"cold starts of {FUNCTION}, {given.count} of each, under Lambda's runtime emulator, in ms")
    print(" least   median")
    print("\n".join(compare(given.build / FUNCTION, given.count)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
