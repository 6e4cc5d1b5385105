"""Commands whose --help is their manual: what they do, examples, exit codes, permissions.

The options that say where the stack is and how to print may come before or after the command.
"""

import difflib
import os
import sys
from collections.abc import Mapping, Sequence
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
_WHERE = "Where, and how to print (before or after the command)"


class CommonOption(click.Option):
    """An option that every command takes."""


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    # Given twice, the one nearer to the command counts: it is read last.
    if value and not context.resilient_parsing:
        context.ensure_object(Operator).given[str(option.name)] = value


def _common(*names: str, **attributes: Any) -> CommonOption:  # noqa: ANN401 - click's own keywords
    return CommonOption(names, callback=_keep, expose_value=False, **attributes)


def common_options(*, with_environment: bool) -> list[click.Parameter]:
    """Return the options; only the outermost command looks at the environment, which would override it else."""
    variable = "FOLLOWUPS_STACK" if with_environment else None
    stack = f"the deployed stack (default: $FOLLOWUPS_STACK, else {DEFAULT})"
    return [
        _common("--stack", metavar="NAME", envvar=variable, help=stack),
        _common("--profile", metavar="NAME", help="the AWS profile (default: $AWS_PROFILE)"),
        _common("--region", metavar="NAME", help="the AWS region (default: $AWS_DEFAULT_REGION, or the profile's)"),
        _common("--local", is_flag=True, help="the local stack that `make up` started"),
        _common("--tz", metavar="ZONE", help="the zone of times, such as Asia/Bangkok (default on a terminal: yours)"),
        _common("--json", "as_json", is_flag=True, help="print JSON: a document, or a line for each thing listed"),
    ]


class _Manual(click.Command):
    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - click's own
        examples: Mapping[str, str] | None = None,
        exits: Mapping[int, str] | None = None,
        permissions: Sequence[str] = (),
        **attributes: Any,  # noqa: ANN401 - click's own
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.context_settings = {"help_option_names": ["--help", "-h"], "max_content_width": 100}
        self.params += common_options(with_environment=attributes.get("name") == "followups")
        self.permissions = dict(part.partition(" ")[::2] for part in permissions)
        exits = {2: "it could not be tried", 130: "stopped"} | dict(exits or {})
        codes = {str(code): meaning for code, meaning in sorted(exits.items())}
        self._sections = {"Examples": dict(examples or {}), "Exit codes": codes, "Permissions": self.permissions}

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        own = [p.get_help_record(context) for p in self.get_params(context) if not isinstance(p, CommonOption)]
        common = [p.get_help_record(context) for p in self.params if isinstance(p, CommonOption)]
        for title, records in (("Options", own), (_WHERE, common)):
            with formatter.section(title):
                formatter.write_dl([record for record in records if record])

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, lines in self._sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(list(lines.items()), col_max=40)
        super().format_epilog(context, formatter)


class ManualCommand(_Manual):
    """One command."""


class ManualGroup(_Manual, click.Group):
    """Commands under one name. Those that are `lazy` are imported when they are asked for: a name and a short help."""

    command_class = ManualCommand

    def __init__(self, *arguments: Any, lazy: Mapping[str, str] | None = None, **attributes: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **attributes)
        self.lazy = dict(lazy or {})

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command; the reader of a pipe may have read enough, which click takes for a failure."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    def list_commands(self, context: click.Context) -> list[str]:
        """Name them in the order in which they are declared."""
        return [*self.lazy, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one."""
        if name in self.lazy:
            module = {"list": "listing"}.get(name, name.replace("-", "_"))
            command: click.Command = import_module(f"followups.{module}").command
            return command
        return super().get_command(context, name)

    def resolve_command(self, context: click.Context, words: list[str]) -> tuple[Any, Any, list[str]]:
        """Find a command, or say which one was perhaps meant."""
        try:
            return super().resolve_command(context, words)
        except click.UsageError as error:
            close = difflib.get_close_matches(words[0], self.list_commands(context), 1)
            error.message += "".join(f" Did you mean {name}?" for name in close if "mean" not in error.message)
            raise

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the commands after the options."""
        super().format_options(context, formatter)
        with formatter.section("Commands"):
            own = {name: command.get_short_help_str(90) for name, command in self.commands.items()}
            formatter.write_dl([*self.lazy.items(), *own.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        """Complete names without an import."""
        found = [click.shell_completion.CompletionItem(name, help=said) for name, said in self.lazy.items()]
        return [one for one in found if one.value.startswith(incomplete)] or super().shell_complete(context, incomplete)
