"""The commands behind `make run`, `make up` and its companions, and those that run containers."""

import argparse
import json
import re
import signal
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local import emulator, report
from local.emulator import ARCHITECTURE, StackError
from local.run import SWEEP_EVERY, play, send_and_wait
from local.samples import EVENTS, EventError, read_sample, samples
from local.stack import FUNCTIONS, KEPT, Options, end_kept, kept, must_be_kept, running

# The signals that came: they decide the exit code even where Python drops the exception, as in a finaliser.
_signals: list[int] = []
_ERRORS = (EventError, StackError, OSError, ClientError, BotoCoreError)
_NEXT = """
Next:
  make send                 a notification, as Notify sends it: [EVENT=] [COUNT=]
  followups watch --local   what waits and what is done, live; or: list, show, board
  make invoke               a function in a container; make debug: in a debugger
  eval "$(make -s env)"     points this shell and its AWS tools at it
  make down                 ends it"""


def main() -> int:
    """Run one command; the exit code says whether everything held."""
    emulator.leave_account()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # where an encoding lacks our marks
    emulator.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments, console = _parse(), Console(highlight=False, soft_wrap=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a job in the background ignores SIGINT otherwise
        signal.signal(number, _end)
    try:
        code = COMMANDS[arguments.command](console, arguments)
    except _ERRORS as error:
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        Console(stderr=True).print(text, style="red", highlight=False, markup=False, soft_wrap=True)
        code = 2
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        code = 130
    return 128 + _signals[0] if _signals else code


def _end(number: int, _frame: object) -> None:
    # It raises an exception, so that what was started is stopped.
    _signals.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def run(console: Console, arguments: argparse.Namespace) -> int:
    """Deploy, send the samples, watch them to the end, and check what must hold."""
    chosen = samples(arguments.event)
    options = Options(arguments.delay, arguments.latency, arguments.failures, arguments.outage)
    with running(console, options, chosen, sweep_every=SWEEP_EVERY) as deployed:
        rows = play(console, deployed, chosen, options, arguments.limit)
        held = report.show(console, deployed, rows, options)
    if not held:
        console.print(f"What was logged is in {deployed.emulator.log}", soft_wrap=True)
    return int(not held)


def up(console: Console, arguments: argparse.Namespace) -> int:
    """Start the stack and leave it running; a second time there is nothing to do."""
    with emulator.locked(KEPT.with_suffix(".lock")):  # two at once: the second waits
        deployed, since = kept(), "up already, with the options it was started with"
        if deployed is None:
            end_kept()  # one that was never completed
            options = Options(arguments.delay, arguments.latency, arguments.failures)
            with running(console, options, samples(), keep=True) as deployed:
                import_module("local.containers").write_template(deployed)
            since = "up"
        KEPT.write_text(json.dumps({"emulator": asdict(deployed.emulator), "session": deployed.reach}))
    console.print(f"{since}: process {deployed.emulator.pid}, log {deployed.emulator.log}", soft_wrap=True)
    console.out(_NEXT, highlight=False)
    return 0


def down(console: Console, _arguments: argparse.Namespace) -> int:
    """Stop what `up` started."""
    with emulator.locked(KEPT.with_suffix(".lock")):  # two at once: the second waits
        console.print("down" if end_kept() else "nothing was up")
    return 0


def env(_console: Console, _arguments: argparse.Namespace) -> int:
    """Print the variables that point a shell, and any AWS tool in it, at the local stack."""
    for name, value in must_be_kept().environment.items():
        print(f"export {name}={value}")
    print('export NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}" no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"')
    print("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_REGION AWS_SESSION_TOKEN")
    return 0


def send(console: Console, arguments: argparse.Namespace) -> int:
    """Send notifications to what `up` started, as Notify does."""
    sample = read_sample(arguments.event or EVENTS / "authorized.json")
    return send_and_wait(console, must_be_kept(), sample, arguments.count)


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 99999")
    return int(text)


def _in_container(console: Console, arguments: argparse.Namespace) -> int:
    # Imported only here: the SAM CLI and the engine's client take as long as everything else together.
    containers: Any = import_module("local.containers")
    try:
        return int(getattr(containers, arguments.command)(console, arguments))
    except containers.engine.DockerException as error:
        raise StackError(f"the container engine failed: {error}") from error


COMMANDS = {one.__name__: one for one in (run, up, down, env, send)}
COMMANDS |= dict.fromkeys(("invoke", "debug", "image"), _in_container)
_OPTIONS: dict[str, dict[str, Any]] = {
    "delay": {"type": _number, "default": 60, "help": "seconds between the passes"},
    "latency": {"type": _number, "default": 300, "help": "how long ProcessPaidOrder takes, in ms"},
    "failures": {"type": _number, "default": 0, "help": "how often pass 1 fails first"},
    "outage": {"type": _number, "default": 0, "help": "for how many seconds ProcessPaidOrder is down"},
    "limit": {"type": _number, "help": "how many seconds to watch a run at most, if not as long as it may take"},
    "count": {"type": _number, "default": 1, "help": "how many notifications to send"},
    "event": {"type": Path, "help": "an event file to send instead of the samples"},
    "function": {"choices": FUNCTIONS, "default": FUNCTIONS[0], "help": "the one to run"},
    "address": {"help": "where containers find this machine, if not where the engine says"},
    "base": {"help": "the image that functions run in, if not AWS's or its stand-in"},
    "image": {"action": "store_true", "help": "the image flavour instead of the zip"},
    "architecture": {"choices": ["arm64", "x86_64"], "default": ARCHITECTURE, "help": "of the image"},
}


def _parse() -> argparse.Namespace:
    # Without a usage, which is make's: an error is one line.
    parser = argparse.ArgumentParser("python -m local", usage=argparse.SUPPRESS, description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    for option, about in _OPTIONS.items():
        parser.add_argument(f"--{option}", **about)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
