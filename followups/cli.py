"""The operators' command line, and what every command gets: a manual as its --help, options, the stack and a clock."""

import difflib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from callback.clock import Clock, utc_now

if TYPE_CHECKING:
    from followups.output import Output
    from followups.stack import Stack

NAME = "followups"
_INTERRUPTED, _NOT_TRIED = 130, 2
DEFAULT = "payment3-follow-up-dev"
# Permissions of several commands; docs/operations.md has the policy.
READ = ("cloudformation:DescribeStacks", "dynamodb:Query", "dynamodb:BatchGetItem")
LETTERS, TIMERS = ("sqs:GetQueueAttributes",), ("scheduler:GetSchedule",)
_EXITS = {
    "0": "done; nothing is missing",
    "1": "something is left, missing or wrong, or was not found",
    "2": "it could not be tried: a wrong option, no such stack, no permission, no network",
    "130": "stopped by Ctrl-C; nothing is lost",
}


@dataclass
class Operator:
    """The person at a command; tests replace the clock. `given` holds the shared options that are set, by name."""

    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    given: dict[str, Any] = field(default_factory=dict)
    when_stopped: str = "Stopped; nothing was changed."

    @cached_property
    def output(self) -> "Output":
        """Where to print."""
        from followups.output import Output

        return Output(as_json=bool(self.given.get("json")))

    @cached_property
    def zone(self) -> tzinfo:
        """The zone of times that a person types and reads: --tz, else the machine's on a terminal, else UTC."""
        if name := self.given.get("tz"):
            try:
                return ZoneInfo(name)
            except (KeyError, ValueError, OSError) as error:
                raise click.UsageError(f"--tz {name}: no such zone; name one such as Asia/Bangkok") from error
        return (self.clock().astimezone().tzinfo or UTC) if self.output.is_table else UTC

    @cached_property
    def stack(self) -> "Stack":
        """The stack that was named. Raises `StackError` if it is the local one, and that is not up."""
        from followups.stack import Stack, local_session

        named = {name: self.given[name] for name in ("profile", "region") if name in self.given}
        if named and self.given.get("local"):
            raise click.UsageError("--local has an account and a region of its own: leave out --profile and --region")
        session = {f"{name}_name": value for name, value in named.items()}
        where = local_session() if self.given.get("local") else session
        return Stack(self.given.get("stack") or os.environ.get("FOLLOWUPS_STACK") or DEFAULT, where)


def keep(context: click.Context, option: click.Parameter, value: object) -> None:
    """Keep the value of a shared option in `Operator.given`."""
    # If it is given twice, the one after the command counts: it is read last.
    if value and not context.resilient_parsing:
        context.ensure_object(Operator).given[str(option.name)] = value


def shared(*, is_eager: bool = False, **options: dict[str, Any]) -> dict[str, click.Parameter]:
    """Make options that several commands have; their values are kept in `Operator.given`."""
    how: Any = {"callback": keep, "expose_value": False, "is_eager": is_eager}
    return {name: click.Option([f"--{name.replace('_', '-')}"], **how, **about) for name, about in options.items()}


# Each may come before or after the command's name, and is read before the others: a time needs its zone.
_COMMON = shared(
    is_eager=True,
    stack={"metavar": "NAME", "help": f"the deployed stack (default: $FOLLOWUPS_STACK, else {DEFAULT})"},
    profile={"metavar": "NAME", "help": "the AWS profile (default: $AWS_PROFILE)"},
    region={"metavar": "NAME", "help": "the AWS region (default: $AWS_DEFAULT_REGION, or the profile's)"},
    local={"is_flag": True, "help": "the local stack that `make up` started"},
    tz={"metavar": "ZONE", "help": "the time zone, e.g. Asia/Bangkok (default on a terminal: yours)"},
    json={"is_flag": True, "help": "print JSON: a document, or one line per item"},
)


class ManualCommand(click.Command):
    """A command whose --help has examples, exit codes and permissions, and that takes the common options."""

    def __init__(self, *given: Any, examples: Sequence[str] = (), permissions: Sequence[str] = (), **how: Any) -> None:
        super().__init__(*given, **how)
        self.params = sorted([*self.params, *_COMMON.values()], key=lambda one: not one.expose_value)  # its own first
        self.examples, self.permissions = examples, permissions

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the examples, the exit codes and the permissions."""
        examples, permissions = dict.fromkeys(self.examples, ""), dict.fromkeys(self.permissions, "")
        for title, lines in {"Examples": examples, "Exit codes": _EXITS, "Permissions": permissions}.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(list(lines.items()))


class ManualGroup(ManualCommand, click.Group):
    """Commands under one name."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command. A reader that closes the pipe early is no failure, though click treats it as one."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        """Name them in the order in which they are declared."""
        return list(self.commands)

    def resolve_command(self, context: click.Context, words: list[str]) -> tuple[Any, Any, list[str]]:
        """Import a command."""
        name, command, rest = super().resolve_command(context, words)
        if name and not isinstance(command, ManualCommand):
            attribute = name.replace("-", "_")
            module = {"list": "listing", "resolve": "replay", "forget": "replay"}.get(name, attribute)
            command = getattr(import_module(f"followups.{module}"), f"{attribute}_command")
        return name, command, rest


def manual(
    name: str, permissions: Sequence[str], *examples: str, options: Any = (), group: Any = click
) -> Callable[[Callable[..., int]], click.Command]:
    """Make a function a command, in a group or to be imported by its name; its docstring is the manual's text."""
    make = group.command(name, cls=ManualCommand, permissions=permissions, examples=examples, params=[*options])
    return lambda function: make(click.pass_obj(function))


@click.group(
    NAME,
    cls=ManualGroup,
    # Each is a name and a short help until it is used: then it is imported.
    commands=[
        click.Command("show", short_help="What became of an order, a charge or a notification."),
        click.Command("list", short_help="What is overdue, failed or pending."),
        click.Command("watch", short_help="What waits, is late or failed, live."),
        click.Command("board", short_help="The same as a web page on 127.0.0.1."),
        click.Command("replay", short_help="Run the missing passes of orders, or of what failed."),
        click.Command("resolve", short_help="Close what was settled by hand."),
        click.Command("dead-letters", short_help="What could not be saved: list it, redrive it, or discard it."),
        click.Command("forget", short_help="Erase a customer's data, keep what accounting needs."),
        click.Command("verify", short_help="Does the checksum of a notification hold?"),
        click.Command("preflight", short_help="Would a deployment work in this account?"),
    ],
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
    before or after the command. None prints card data or keys. A terminal gets tables and colours (unless NO_COLOR is
    set), a pipe gets one line per item, and --json prints JSON for programs, with the record's own names.
    COMMAND --help prints the manual of a command.
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
    if not isinstance(error, click.ClickException):
        from followups.stack import explain

        if (known := explain(error)) is None:
            raise error
        error = click.ClickException("\n".join(known).strip())
    error.message += _suggestion(error)
    what, _, todo = error.format_message().partition("\n")
    if as_json:
        print(json.dumps({"version": 1, "error": what, "todo": todo}), file=sys.stderr)
    else:
        error.show()


def _suggestion(error: click.ClickException) -> str:
    """Return the command or the value of an option that was perhaps meant."""
    known = getattr(getattr(getattr(error, "param", None), "type", None), "choices", ())
    if (context := getattr(error, "ctx", None)) and isinstance(context.command, click.Group):
        known = [*known, *context.command.commands]
    word = re.search(r"'(.+?)'", error.message)
    close = difflib.get_close_matches(word[1], known, 1) if word else []
    return "".join(f" Did you mean {name}?" for name in close)
