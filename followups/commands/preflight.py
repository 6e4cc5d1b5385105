"""`followups preflight`: would a deployment work in that account?"""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import click

from followups.manual import ManualCommand
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.preflight.checks import preflight
from followups.preflight.finding import Finding
from followups.preflight.parameters import ConfigError, Environment, assigned, read_environment
from followups.preflight.permissions import PERMISSIONS
from followups.preflight.target import Target
from followups.preflight.template import TemplateError

_STYLES = {"ok": "ok", "warn": "warn", "stop": "bad"}
_COLUMNS = (Column("", 4), Column("what", ratio=2), Column("found, and what to do", ratio=3))
_HELP = """Check, before `sam deploy`, that the account has what the deployment needs, and that no name is taken.

The parameters are those that `sam deploy` would give: samconfig.toml's for the environment, else what the stack was
deployed with, else the template's defaults. The first line says which account and region this is. Nothing is changed:
every call only reads. The secret's shape is looked at, and nothing of it is printed.

The stack is the environment's stack_name, unless --stack names another.

ok: as it should be. warn: it works, or could not be looked at, and somebody should know. stop: the deployment would
fail, or what is deployed would not keep its promise. A denied call is a line of its own, with the permission."""


@click.command(
    "preflight",
    cls=ManualCommand,
    help=_HELP,
    short_help="Would a deployment work in this account?",
    examples={
        "followups preflight": "development's environment",
        "followups preflight --config-env prod": "production's",
        "followups preflight --config-env prod --parameter ExistingOrderTable=orders": "with a parameter to try",
        "followups preflight --config-env prod --json": "for programs: a line for each finding",
    },
    exits={0: "nothing stops", 1: "something stops", 2: "it could not be tried", 130: "stopped"},
    permissions=PERMISSIONS,
)
@click.option(
    "--config-env", default="default", metavar="NAME", help="the environment of samconfig.toml (default: default)"
)
@click.option(
    "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="instead of samconfig.toml's value"
)
@click.option(
    "--config-file", type=click.Path(path_type=Path), default="samconfig.toml", help="default: samconfig.toml"
)
@click.option("--template", type=click.Path(path_type=Path), default="template.yaml", help="default: template.yaml")
@click.pass_obj
def preflight_command(
    operator: Operator, config_env: str, parameters: tuple[str, ...], config_file: Path, template: Path
) -> int:
    """Print each finding as it is made."""
    counts: Counter[str] = Counter()
    try:
        environment, overrides = _environment(operator, config_file, config_env), assigned(parameters)
        with Sheet(operator.output, *_COLUMNS) as sheet:
            for finding in preflight(_target(operator, environment), environment, template, overrides):
                counts.update([finding.level, *(["unread"] if finding.permission else [])])
                sheet.add(_cells(finding), _line(finding), asdict(finding))
    except (ConfigError, TemplateError) as error:
        raise click.ClickException(str(error)) from error
    _conclude(operator, counts)
    return 1 if counts["stop"] else 0


def _environment(operator: Operator, file: Path, name: str) -> Environment:
    environment = read_environment(file, name)
    stack = operator.given.get("stack") or environment.stack
    if not stack:
        raise ConfigError(f"{file} gives {name} no stack_name: name the stack (--stack)")
    return replace(environment, stack=stack)


def _target(operator: Operator, environment: Environment) -> Target:
    account = operator.stack.account
    # Like `sam deploy`: what samconfig.toml says of profile and region wins over the environment, an option over both.
    session: Any = dict(account.session) if account.endpoint_url else {**environment.session, **account.session}
    return Target(boto3.Session(**session), account.endpoint_url)


def _conclude(operator: Operator, counts: Counter[str]) -> None:
    stops = f"{counts['stop']} stop" if counts["stop"] else "Nothing stops"
    text = f"{stops}, {counts['warn']} to know, {counts['ok']} as they should be."
    unread = f"Not readable: {counts['unread']}; what lies behind them is not known." if counts["unread"] else ""
    operator.output.note(text, unread)


def _cells(finding: Finding) -> tuple[Cell, ...]:
    text = f"{finding.text}\n→ {finding.todo}" if finding.todo else finding.text
    return ((finding.level, STYLES[_STYLES[finding.level]]), finding.subject, text)


def _line(finding: Finding) -> tuple[str, ...]:
    return (finding.level, finding.subject, finding.text, f"-> {finding.todo}" if finding.todo else "")
