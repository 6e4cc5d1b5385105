"""The commands behind `make build` and `make starts`."""

import argparse
import sys
import time
from pathlib import Path

from artefact.size import measured
from artefact.starts import table
from local.emulator import ROOT

BUILD = ROOT / ".aws-sam" / "build"
FUNCTION = "DelayedNotifyFunction"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code says whether everything held."""
    given = _parser().parse_args(arguments)
    return int(given.command(given))


def size(given: argparse.Namespace) -> int:
    """Print how large each built function is; exit code 1 for one above the ceiling."""
    sizes = [measured(folder) for folder in sorted(given.build.iterdir()) if folder.is_dir()]
    for each in sizes:
        print(each)
    if given.began:
        print(f"built in {time.time() - given.began:.0f} s")
    return int(not sizes or not all(each.fits for each in sizes))


def starts(given: argparse.Namespace) -> int:
    """Print how long cold starts take under the runtime emulator, packed in four ways."""
    print(f"cold starts of {FUNCTION}, {given.count} of each, under Lambda's runtime emulator, in ms")
    print(" least   median")
    print("\n".join(table(given.build / FUNCTION, given.count)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m artefact", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command in (("size", size), ("starts", starts)):
        one = commands.add_parser(name, help=command.__doc__)
        one.set_defaults(command=command)
        one.add_argument("--build", type=Path, default=BUILD, help="where the built functions are")
        one.add_argument("--began", type=int, help="when the build began, in seconds since 1970")
        one.add_argument("--count", type=int, default=7, help="how often each variant is started")
    return parser


if __name__ == "__main__":
    sys.exit(main())
