"""The operators' command line."""

import difflib
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from followups.command import ManualGroup, Operator

NAME = "followups"
_INTERRUPTED, _NOT_TRIED = 130, 2


@click.group(
    NAME,
    cls=ManualGroup,
    lazy={
        "show": "What became of an order, a charge or a notification.",
        "list": "What is overdue, failed or pending.",
        "watch": "What waits, is late or failed, live.",
        "board": "The same as a web page on 127.0.0.1.",
        "replay": "Run the missing passes of orders, or of what failed.",
        "resolve": "Close what was settled by hand.",
        "dead-letters": "What could not be saved: list it, redrive it, or discard it.",
        "forget": "Erase a customer's data, keep what accounting needs.",
        "verify": "Does the checksum of a notification hold?",
        "preflight": "Would a deployment work in this account?",
    },
    examples=(
        "followups show ORDER-1001",
        "followups replay ORDER-1001",
        "followups --local show ORDER-1001",
        'eval "$(_FOLLOWUPS_COMPLETE=bash_source followups)"',
    ),
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.version_option(package_name="delayednotify", prog_name=NAME, message="%(prog)s %(version)s")
def cli() -> None:
    """Answer "this customer paid, where is the order?", and repair what failed.

    Each command acts on one deployed stack, in the account and region of the environment or the options, which may come
    before or after the command. None prints card data or keys. A terminal gets tables and colours (not with
    NO_COLOR), a pipe one line per item, and --json prints what programs read, by the record's own names. COMMAND --help
    is the manual of a command.
    """


def main(given: Sequence[str] | None = None, operator: Operator | None = None) -> int:
    """Run one command and return its exit code."""
    operator = operator or Operator()
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:  # a letter that a terminal cannot show is replaced
        stream.reconfigure(errors="replace")
    try:
        return int(cli.main(given, prog_name=NAME, standalone_mode=False, obj=operator) or 0)
    except click.Abort:
        print(operator.when_stopped, file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - an unknown one is raised again
        _print_error(error, as_json="--json" in (sys.argv if given is None else given))
        return _NOT_TRIED


def _print_error(error: Exception, *, as_json: bool) -> None:
    if isinstance(error, click.ClickException):
        error.message += _suggestion(error)
        what, todo = error.format_message(), ""
    else:
        from followups.stack import explain  # noqa: PLC0415 - boto3, which --help does not need

        if (known := explain(error)) is None:
            raise error
        what, todo = known
    if as_json:
        print(json.dumps({"version": 1, "error": what, "todo": todo}), file=sys.stderr)
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        print(f"{what}\n{todo}".strip(), file=sys.stderr)


def _suggestion(error: click.ClickException) -> str:
    """Return the command or the value of an option that was perhaps meant."""
    known = getattr(getattr(getattr(error, "param", None), "type", None), "choices", ())
    if (context := getattr(error, "ctx", None)) and isinstance(context.command, click.Group):
        known = [*known, *context.command.commands]
    word = re.search(r"'(.+?)'", error.message)
    close = difflib.get_close_matches(word[1], known, 1) if word else []
    return "".join(f" Did you mean {name}?" for name in close)
