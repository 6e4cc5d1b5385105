"""The commands behind `make run`, `make up`, `make down` and those that run containers."""

import argparse
import signal
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from docker.errors import DockerException
from rich.console import Console
from rich.markup import escape

from local import container_commands, containers, emulator, lifetime, report, stack
from local.emulator import EmulatorError
from local.engine import ARCHITECTURE, EngineMissing
from local.run import SWEEP_EVERY, play
from local.samples import EventError, samples
from local.stack import Options, StackError
from local.stand_in import StandInError

_EXPECTED = (
    EmulatorError,
    EngineMissing,
    EventError,
    StackError,
    StandInError,
    OSError,
    ClientError,
    BotoCoreError,
    DockerException,
)


def main() -> int:
    """Run one command; the exit code says whether everything held."""
    arguments = _parser().parse_args()
    console = Console()
    # Each ends by an exception, so that what was started is stopped. A job in the background ignores SIGINT otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda number, _: sys.exit(128 + number))
    try:
        return int(arguments.command(console, arguments))
    except _EXPECTED as error:
        console.print(f"[red]{type(error).__name__}[/]: {escape(str(error))}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130


def run(console: Console, arguments: argparse.Namespace) -> int:
    """Deploy, send the samples, watch them to the end, and check what must hold."""
    chosen = samples(arguments.event)
    options = _options(arguments)
    with lifetime.running(console, options, SWEEP_EVERY) as deployed:
        lifetime.furnish(deployed, chosen)
        rows = play(console, deployed, chosen, options, arguments.limit)
        report.closing_table(console, rows)
        report.print_bill(console, deployed, rows)
        found = report.checks(deployed, rows, options)
        report.print_checks(console, found)
    if not all(check.holds for check in found):
        console.print(f"What was logged is in {emulator.LOG}", highlight=False, soft_wrap=True)
        return 1
    return 0


def up(console: Console, arguments: argparse.Namespace) -> int:
    """Start the stack and leave it running."""
    if lifetime.kept():
        console.print("the local stack is up already; `make down` stops it")
        return 2
    stack.build()
    started = emulator.start()
    try:
        deployed = stack.deploy(started, _options(arguments))
        lifetime.furnish(deployed, samples())
        containers.write_template(deployed)
    except BaseException:
        started.stop()
        raise
    lifetime.keep(deployed)
    console.print(f"up: process {started.pid}; `make down` ends it\n", highlight=False)
    console.out(f"export AWS_ENDPOINT_URL={started.url} AWS_DEFAULT_REGION={emulator.REGION} \\")
    console.out(f"  AWS_ACCESS_KEY_ID={emulator.ACCOUNT} AWS_SECRET_ACCESS_KEY=local")
    console.out("\nNext: make invoke (in a container), or with the tools on this stack: followups list --local")
    return 0


def down(console: Console, _arguments: argparse.Namespace) -> int:
    """Stop what `up` started."""
    kept = lifetime.kept()
    lifetime.KEPT.unlink(missing_ok=True)
    if kept:
        kept.stop()
    console.print("down" if kept else "nothing was up")
    return 0


COMMANDS = {
    "run": run,
    "up": up,
    "down": down,
    "invoke": container_commands.invoke,
    "debug": container_commands.debug,
    "sam-local": container_commands.check,
    "image": container_commands.build_image,
    "stand-in": container_commands.build_stand_in,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.__doc__)
        one.set_defaults(command=command)
        one.add_argument("--delay", type=int, default=60, help="seconds between the passes")
        one.add_argument("--latency", type=int, default=300, help="how long ProcessPaidOrder takes, in ms")
        one.add_argument("--failures", type=int, default=0, help="how often pass 1 fails first")
        one.add_argument("--outage", type=int, default=0, help="for how many seconds ProcessPaidOrder is away")
        one.add_argument(
            "--limit", type=int, help="how many seconds the run is watched at most, if not as long as it may take"
        )
        one.add_argument("--event", type=Path, help="an event file to send instead of the samples")
        one.add_argument("--function", default="DelayedNotifyFunction", help="the function to run in a container")
        one.add_argument("--address", help="where containers find this machine, if not where the engine says")
        one.add_argument("--base", help="the image that functions run in, if not AWS's or its stand-in")
        one.add_argument("--image", action="store_true", help="the image flavour instead of the zip")
        one.add_argument("--architecture", choices=["arm64", "x86_64"], default=ARCHITECTURE, help="of the image")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    return Options(arguments.delay, arguments.latency, arguments.failures, arguments.outage)


if __name__ == "__main__":
    sys.exit(main())
