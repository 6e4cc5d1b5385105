"""The operators' command line: where is this order, what failed, and the way back."""

import sys
from collections.abc import Sequence

import click
from botocore.exceptions import BotoCoreError, ClientError

from followups.commands.board import board
from followups.commands.dead_letters import dead_letters
from followups.commands.forget import forget
from followups.commands.listing import list_command
from followups.commands.preflight import preflight_command
from followups.commands.replay import replay
from followups.commands.show import show
from followups.commands.verify import verify
from followups.commands.watch import watch_command
from followups.invocation import printable
from followups.manual import ManualGroup
from followups.operator import Operator
from followups.stack import StackError

NAME = "followups"
_INTERRUPTED, _NOT_TRIED = 130, 2
_HELP = """Answer "this customer paid, where is the order?", and bring back what failed.

Each command acts on one deployed stack, in the account and region that the environment or the options name. None prints
card data, keys or payloads. On a terminal there are tables and colours (not with NO_COLOR); into a pipe goes one line
for each thing, and with --json what programs read, with the names that the record has. COMMAND --help is its manual."""


@click.group(
    NAME,
    cls=ManualGroup,
    help=_HELP,
    examples={
        "followups show ORDER-1001": "where is this order?",
        "followups list": "what is overdue or failed",
        "followups replay ORDER-1001": "run what is missing of it",
        "followups dead-letters list": "what could not be saved",
        "followups --local show ORDER-1001": "on the local stack that `make up` keeps",
        'eval "$(_FOLLOWUPS_COMPLETE=bash_source followups)"': "completion for this bash (or zsh_source; fish_source)",
    },
    exits={
        0: "done; nothing is missing",
        1: "something stays, is missing, or was not found",
        2: "it could not be tried: a wrong option, no such stack, no permission, no network",
        130: "stopped by Ctrl-C; nothing is lost",
    },
)
def cli() -> None:
    """Hold the commands."""


for command in (show, list_command, watch_command, board, replay, dead_letters, forget, verify, preflight_command):
    cli.add_command(command)


def main(given: Sequence[str] | None = None, operator: Operator | None = None) -> int:
    """Run one command and return its exit code."""
    operator = operator or Operator()
    try:
        return int(cli.main(given, prog_name=NAME, standalone_mode=False, obj=operator) or 0)
    except click.ClickException as error:
        error.show()
    except click.Abort:
        print(operator.when_stopped, file=sys.stderr)
        return _INTERRUPTED
    except StackError as error:
        print(error, file=sys.stderr)
    except (ClientError, BotoCoreError) as error:
        print(printable(f"{type(error).__name__}: {error}"), file=sys.stderr)
        print(
            "Check profile, region and permissions (the command's --help names them), then try again.", file=sys.stderr
        )
    return _NOT_TRIED
