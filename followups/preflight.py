"""`followups preflight`: what CloudFormation cannot check, and what would fail later. It only reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from botocore import xform_name

from callback.checksum import merchant_keys
from callback.table import AWS_ERRORS
from followups.cli import Operator, manual
from followups.output import STYLES, Column, Row, printable
from followups.stack import Stack, StackError

try:
    from samcli.cli.types import CfnParameterOverridesType
    from samcli.commands._utils.template import get_template_data
    from samcli.lib.config.exceptions import SamConfigVersionException
    from samcli.lib.config.samconfig import SamConfig, SamConfigFileReadException
except ImportError as error:  # operators who deploy nothing need not have it
    raise click.ClickException("preflight needs the SAM CLI beside it: pip install aws-sam-cli") from error

Item = Mapping[str, Any]
Found = tuple[str, str]
"""What a check finds: the level (ok, warn or stop), and a text that says after an arrow what to do."""

_TODO = {
    "key": "a key cannot be changed: name another table, or none, and one is made",
    "index": "docs/adopting.md, Add the indexes; an index on another key has to be deleted first",
    "time": "enable it on expiresAt, or what is written is never deleted",
}
_OF_TABLES = ("dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "kms:DescribeKey")
_OF_MAILS = ("ses:GetAccount", "ses:GetEmailIdentity")
_OF_ALL = ("sts:GetCallerIdentity", "cloudformation:DescribeStacks")
PERMISSIONS = (*_OF_ALL, *_OF_TABLES, "lambda:GetFunctionConfiguration", "secretsmanager:GetSecretValue", *_OF_MAILS)
# Raised by the SAM CLI's readers where a file, or a part of it, is not what they accept.
_UNREADABLE = (AttributeError, LookupError, OSError, TypeError, ValueError)
_OVERRIDES = CfnParameterOverridesType()  # quotes, white space and long forms, as the SAM CLI reads them


class Unanswered(Exception):
    """AWS did not answer, or there is no such thing: its argument is the finding."""


@dataclass(frozen=True)
class Preflight:
    """An account, the template's resources, and the parameters that a deployment would have."""

    client: Callable[[str], Any]
    resources: Item
    parameters: Mapping[str, str]

    def findings(self) -> Iterator[tuple[str, Found]]:
        """Run each check, and yield its subject and findings; if AWS does not answer, only that check ends."""
        given = self.parameters
        tables = {logical: name for logical in self.resources if (name := given.get(f"Existing{logical}"))}
        process = given["ProcessPaidOrderFunction"] or f"payment3-process-paid-order-{given['Branch']}"
        secret, identity = given["KBankSecretId"], given["ErrorMailIdentity"] or given["ErrorMailFrom"]
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
            except Unanswered as error:
                yield subject, error.args[0]

    def _ask(self, permission: str, **request: str) -> Any:
        """Return AWS's answer to the call that needs this permission. Raises `Unanswered`."""
        service, _, operation = permission.replace("ses:", "sesv2:").partition(":")
        try:
            return getattr(self.client(service), xform_name(operation))(**request)
        except AWS_ERRORS as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code", "").endswith("NotFoundException"):
                found = "stop", "it does not exist → create it, or correct the parameter that names it"
            else:
                text = f"not readable: {permission}: {printable(str(error))}"
                found = "warn", f"{text} → allow it, or check by hand"
            raise Unanswered(found) from error

    def _table(self, logical: str, name: str) -> Iterator[Found]:
        table = self._ask("dynamodb:DescribeTable", TableName=name)["Table"]
        if (state := table["TableStatus"]) != "ACTIVE":
            yield "warn", f"it is {state} → wait until it is ACTIVE"
        declared, there = self.resources[logical]["Properties"], _keys(table)
        for what, expected in _keys(declared).items():
            yield _compared(what, there.get(what, "none"), expected)
        if expires := declared.get("TimeToLiveSpecification"):
            about = self._ask("dynamodb:DescribeTimeToLive", TableName=name)["TimeToLiveDescription"]
            by = about["AttributeName"] if about["TimeToLiveStatus"] in {"ENABLED", "ENABLING"} else "none"
            yield _compared("time to live", by, expires["AttributeName"])
        sealed_by = table.get("SSEDescription", {}).get("KMSMasterKeyArn")
        if sealed_by in {None, self.parameters["KmsKeyArn"]}:
            return
        if self._ask("kms:DescribeKey", KeyId=sealed_by)["KeyMetadata"].get("KeyManager") != "AWS":
            todo = "name it as KmsKeyArn, or allow the functions' roles kms:Decrypt in that key's policy"
            yield "warn", f"encrypted under a key of your own, {sealed_by} → {todo}"

    def _process_paid_order(self, name: str) -> Iterator[Found]:
        about = self._ask("lambda:GetFunctionConfiguration", FunctionName=name)
        allowed, takes = int(self.parameters["PassTimeoutSeconds"]), about.get("Timeout", 3)
        if (state := about.get("State", "Active")) in {"Failed", "Pending"}:
            yield "stop", f"its state is {state} → repair it: each pass would fail"
        elif takes > allowed:
            text = f"it may run {takes} s, a pass only {allowed}: what takes longer counts as failed, and is run again"
            yield "warn", f"{text} → raise PassTimeoutSeconds (at most 120), or lower its timeout"
        else:
            yield "ok", f"its timeout of {takes} s fits PassTimeoutSeconds={allowed}"

    def _secret(self, name: str) -> Iterator[Found]:
        try:
            keys = merchant_keys(self._ask("secretsmanager:GetSecretValue", SecretId=name).get("SecretString", ""))
        except (ValueError, RecursionError):  # not printed: the error of a JSON text quotes it
            keys = {}
        if "current" in keys:
            yield "ok", f"it has the key {' and the '.join(keys)}"
        else:
            todo = 'store {"secretKey": "...", "previousSecretKey": "..."}'
            yield "stop", f"it is no JSON with a secretKey that is a text → {todo}"

    def _sender(self, identity: str) -> Iterator[Found]:
        sender, about = self.parameters["ErrorMailFrom"], self._ask("ses:GetEmailIdentity", EmailIdentity=identity)
        if identity != sender and not f".{sender.rpartition('@')[2]}".lower().endswith(f".{identity.lower()}"):
            todo = "ErrorMailIdentity is the sender's address or its domain"
            yield "stop", f"it does not cover the sender {sender} → {todo}"
        elif about.get("VerifiedForSendingStatus"):
            # The functions may use any configuration set of the account's.
            by = f", by its configuration set {name}" if (name := about.get("ConfigurationSetName")) else ""
            yield "ok", f"verified for sending{by}"
        else:
            todo = "verify it in SES, in this region, or name its domain: ErrorMailIdentity"
            yield "stop", f"not verified for sending → {todo}"

    def _recipients(self) -> Iterator[Found]:
        account, all_ = self._ask("ses:GetAccount"), self.parameters["ErrorMailTo"].replace(" ", "").split(",")
        if not account.get("SendingEnabled", True):
            yield "warn", "sending is paused in this account and region → enable it"
        if account.get("ProductionAccessEnabled"):
            return
        unverified = [one for one in all_ if not any(map(self._is_verified, (one, one.rpartition("@")[2])))]
        if unverified or len(all_) > 1:  # IAM asks for each recipient's identity there, and the template can name one
            text = f"in the sandbox one verified recipient can be allowed, of {len(all_)}"
            which = f", and {', '.join(unverified)} is not verified" if unverified else ""
            yield "warn", f"{text}{which} → name one that is verified, or ask for production access"

    def _is_verified(self, identity: str) -> bool:
        try:
            return bool(self._ask("ses:GetEmailIdentity", EmailIdentity=identity).get("VerifiedForSendingStatus"))
        except Unanswered:
            return False


def _keys(table: Item) -> dict[str, str]:
    """Return a table's key and those of its indexes as people write them, `chargeId (S) + notificationId (S)`."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    keyed = {"key": table} | {f"index {one['IndexName']}": one for one in table.get("GlobalSecondaryIndexes", [])}
    texts = {}
    for name, about in keyed.items():
        # HASH comes before RANGE, in whatever order they are listed.
        names = [one["AttributeName"] for one in sorted(about["KeySchema"], key=lambda one: str(one["KeyType"]))]
        state = about.get("IndexStatus", "ACTIVE")
        texts[name] = " + ".join(f"{key} ({types[key]})" for key in names) + f", {state}" * (state != "ACTIVE")
    return texts


def _compared(what: str, found: str, expected: str) -> Found:
    if found == expected:
        return "ok", f"its {what}: {found}"
    level = "warn" if what == "time to live" else "stop"
    return level, f"its {what}: {found}; expected {expected} → {_TODO[what.partition(' ')[0]]}"


def read_template(file: Path) -> tuple[dict[str, str], Item]:
    """Return the defaults of a template's parameters, and its resources."""
    try:
        template = get_template_data(file)
        defaults = {name: str(about.get("Default", "")) for name, about in template["Parameters"].items()}
    except _UNREADABLE as error:
        raise click.ClickException(f"{file} is no template: {error}") from error
    return defaults, template.get("Resources", {})


def read_environment(file: Path, name: str) -> dict[str, Any]:
    """Return the options that `sam deploy --config-env NAME` reads from samconfig.toml, its parameters as a dict."""
    try:
        config = SamConfig(file.parent, file.name)
        known, options = config.get_stage_configuration_names(), dict(config.get_all(["deploy"], "parameters", name))
    except (*_UNREADABLE, SamConfigFileReadException, SamConfigVersionException) as error:
        raise click.ClickException(f"{file} cannot be read: {getattr(error, 'message', error)}") from error
    if name not in known:
        raise click.ClickException(f"{file} has no environment {name}; it has {', '.join(known) or 'none'}")
    return options | {"parameter_overrides": _OVERRIDES.convert(options.get("parameter_overrides"), None, None)}


@manual("preflight", PERMISSIONS, "followups preflight --config-env prod --parameter ExistingOrderTable=orders")
@click.option("--config-env", default="default", metavar="NAME", help="samconfig.toml's environment (default: default)")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="instead of samconfig.toml's")
@click.option("--config-file", type=click.Path(path_type=Path), default="samconfig.toml", help="or another file")
@click.option("--template", type=click.Path(path_type=Path), default="template.yaml", help="or another file")
def preflight_command(
    operator: Operator, config_env: str, parameters: tuple[str, ...], config_file: Path, template: Path
) -> int:
    """Check live tables, ProcessPaidOrder, the secret and SES before `sam deploy`. Every call only reads.

    The parameters are samconfig.toml's for the environment, else those that the stack was deployed with, else the
    template's defaults. The stack is the environment's stack_name, unless --stack names one.

    ok: as it should be. warn: it works, or could not be read: have a look. stop: it would not work, exit code 1.
    """
    environment = read_environment(config_file, config_env)
    if not (name := operator.given.get("stack") or environment.get("stack_name")):
        raise click.ClickException(f"{config_file} gives {config_env} no stack_name: name the stack (--stack)")
    given = environment["parameter_overrides"] | _OVERRIDES.convert(parameters, None, None)
    counts = Counter[str]()
    # Like `sam deploy`: samconfig.toml's profile and region win over the environment, an option over both.
    places = () if operator.given.get("local") else ("profile", "region")
    session = {f"{key}_name": str(environment[key]) for key in places if environment.get(key)}
    stack = Stack(name, {**session, **operator.stack.session})
    columns = (Column("", 4), Column("what", ratio=2), Column("found, and what to do", ratio=3))
    for subject, (level, text) in _findings(stack, *read_template(template), given):
        counts[level] += 1
        record = {"level": level, "subject": subject, "text": text}
        operator.output.rows(columns, Row(((level, STYLES.get(level, STYLES["bad"])), subject, text), record))
    operator.output.note(f"{counts['stop']} stop, {counts['warn']} warn, {counts['ok']} ok.")
    return 1 if counts["stop"] else 0


def _findings(
    stack: Stack, declared: Mapping[str, str], resources: Item, given: Mapping[str, str]
) -> Iterator[tuple[str, Found]]:
    who, region = stack.client("sts").get_caller_identity(), stack.dynamodb.meta.region_name
    yield "where", ("ok", f"account {who['Account']}, {region}, stack {stack.name}, as {who['Arn']}")
    kept: Mapping[str, str] = {}
    with suppress(StackError):  # there is none before the first deployment
        kept = {name: value for name, value in stack.values.items() if name in declared and name not in given}
    if changed := ", ".join(f"{name}={value}" for name, value in kept.items() if value != declared[name]):
        yield "parameters", ("ok", f"kept from the deployed stack, since samconfig.toml gives none: {changed}")
    yield from Preflight(stack.client, resources, {**declared, **kept, **given}).findings()
