"""Commands whose --help is a manual: what they do, examples, exit codes and permissions.

The options that name the stack and the output format may come before or after the command.
"""

import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from followups.operator import DEFAULT, Operator

# Permissions of several commands.
READ = (
    "cloudformation:DescribeStacks the stack",
    "dynamodb:Query CreditCardNotifyTable and its indexes",
    "dynamodb:BatchGetItem CreditCardNotifyTable, CallbackErrorLogTable (without the latter: a line says so)",
)
LETTERS = ("sqs:GetQueueAttributes the queues (without: a line says so)",)
TIMERS = ("scheduler:GetSchedule the schedule group (without: a line says so)",)


_EXITS = {
    0: "done; nothing is missing",
    1: "something is left or missing, or was not found",
    2: "it could not be tried: a wrong option, no such stack, no permission, no network",
    130: "stopped by Ctrl-C; nothing is lost",
}


class _CommonOption(click.Option):
    """An option that every command takes."""

    def __init__(self, *names: str, **attributes: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(names, callback=_keep, expose_value=False, **attributes)


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    # If it is given twice, the one after the command counts: it is read last.
    if value and not context.resilient_parsing:
        context.ensure_object(Operator).given[str(option.name)] = value


def _common_options(variable: str | None) -> list[click.Parameter]:
    stack = f"the deployed stack (default: $FOLLOWUPS_STACK, else {DEFAULT})"
    region = "the AWS region (default: $AWS_DEFAULT_REGION, or the profile's)"
    return [
        _CommonOption("--stack", metavar="NAME", envvar=variable, help=stack),
        _CommonOption("--profile", metavar="NAME", help="the AWS profile (default: $AWS_PROFILE)"),
        _CommonOption("--region", metavar="NAME", help=region),
        _CommonOption("--local", is_flag=True, help="the local stack that `make up` started"),
        _CommonOption("--tz", metavar="ZONE", help="the time zone, e.g. Asia/Bangkok (default on a terminal: yours)"),
        _CommonOption("--json", "as_json", is_flag=True, help="print JSON: a document, or one line per item"),
    ]


class ManualCommand(click.Command):
    """A command whose --help has examples, exit codes and permissions."""

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - click's own
        examples: Sequence[str] = (),
        exits: Mapping[int, str] | None = None,
        permissions: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.context_settings = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
        # Only the outermost command reads the environment, or it would override an option given before the command.
        self.params += _common_options("FOLLOWUPS_STACK" if self.name == "followups" else None)
        self.permissions = dict(part.partition(" ")[::2] for part in permissions)
        codes = {str(code): meaning for code, meaning in ({**_EXITS, **(exits or {})}).items()}
        self._sections = {"Examples": dict.fromkeys(examples, ""), "Exit codes": codes, "Permissions": self.permissions}

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the command's own options, then the common ones."""
        for is_common, title in ((False, "Options"), (True, "Stack and output (before or after the command)")):
            options = [one for one in self.get_params(context) if isinstance(one, _CommonOption) == is_common]
            with formatter.section(title):
                formatter.write_dl([record for one in options if (record := one.get_help_record(context))])

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the examples, the exit codes and the permissions."""
        for title, lines in self._sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(list(lines.items()), col_max=40)


class ManualGroup(ManualCommand, click.Group):
    """Commands under one name. A `lazy` one is imported when it is used: until then it is a name and a short help."""

    command_class = ManualCommand

    def __init__(self, *arguments: Any, lazy: Mapping[str, str] | None = None, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **attributes)
        self.lazy = dict(lazy or {})

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command. A reader that closes the pipe early is no failure, though click takes it for one."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def list_commands(self, context: click.Context) -> list[str]:
        """Name them in the order in which they are declared."""
        return [*self.lazy, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in self.lazy:
            return super().get_command(context, name)
        module = {"list": "listing"}.get(name, name.replace("-", "_"))
        command: click.Command = import_module(f"followups.{module}").command
        return command

    def resolve_command(self, context: click.Context, words: list[str]) -> tuple[Any, Any, list[str]]:
        """Find a command, or suggest the one that was perhaps meant."""
        try:
            return super().resolve_command(context, words)
        except click.UsageError as error:
            close = difflib.get_close_matches(words[0], self.list_commands(context), 1)
            error.message += "".join(f" Did you mean {name}?" for name in close if "mean" not in error.message)
            raise

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands after the options, without importing any."""
        super().format_options(context, formatter)
        own = {name: command.get_short_help_str(90) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl([*self.lazy.items(), *own.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        """Complete names without an import."""
        found = [click.shell_completion.CompletionItem(name, help=text) for name, text in self.lazy.items()]
        return [one for one in found if one.value.startswith(incomplete)] or super().shell_complete(context, incomplete)


def manual(
    name: str,
    permissions: Sequence[str],
    *examples: str,
    group: click.Group | None = None,
    **attributes: Any,  # noqa: ANN401 - ManualCommand's
) -> Callable[[Callable[..., int]], click.Command]:
    """Make a function a command, of a group or to be imported by its name; its docstring is the manual's text."""

    def decorate(function: Callable[..., int]) -> click.Command:
        command = click.command(name, ManualCommand, permissions=permissions, examples=examples, **attributes)(
            click.pass_obj(function)
        )
        if group:
            group.add_command(command)
        return command

    return decorate
