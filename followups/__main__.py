"""The way back for what failed. Exit code 0: all went back, 1: something stays, 2: it could not be tried."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from followups.invocation import printable
from followups.redrive import Outcome, redrive
from followups.replay import replay
from followups.stack import DEFAULT, Stack, StackError

_INTERRUPTED = 130


def main(given: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(given)
    try:
        return int(arguments.command(Stack(arguments.stack), arguments))
    except StackError as error:
        print(error, file=sys.stderr)
    except (ClientError, BotoCoreError) as error:
        print(printable(f"{type(error).__name__}: {error}"), file=sys.stderr)
        print("Check profile, region and permissions (README: When something failed), then try again.", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped. What is not said to have gone back is where it was; the same command goes on.", file=sys.stderr)
        return _INTERRUPTED
    return 2


def redrive_command(stack: Stack, arguments: argparse.Namespace) -> int:
    """Send the dead letters of the failure queues back to their functions."""
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _say(outcome.letter.queue, outcome.letter.kind, _named(outcome.letter.ids), outcome.text)

    redrive(stack, tell, dry_run=arguments.dry_run)
    staying = sum(not outcome.went_back for outcome in outcomes)
    _say(f"Dead letters: {len(outcomes)}, staying: {staying}.", _next_step(staying, dry_run=arguments.dry_run))
    return 1 if staying else 0


def replay_command(stack: Stack, arguments: argparse.Namespace) -> int:
    """Run the missing passes of an order's notifications now."""
    missing = 0
    for order_id in arguments.orders:
        outcomes = 0
        for outcome in replay(stack, order_id):
            _say(_named(outcome.saved.ids), outcome.text)
            missing, outcomes = missing + outcome.missing, outcomes + 1
        if not outcomes:
            _say(_named({"orderId": order_id}), f"no notification was saved in stack {stack.name}.", "Try `redrive`.")
            missing += 1
    return 1 if missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m followups", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("redrive", help=redrive_command.__doc__)
    one.add_argument("--dry-run", action="store_true", help="only say what lies there and where it would go")
    one.set_defaults(command=redrive_command)
    other = commands.add_parser("replay", help=replay_command.__doc__)
    other.add_argument("orders", nargs="+", metavar="ORDER", help="an order id")
    other.set_defaults(command=replay_command)
    for command in (one, other):
        command.add_argument("--stack", default=DEFAULT, help=f"the deployed stack (default: {DEFAULT})")
    return parser


def _next_step(staying: int, *, dry_run: bool) -> str:
    if dry_run:
        return "Nothing was changed; without --dry-run they go back."
    return "Mend what the lines above say, then redrive again." if staying else ""


def _named(ids: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in ids.items())


def _say(*parts: str) -> None:
    # Ids are what others sent: shown on one line, and without what a terminal would obey.
    line = "  ".join(part for part in parts if part)
    print("".join(letter if letter.isprintable() else "?" for letter in line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
