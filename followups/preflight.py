"""`followups preflight`: what CloudFormation cannot check, and a deployment would fail of later. It only reads."""

import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
import yaml
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from callback.checksum import merchant_keys
from callback.redact import BLANKS
from followups.command import Operator, manual
from followups.output import STYLES, Column, Row, Sheet, printable
from followups.stack import Stack

Item = Mapping[str, Any]
Level = Literal["ok", "warn", "stop"]
Found = tuple[Level, str, str]
"""What a check finds: the level, the text, and what to do ("" where there is nothing to do)."""

# The key of each table, its indexes, and whether what is written there has to expire.
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
_STORE = 'store {"secretKey": "...", "previousSecretKey": "..."}'
_KEY = "a key cannot be changed: name another table, or none, and one is made"
_INDEX = "docs/adopting.md, Add the indexes; an index on another key has to be deleted first"
_ASSIGNED = re.compile(r'(?:ParameterKey=)?([A-Za-z0-9]+)(?:,ParameterValue)?=("?)(.*)\2', re.DOTALL)


class Unread(Exception):
    """AWS did not answer."""


class Absent(Exception):
    """There is no such thing."""


@dataclass(frozen=True)
class Preflight:
    """An account, and the parameters that a deployment to it would have."""

    client: Callable[[str], Any]
    parameters: Mapping[str, str]

    def findings(self) -> Iterator[tuple[str, Found]]:
        """Run each check, and yield what it finds of its subject; one that AWS does not answer ends alone."""
        given = self.parameters
        process = given["ProcessPaidOrderFunction"] or f"payment3-process-paid-order-{given['Branch']}"
        secret, identity = given["KBankSecretId"], given["ErrorMailIdentity"] or given["ErrorMailFrom"]
        tables = {logical: name for logical in TABLES if (name := given[f"Existing{logical}"])}
        checks = {
            **{f"{logical} {name}": self._table(logical, name) for logical, name in tables.items()},
            f"ProcessPaidOrder {process}": self._process_paid_order(process),
            f"secret {secret}": self._secret(secret),
            f"SES identity {identity}": self._sender(identity),
            "SES": self._recipients(),
        }
        for subject, check in checks.items():
            try:
                yield from ((subject, found) for found in check)
            except Unread as error:
                yield subject, ("warn", str(error), "allow it, or check by hand")
            except Absent:
                yield subject, ("stop", "it does not exist", "create it, or correct the parameter that names it")

    def _ask(self, permission: str, **request: str) -> Item:
        """Return AWS's answer to the call that a permission is for. Raises `Unread` and `Absent`."""
        service, _, operation = permission.replace("ses:", "sesv2:").partition(":")
        try:
            answer: Item = getattr(self.client(service), xform_name(operation))(**request)
        except (ClientError, BotoCoreError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code in {"ResourceNotFoundException", "NotFoundException"}:
                raise Absent from error
            raise Unread(f"not readable: {permission}: {printable(str(error))}") from error
        return answer

    def _table(self, logical: str, name: str) -> Iterator[Found]:
        key, indexes, expires = TABLES[logical]
        table = self._ask("dynamodb:DescribeTable", TableName=name)["Table"]
        yield _compared("its key", key_text(table, table), key, _KEY)
        there = {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}
        for index, expected in indexes.items():
            found = key_text(there[index], table) if index in there else "none"
            yield _compared(f"its index {index}", found, expected, _INDEX)
        states = {"it": table["TableStatus"]}
        states |= {
            f"its index {index}": there[index].get("IndexStatus", "ACTIVE") for index in indexes if index in there
        }
        for what, state in states.items():
            if state != "ACTIVE":
                yield "warn", f"{what} is {state}", "wait until it is ACTIVE"
        if expires:
            about = self._ask("dynamodb:DescribeTimeToLive", TableName=name)["TimeToLiveDescription"]
            by = about["AttributeName"] if about["TimeToLiveStatus"] in {"ENABLED", "ENABLING"} else "none"
            todo = "enable it on expiresAt, or what is written is never deleted"
            yield _compared("its time to live", by, "expiresAt", todo, "warn")
        sealed_by = table.get("SSEDescription", {}).get("KMSMasterKeyArn")
        if sealed_by not in {None, self.parameters["KmsKeyArn"]} and self._is_own(sealed_by):
            todo = "name it as KmsKeyArn, or allow the functions' roles kms:Decrypt in that key's policy"
            yield "warn", f"encrypted under a key of your own, {sealed_by}", todo

    def _is_own(self, key: str) -> bool:
        return bool(self._ask("kms:DescribeKey", KeyId=key)["KeyMetadata"].get("KeyManager") != "AWS")

    def _process_paid_order(self, name: str) -> Iterator[Found]:
        about = self._ask("lambda:GetFunctionConfiguration", FunctionName=name)
        allowed = int(self.parameters["PassTimeoutSeconds"])
        if (state := about.get("State", "Active")) in {"Failed", "Pending"}:
            yield "stop", f"its state is {state}", "repair it: each pass would fail"
        elif (takes := about["Timeout"]) > allowed:
            text = f"it may run {takes} s, a pass only {allowed}: what takes longer counts as failed, and is run again"
            yield "warn", text, "raise PassTimeoutSeconds (at most 120), or lower its timeout"
        else:
            yield "ok", f"its timeout of {takes} s fits PassTimeoutSeconds={allowed}", ""

    def _secret(self, name: str) -> Iterator[Found]:
        text = self._ask("secretsmanager:GetSecretValue", SecretId=name).get("SecretString", "").strip(BLANKS)
        try:
            keys, fields = merchant_keys(text), len(json.loads(text))
        except (ValueError, TypeError, RecursionError):  # not printed: the error of a JSON text quotes it
            keys, fields = {}, 0
        if "current" not in keys:
            yield "stop", "it is no JSON with a secretKey that is a text", _STORE
        elif fields > len(keys):
            yield "warn", "it has fields that nobody reads, or that are no text", _STORE
        else:
            yield "ok", f"it has the key {' and the '.join(keys)}", ""

    def _sender(self, identity: str) -> Iterator[Found]:
        sender, about = self.parameters["ErrorMailFrom"], self._ask("ses:GetEmailIdentity", EmailIdentity=identity)
        if identity != sender and not f".{sender.rpartition('@')[2]}".lower().endswith(f".{identity.lower()}"):
            text = f"it does not cover the sender {sender}"
            yield "stop", text, "ErrorMailIdentity is the sender's address or its domain"
        elif about.get("VerifiedForSendingStatus"):
            # The functions may use any configuration set of the account's.
            by = f", by its configuration set {name}" if (name := about.get("ConfigurationSetName")) else ""
            yield "ok", f"verified for sending{by}", ""
        else:
            todo = "verify it in SES, in this region, or name its domain: ErrorMailIdentity"
            yield "stop", "not verified for sending", todo

    def _recipients(self) -> Iterator[Found]:
        account = self._ask("ses:GetAccount")
        if not account.get("SendingEnabled", True):
            yield "warn", "sending is paused in this account and region", "enable it"
        if account.get("ProductionAccessEnabled"):
            return
        all_ = [one.strip() for one in self.parameters["ErrorMailTo"].split(",")]
        if unverified := [one for one in all_ if not any(map(self._is_verified, (one, one.rpartition("@")[2])))]:
            text = f"in the sandbox only verified recipients get mails, and {len(unverified)} of {len(all_)} are not"
            yield "warn", text, f"verify {', '.join(unverified)}, or ask for production access"
        if len(all_) > 1:  # IAM asks for each recipient's identity there, and the template can name one
            text = f"in the sandbox one recipient can be allowed, and ErrorMailTo has {len(all_)}"
            yield "warn", text, "name one address, such as a list's, or ask for production access"

    def _is_verified(self, identity: str) -> bool:
        try:
            return bool(self._ask("ses:GetEmailIdentity", EmailIdentity=identity).get("VerifiedForSendingStatus"))
        except Absent:
            return False


def key_text(keyed: Item, table: Item) -> str:
    """Return a key as people write it, `chargeId (S) + notificationId (S)`, by the table's attribute types."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    # HASH comes before RANGE, in whatever order they are listed.
    names = [one["AttributeName"] for one in sorted(keyed["KeySchema"], key=lambda one: str(one["KeyType"]))]
    return " + ".join(f"{name} ({types[name]})" for name in names)


def _compared(what: str, found: str, expected: str, todo: str, otherwise: Level = "stop") -> Found:
    if found == expected:
        return "ok", f"{what}: {found}", ""
    return otherwise, f"{what}: {found}; expected {expected}", todo


class _Loader(yaml.SafeLoader):
    """Reads a template's parameters, and nothing of its short forms."""


_Loader.add_multi_constructor("!", lambda *_: None)


def declared_parameters(template: Path) -> dict[str, str]:
    """Return the defaults of a template's parameters."""
    try:
        parameters = _Loader(template.read_text()).get_single_data()["Parameters"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise click.ClickException(f"{template} is no template: {error}") from error
    return {name: str(about.get("Default", "")) for name, about in parameters.items()}


class Environment(NamedTuple):
    """One environment of samconfig.toml: its stack, the parameters that it gives, its profile and region."""

    stack: str
    given: Mapping[str, str]
    session: Mapping[str, str]


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
        overrides = [f"{key}={value}" for key, value in overrides.items()]
    words = shlex.split(overrides) if isinstance(overrides, str) else map(str, overrides)
    return Environment(str(options.get("stack_name", "")), assigned(words), session)


def assigned(texts: Iterable[str]) -> dict[str, str]:
    """Read `Name=Value`, or the long form that CloudFormation's own tools take."""
    values = {}
    for text in texts:
        if not (found := _ASSIGNED.fullmatch(text)):
            raise click.ClickException(f"{text!r} is no parameter: Name=Value")
        values[found[1]] = found[3]
    return values


@manual(
    "preflight",
    PERMISSIONS,
    "followups preflight --config-env prod --parameter ExistingOrderTable=orders",
    exits={0: "nothing stops", 1: "something stops"},
)
@click.option("--config-env", default="default", metavar="NAME", help="samconfig.toml's environment (default: default)")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="instead of samconfig.toml's")
@click.option("--config-file", type=click.Path(path_type=Path), default="samconfig.toml", help="or another file")
@click.option("--template", type=click.Path(path_type=Path), default="template.yaml", help="or another file")
def command(operator: Operator, config_env: str, parameters: tuple[str, ...], config_file: Path, template: Path) -> int:
    """Check, before `sam deploy`, what CloudFormation cannot.

    That is the tables that exist already, ProcessPaidOrder, the secret's shape, and SES. Every call only reads.

    The parameters are those that `sam deploy` would give: samconfig.toml's for the environment, else what the stack was
    deployed with, else the template's defaults. The stack is the environment's stack_name, unless --stack names one.

    ok: as it should be. warn: it works, or could not be read: have a look. stop: it would not work.
    """
    environment = read_environment(config_file, config_env)
    stack = operator.given.get("stack") or environment.stack
    if not stack:
        raise click.ClickException(f"{config_file} gives {config_env} no stack_name: name the stack (--stack)")
    given, declared = {**environment.given, **assigned(parameters)}, declared_parameters(template)
    counts: Counter[str] = Counter()
    sheet = Sheet(operator.output, Column("", 4), Column("what", ratio=2), Column("found, and what to do", ratio=3))
    for subject, found in _all(_client(operator, environment), stack, declared, given):
        counts[found[0]] += 1
        sheet.add(_row(subject, *found))
    operator.output.note(f"{counts['stop']} stop, {counts['warn']} warn, {counts['ok']} ok.")
    return 1 if counts["stop"] else 0


def _row(subject: str, level: Level, text: str, todo: str) -> Row:
    cells = ((level, STYLES.get(level, STYLES["bad"])), subject, f"{text}\n→ {todo}" if todo else text)
    record = {"level": level, "subject": subject, "text": text, "todo": todo}
    return Row(cells, (level, subject, text, f"-> {todo}" if todo else ""), record)


def _client(operator: Operator, environment: Environment) -> Callable[[str], Any]:
    account = operator.stack.account
    # Like `sam deploy`: samconfig.toml's profile and region win over the environment, an option over both.
    named = dict(account.session) if account.endpoint_url else {**environment.session, **account.session}
    return Stack(account=replace(account, session=named)).client


def _all(
    client: Callable[[str], Any], stack: str, declared: Mapping[str, str], given: Mapping[str, str]
) -> Iterator[tuple[str, Found]]:
    who, region = client("sts").get_caller_identity(), client("dynamodb").meta.region_name
    yield "where", ("ok", f"account {who['Account']}, {region}, stack {stack}, as {who['Arn']}", "")
    for name in sorted(given.keys() - declared.keys()):
        yield name, ("stop", "the template has no such parameter", "take it out of samconfig.toml")
    kept = {name: value for name, value in _deployed(client, stack).items() if name in declared and name not in given}
    if changed := ", ".join(f"{name}={value}" for name, value in kept.items() if value != declared[name]):
        yield "parameters", ("ok", f"kept from the deployed stack, since samconfig.toml gives none: {changed}", "")
    yield from Preflight(client, {**declared, **kept, **given}).findings()


def _deployed(client: Callable[[str], Any], stack: str) -> dict[str, str]:
    try:
        [found] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
