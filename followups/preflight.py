"""`followups preflight`: what CloudFormation cannot see, and a deployment would fail of later. Nothing is changed."""

import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from callback.checksum import merchant_keys
from followups.manual import ManualCommand
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.stack import Stack
from followups.text import printable

T = TypeVar("T")
Found = Mapping[str, Any]
# The key of each table, its indexes, and whether what we write there has to expire.
TABLES: dict[str, tuple[str, dict[str, str], bool]] = {
    "CreditCardNotifyTable": (
        "chargeId (S) + notificationId (S)",
        {"due": "sweepShard (N) + sweepAt (S)", "order": "orderId (S)", "failed": "failedShard (N) + failedAt (S)"},
        True,
    ),
    "CardPaymentRecordTable": ("chargeId (S)", {}, False),
    "OrderTable": ("orderId (S)", {}, False),
    "CallbackErrorLogTable": ("errorId (S)", {}, True),
}
PERMISSIONS = (
    "sts:GetCallerIdentity",
    "cloudformation:DescribeStacks",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "kms:DescribeKey",
    "lambda:GetFunctionConfiguration",
    "secretsmanager:GetSecretValue",
    "ses:GetAccount",
    "ses:GetEmailIdentity",
)
_SHAPE = '{"secretKey": "...", "previousSecretKey": "..."}'
_INDEXES = "docs/adopting.md, Add the indexes"
_ASSIGNED = re.compile(r"(?:ParameterKey=([A-Za-z0-9]+),ParameterValue=(.*)|([A-Za-z0-9]+)=(.*))", re.DOTALL)
_ABSENT = {"ResourceNotFoundException", "NotFoundException"}
_STYLES = {"ok": "ok", "warn": "warn", "stop": "bad"}
_COLUMNS = (Column("", 4), Column("what", ratio=2), Column("found, and what to do", ratio=3))
_HELP = """Check, before `sam deploy`, what CloudFormation cannot see: the tables that are there already,
ProcessPaidOrder, the secret's shape, SES. Nothing is changed: every call only reads, and nothing of the secret is
printed.

The parameters are those that `sam deploy` would give: samconfig.toml's for the environment, else what the stack was
deployed with, else the template's defaults. The stack is the environment's stack_name, unless --stack names another.

ok: as it should be. warn: it works, or could not be looked at, and somebody should know. stop: what is deployed would
not keep its promise. Each denied call has its own line, with the permission."""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it ("" where nothing is to be done)."""

    level: Literal["ok", "warn", "stop"]
    subject: str
    text: str
    todo: str = ""


class Unread(Exception):
    """AWS did not answer a question."""


@dataclass(frozen=True)
class Environment:
    """One environment of samconfig.toml: its stack, the parameters that it gives, its profile and region."""

    stack: str
    given: Mapping[str, str]
    session: Mapping[str, str]


@dataclass(frozen=True)
class Preflight:
    """An account, and the parameters that a deployment to it would have."""

    client: Callable[[str], Any]
    parameters: Mapping[str, str]

    def findings(self) -> Iterator[Finding]:
        """Look at one thing after the other; a question without an answer ends its own part alone."""
        parts: dict[str, Iterator[Finding]] = {
            name: self._table(logical, name) for logical in TABLES if (name := self.parameters[f"Existing{logical}"])
        }
        for name, check in (parts | {"": self._process_paid_order(), " ": self._secret(), "  ": self._mail()}).items():
            try:
                yield from check
            except Unread as error:
                yield Finding("warn", name.strip() or "account", str(error), "allow it, or look by hand")

    def _table(self, logical: str, name: str) -> Iterator[Finding]:
        key, indexes, expires = TABLES[logical]
        subject, client = f"{logical} {name}", self.client("dynamodb")
        answer = ask("dynamodb:DescribeTable", client.describe_table, TableName=name)
        if answer is None:
            yield Finding("stop", subject, "there is no such table", f"correct Existing{logical}, or leave it empty")
            return
        table = answer["Table"]
        if table["TableStatus"] != "ACTIVE":
            yield Finding("warn", subject, f"{table['TableStatus']}, not ACTIVE", "wait until it is ACTIVE")
        found, todo = key_text(table, table), "a key cannot be changed: name another table, or none, and one is made"
        yield (
            Finding("ok", subject, f"its key is {found}")
            if found == key
            else Finding("stop", subject, f"its key is {found}; expected {key}", todo)
        )
        there = {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}
        yield from (_index(subject, index, on, there.get(index), table) for index, on in indexes.items())
        yield from self._expiry(subject, name) if expires else ()
        yield from self._key(subject, table.get("SSEDescription", {}).get("KMSMasterKeyArn"))

    def _expiry(self, subject: str, name: str) -> Iterator[Finding]:
        answer = ask("dynamodb:DescribeTimeToLive", self.client("dynamodb").describe_time_to_live, TableName=name)
        about = (answer or {}).get("TimeToLiveDescription", {})
        by = about.get("AttributeName") if about.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"} else None
        if by == "expiresAt":
            yield Finding("ok", subject, "what has expired by expiresAt is deleted")
        else:
            text = f"its time to live is on {by}; ours is expiresAt" if by else "it has no time to live"
            yield Finding("warn", subject, text, "enable it on expiresAt, or what we write stays for ever")

    def _key(self, subject: str, key: str | None) -> Iterator[Finding]:
        if not key or key == self.parameters["KmsKeyArn"]:
            return
        about = (ask("kms:DescribeKey", self.client("kms").describe_key, KeyId=key) or {}).get("KeyMetadata", {})
        if about.get("KeyManager") != "AWS":
            todo = "name it as KmsKeyArn, or allow the functions' roles kms:Decrypt in that key's policy"
            yield Finding("warn", subject, f"encrypted under a key of your own, {key}", todo)

    def _process_paid_order(self) -> Iterator[Finding]:
        branch, client = self.parameters["Branch"], self.client("lambda")
        name = self.parameters["ProcessPaidOrderFunction"] or f"payment3-process-paid-order-{branch}"
        subject = f"ProcessPaidOrder {name}"
        about = ask("lambda:GetFunctionConfiguration", client.get_function_configuration, FunctionName=name)
        if about is None:
            todo = "deploy it, or name it: ProcessPaidOrderFunction"
            yield Finding("stop", subject, "there is no such function", todo)
        elif about.get("State", "Active") in {"Failed", "Pending"}:
            yield Finding("stop", subject, f"its state is {about['State']}", "repair it: each pass would fail")
        elif (takes := about["Timeout"]) > (allowed := int(self.parameters["PassTimeoutSeconds"])):
            text = f"it may run {takes} s, a pass only {allowed}: what takes longer counts as failed, and is run again"
            yield Finding("warn", subject, text, "raise PassTimeoutSeconds (at most 120), or lower its timeout")
        else:
            yield Finding("ok", subject, f"its timeout of {takes} s fits PassTimeoutSeconds={allowed}")

    def _secret(self) -> Iterator[Finding]:
        name, client = self.parameters["KBankSecretId"], self.client("secretsmanager")
        subject = f"secret {name}"
        answer = ask("secretsmanager:GetSecretValue", client.get_secret_value, SecretId=name)
        if answer is None:
            yield Finding("stop", subject, "there is no such secret", f"make it, or name it: KBankSecretId; {_SHAPE}")
        else:
            yield _shape(subject, answer.get("SecretString", ""))

    def _mail(self) -> Iterator[Finding]:
        sender = self.parameters["ErrorMailFrom"]
        identity = self.parameters["ErrorMailIdentity"] or sender
        subject, about = f"SES identity {identity}", self._identity(identity)
        if identity != sender and not f".{sender.rpartition('@')[2]}".lower().endswith(f".{identity.lower()}"):
            text = f"it does not cover the sender {sender}"
            yield Finding("stop", subject, text, "ErrorMailIdentity is the sender's address or its domain")
        elif about.get("VerifiedForSendingStatus"):
            # The functions may use any configuration set of the account's.
            by = f", by its configuration set {name}" if (name := about.get("ConfigurationSetName")) else ""
            yield Finding("ok", subject, f"verified for sending{by}")
        else:
            todo = "verify it in SES, in this region, or name its domain: ErrorMailIdentity"
            yield Finding("stop", subject, "not verified for sending", todo)
        account = ask("ses:GetAccount", self.client("sesv2").get_account) or {}
        if not account.get("SendingEnabled", True):
            yield Finding("warn", "SES", "sending is paused in this account and region", "enable it")
        yield from () if account.get("ProductionAccessEnabled") else self._sandbox()

    def _sandbox(self) -> Iterator[Finding]:
        recipients = [one.strip() for one in self.parameters["ErrorMailTo"].split(",")]
        places = {one: (one, one.rpartition("@")[2]) for one in recipients}
        deaf = [
            one
            for one, names in places.items()
            if not any(self._identity(name).get("VerifiedForSendingStatus") for name in names)
        ]
        text = f"in the sandbox only verified recipients get mails, and {len(deaf)} of {len(recipients)} are not"
        if deaf:
            yield Finding("warn", "SES", text, f"verify {', '.join(deaf)}, or ask for production access")
        if len(recipients) > 1:  # IAM asks for each recipient's identity there, and the template can name one
            text = f"in the sandbox one recipient can be allowed, and ErrorMailTo has {len(recipients)}"
            yield Finding("warn", "SES", text, "name one address, such as a list's, or ask for production access")

    def _identity(self, identity: str) -> Found:
        return ask("ses:GetEmailIdentity", self.client("sesv2").get_email_identity, EmailIdentity=identity) or {}


def ask(permission: str, call: Callable[..., T], **request: object) -> T | None:
    """Return AWS's answer, or None where there is no such thing; raises `Unread` where there is no answer."""
    try:
        return call(**request)
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in _ABSENT:
            return None
        raise Unread(f"not readable: {permission}: {printable(str(error))}") from error


def key_text(keyed: Found, table: Found) -> str:
    """Return a key as people write it, `chargeId (S) + notificationId (S)`, by the table's attribute types."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    # HASH comes before RANGE, in whatever order they are listed.
    names = [one["AttributeName"] for one in sorted(keyed["KeySchema"], key=lambda one: str(one["KeyType"]))]
    return " + ".join(f"{name} ({types[name]})" for name in names)


def _index(subject: str, name: str, expected: str, index: Found | None, table: Found) -> Finding:
    if index is None:
        return Finding("stop", subject, f"it has no index {name}; expected one on {expected}", _INDEXES)
    if (found := key_text(index, table)) != expected:
        text = f"its index {name} is on {found}; expected {expected}"
        return Finding("stop", subject, text, f"delete that index, then: {_INDEXES}")
    if (status := index.get("IndexStatus", "ACTIVE")) != "ACTIVE":
        return Finding("warn", subject, f"its index {name} is {status}", "wait until it is ACTIVE")
    return Finding("ok", subject, f"its index {name} is on {found}")


def _shape(subject: str, text: str) -> Finding:
    try:
        keys, content = merchant_keys(text), json.loads(text)
    except (ValueError, RecursionError):  # not shown: the error of a JSON text quotes it
        return Finding("stop", subject, "it is no JSON text", f"store {_SHAPE}")
    if "current" not in keys:
        return Finding("stop", subject, "it has no secretKey that is a text", f"store {_SHAPE}")
    if len(content) > len(keys):
        return Finding("warn", subject, "it has fields that nobody reads, or that are no text", f"store {_SHAPE}")
    return Finding("ok", subject, f"it has secretKey{', and previousSecretKey' if 'previous' in keys else ''}")


class _Loader(yaml.SafeLoader):
    """Reads a template's parameters; what its short forms stand for is not asked."""


_Loader.add_multi_constructor("!", lambda *_: None)


def declared_parameters(template: Path) -> dict[str, str]:
    """Return the defaults of a template's parameters."""
    try:
        parameters = _Loader(template.read_text()).get_single_data()["Parameters"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise click.ClickException(f"{template} is no template: {error}") from error
    return {name: str(about.get("Default", "")) for name, about in parameters.items()}


def read_environment(file: Path, name: str) -> Environment:
    """Read an environment of samconfig.toml as `sam deploy --config-env NAME` does."""
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error
    if name not in content:
        known = ", ".join(key for key, value in content.items() if isinstance(value, dict))
        raise click.ClickException(f"{file} has no environment {name}; it has {known}")
    options: dict[str, Any] = {}
    for command in ("global", "deploy"):
        options |= content[name].get(command, {}).get("parameters", {})
    session = {f"{key}_name": str(options[key]) for key in ("profile", "region") if options.get(key)}
    overrides = options.get("parameter_overrides", [])
    if isinstance(overrides, Mapping):
        return Environment(str(options.get("stack_name", "")), {k: str(v) for k, v in overrides.items()}, session)
    words = shlex.split(overrides) if isinstance(overrides, str) else map(str, overrides)
    return Environment(str(options.get("stack_name", "")), assigned(words), session)


def assigned(texts: Iterable[str]) -> dict[str, str]:
    """Read `Name=Value`, or the long form that CloudFormation's own tools take."""
    values = {}
    for text in texts:
        found = _ASSIGNED.fullmatch(text)
        if found is None:
            raise click.ClickException(f"{text!r} is no parameter: Name=Value")
        value = found[2] if found[1] else found[4]
        values[found[1] or found[3]] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    return values


@click.command(
    "preflight",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups preflight": "development's environment",
        "followups preflight --config-env prod": "production's",
        "followups preflight --config-env prod --parameter ExistingOrderTable=orders": "with a parameter to try",
    },
    exits={0: "nothing stops", 1: "something stops"},
    permissions=PERMISSIONS,
)
@click.option("--config-env", default="default", metavar="NAME", help="samconfig.toml's environment (default: default)")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="instead of samconfig.toml's")
@click.option("--config-file", type=click.Path(path_type=Path), default="samconfig.toml", help="or another file")
@click.option("--template", type=click.Path(path_type=Path), default="template.yaml", help="or another file")
@click.pass_obj
def command(operator: Operator, config_env: str, parameters: tuple[str, ...], config_file: Path, template: Path) -> int:
    """Print each finding as it is made."""
    environment = read_environment(config_file, config_env)
    stack = operator.given.get("stack") or environment.stack
    if not stack:
        raise click.ClickException(f"{config_file} gives {config_env} no stack_name: name the stack (--stack)")
    given, declared = {**environment.given, **assigned(parameters)}, declared_parameters(template)
    counts: Counter[str] = Counter()
    with Sheet(operator.output, *_COLUMNS) as sheet:
        for finding in _all(_client(operator, environment), stack, declared, given):
            counts[finding.level] += 1
            sheet.add(_cells(finding), _line(finding), asdict(finding))
    stops = f"{counts['stop']} stop" if counts["stop"] else "Nothing stops"
    operator.output.note(f"{stops}, {counts['warn']} to know, {counts['ok']} as they should be.")
    return 1 if counts["stop"] else 0


def _client(operator: Operator, environment: Environment) -> Callable[[str], Any]:
    account = operator.stack.account
    # Like `sam deploy`: what samconfig.toml says of profile and region wins over the environment, an option over both.
    named = dict(account.session) if account.endpoint_url else {**environment.session, **account.session}
    return Stack(account=replace(account, session=named)).client


def _all(
    client: Callable[[str], Any], stack: str, declared: Mapping[str, str], given: Mapping[str, str]
) -> Iterator[Finding]:
    who, region = client("sts").get_caller_identity(), client("dynamodb").meta.region_name
    yield Finding("ok", "where", f"account {who['Account']}, {region}, stack {stack}, as {who['Arn']}")
    for name in sorted(given.keys() - declared.keys()):
        yield Finding("stop", name, "the template has no such parameter", "take it out of samconfig.toml")
    kept = {name: value for name, value in _deployed(client, stack).items() if name in declared and name not in given}
    if changed := ", ".join(f"{name}={value}" for name, value in kept.items() if value != declared[name]):
        yield Finding("ok", "parameters", f"kept from the deployed stack, since samconfig.toml gives none: {changed}")
    yield from Preflight(client, {**declared, **kept, **given}).findings()


def _deployed(client: Callable[[str], Any], stack: str) -> dict[str, str]:
    try:
        [found] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}


def _cells(finding: Finding) -> tuple[Cell, ...]:
    text = f"{finding.text}\n→ {finding.todo}" if finding.todo else finding.text
    return ((finding.level, STYLES[_STYLES[finding.level]]), finding.subject, text)


def _line(finding: Finding) -> tuple[str, ...]:
    return (finding.level, finding.subject, finding.text, f"-> {finding.todo}" if finding.todo else "")
