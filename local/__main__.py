"""The commands behind `make run`, `make up` and its companions, and those that run containers."""

import argparse
import codecs
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from botocore.exceptions import BotoCoreError, ClientError
from docker.errors import DockerException
from rich.console import Console

from local import container_commands, containers, emulator, report, run, session
from local.emulator import EmulatorError
from local.engine import ARCHITECTURE, EngineMissing
from local.samples import EVENTS, EventError, read_sample, samples
from local.stack import Options, StackError
from local.stand_in import StandInError

_ERRORS = (EmulatorError, EngineMissing, EventError, StackError, StandInError, OSError)
_AWS_ERRORS = (ClientError, BotoCoreError, DockerException)
_NEXT = """
Next:
  make send                 a notification, as Notify sends it: [EVENT=] [COUNT=]
  followups watch --local   what waits and what is done, live; or: list, show, board
  make invoke               a function in a container; make debug: in a debugger
  eval "$(make -s env)"     leads this shell, and any AWS tool in it, here
  make down                 ends it"""


def main() -> int:
    """Run one command; the exit code says whether everything held."""
    _leave_the_shell_s_account()
    codecs.register_error("in-plain", _in_plain)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="in-plain")  # type: ignore[union-attr]  # whatever their encoding
    emulator.make_private(emulator.STATE)
    arguments, console = _parser().parse_args(), Console(highlight=False, soft_wrap=False)
    # Each ends by an exception, so that what was started is stopped. A job in the background ignores SIGINT otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda number, _: sys.exit(128 + number))
    try:
        return int(arguments.command(console, arguments))
    except (*_ERRORS, *_AWS_ERRORS) as error:
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        Console(stderr=True).print(text, style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    # Where an encoding has no mark, what holds must not look like what does not.
    start = cast("UnicodeEncodeError", error).start
    mark = cast("UnicodeEncodeError", error).object[start]
    return {"✓": "+", "✗": "X", "·": "."}.get(mark, "?"), start + 1


def _leave_the_shell_s_account() -> None:
    # Nothing that is started here finds a way to a real account, nor a proxy on the way to this machine itself.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0"}
    past_the_proxy = ",".join(filter(None, (emulator.HOST, os.environ.get("no_proxy", os.environ.get("NO_PROXY")))))
    os.environ |= dict.fromkeys(("no_proxy", "NO_PROXY"), past_the_proxy)


def run_samples(console: Console, arguments: argparse.Namespace) -> int:
    """Deploy, send the samples, watch them to the end, and check what must hold."""
    chosen, options = samples(arguments.event), _options(arguments)
    with session.running(console, options, run.SWEEP_EVERY) as deployed:
        session.furnish(deployed, chosen)
        rows = run.play(console, deployed, chosen, options, arguments.limit)
        report.print_passes(console, rows)
        report.print_compute(console, deployed, rows)
        found = report.checks(deployed, rows, options)
        report.print_checks(console, found)
    if all(check.holds for check in found):
        return 0
    console.print(f"What was logged is in {deployed.emulator.log}", soft_wrap=True)
    return 1


def up(console: Console, arguments: argparse.Namespace) -> int:
    """Start the stack and leave it running; a second time there is nothing to do."""
    with session.alone():
        deployed, since = session.kept(), "up already, with the options it was started with"
        if deployed is None:
            session.end_kept()  # one that was never completed
            with session.running(console, _options(arguments), keep=True) as deployed:
                session.furnish(deployed, samples())
                containers.write_template(deployed)
            since = "up"
        session.note(deployed)
    console.print(f"{since}: process {deployed.emulator.pid}, log {deployed.emulator.log}", soft_wrap=True)
    console.out(_NEXT, highlight=False)
    return 0


def down(console: Console, _arguments: argparse.Namespace) -> int:
    """Stop what `up` started."""
    with session.alone():
        console.print("down" if session.end_kept() else "nothing was up")
    return 0


def env(_console: Console, _arguments: argparse.Namespace) -> int:
    """Print what leads a shell, and any AWS tool in it, to the local stack."""
    reach = session.must_be_kept().reach
    print(f"export AWS_ENDPOINT_URL={reach['endpoint_url']} AWS_DEFAULT_REGION={reach['region_name']} \\")
    print(f"  AWS_ACCESS_KEY_ID={reach['aws_access_key_id']} AWS_SECRET_ACCESS_KEY={reach['aws_secret_access_key']} \\")
    print('  NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}" no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"')
    print("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_REGION AWS_SESSION_TOKEN")
    return 0


def send(console: Console, arguments: argparse.Namespace) -> int:
    """Send notifications to what `up` started, as Notify does."""
    sample = read_sample(arguments.event or EVENTS / "authorized.json")
    return run.send_and_wait(console, session.must_be_kept(), sample, arguments.count)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")  # in one line: its usage is make's


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 99999")
    return int(text)


COMMANDS = {
    "run": run_samples,
    **{command.__name__: command for command in (up, down, env, send)},
    **{command.__name__: command for command in (container_commands.invoke, container_commands.debug)},
    "image": container_commands.build_image,
    "stand-in": container_commands.build_stand_in,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "delay": {"type": _number, "default": 60, "help": "seconds between the passes"},
    "latency": {"type": _number, "default": 300, "help": "how long ProcessPaidOrder takes, in ms"},
    "failures": {"type": _number, "default": 0, "help": "how often pass 1 fails first"},
    "outage": {"type": _number, "default": 0, "help": "for how many seconds ProcessPaidOrder is away"},
    "limit": {"type": _number, "help": "how many seconds a run is watched at most, if not as long as it may take"},
    "count": {"type": _number, "default": 1, "help": "how many notifications to send"},
    "event": {"type": Path, "help": "an event file to send instead of the samples"},
    "function": {"choices": containers.FUNCTIONS, "default": containers.FUNCTIONS[0], "help": "the one to be run"},
    "address": {"help": "where containers find this machine, if not where the engine says"},
    "base": {"help": "the image that functions run in, if not AWS's or its stand-in"},
    "image": {"action": "store_true", "help": "the image flavour instead of the zip"},
    "architecture": {"choices": ["arm64", "x86_64"], "default": ARCHITECTURE, "help": "of the image"},
}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.__doc__)
        one.set_defaults(command=command)
        for option, about in _OPTIONS.items():
            one.add_argument(f"--{option}", **about)
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    return Options(arguments.delay, arguments.latency, arguments.failures, arguments.outage)


if __name__ == "__main__":
    sys.exit(main())
