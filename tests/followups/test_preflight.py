"""`followups preflight` checks what a deployment needs of an account, by calls that only read."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import EndpointConnectionError

from followups.cli import main
from followups.preflight import PERMISSIONS, read_template
from local.emulator import REGION, ROOT
from tests.followups.conftest import Patch, Print
from tests.support.account import PROCESS, STACK, Account
from tests.support.aws import _Session, moto
from tests.support.documents import aws_request, blocks, commands
from tests.support.recorded_calls import Call, RecordedCalls, refuse

READ = cache(read_template)


def keyed(**types: str) -> dict[str, Any]:
    """The key of a table or an index: names and types of its attributes."""
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": type_} for name, type_ in types.items()],
        "KeySchema": [
            {"AttributeName": name, "KeyType": kind} for name, kind in zip(types, ("HASH", "RANGE"), strict=False)
        ],
    }


ABSENT, UNVERIFIED = "stop: it does not exist → create it", "stop: not verified for sending → verify it"
SECRET, NO_SECRET = "secret payment3/kbank", "stop: it is no JSON with a secretKey that is a text → store {"
SANDBOX = {"ses": {"ProductionAccessEnabled": False, "SendingEnabled": False}}
HEARD: dict[str, Any] = {"ses": {"ProductionAccessEnabled": False}, "identities": {"a@one.example": True}}
HEARD["given"] = {"ErrorMailTo": "a@one.example"}
DOMAIN = {"identities": {"local.example": True}, "given": {"ErrorMailIdentity": "local.example"}}
OTHER_DOMAIN = {"identities": {"ocal.example": True}, "given": {"ErrorMailIdentity": "ocal.example"}}
PAUSED = "warn: sending is paused"
ONE = "warn: in the sandbox one verified recipient can be allowed, of 2, and {} is not verified → "
CREDIT, ORDERS, ERRORS = "CreditCardNotifyTable", "OrderTable", "CallbackErrorLogTable"
WRONG, EXPIRES = "stop: its key: {}; expected {} → a key cannot be changed", "ok: its time to live: expiresAt"
KEYS = [
    "ok: its key: chargeId (S) + notificationId (S)",
    "ok: its index due: sweepShard (N) + sweepAt (S)",
    "ok: its index order: orderId (S)",
    "ok: its index failed: failedShard (N) + failedAt (S)",
]
DUE = {"IndexName": "due", "IndexStatus": "CREATING", **keyed(sweepShard="N", sweepAt="S")}
OTHER = {"IndexName": "order", **keyed(orderId="S", failedAt="S")}
ADD = " → docs/adopting.md, Add the indexes"
LOST = [
    "stop: its index due: sweepShard (N) + sweepAt (S), CREATING; expected sweepShard (N) + sweepAt (S)" + ADD,
    "stop: its index order: orderId (S) + failedAt (S); expected orderId (S)" + ADD,
    "stop: its index failed: none; expected failedShard (N) + failedAt (S)" + ADD,
]
OWN, AWS = ({"SSEDescription": {"KMSMasterKeyArn": key}} for key in ("own", "AWS"))
SEALED = "warn: encrypted under a key of your own, own → name it as KmsKeyArn"
NO_LIFE = {"lives": {"TimeToLiveStatus": "DISABLED"}}
EMPTY = "version = 0.1\n[default.deploy]"
BROKEN = ("[", "\xff", f"{EMPTY}\nparameters = 5", "version = 0.1\n[default]\ndeploy = 5")


@pytest.fixture
def account(wire: RecordedCalls, monkeypatch: Patch, tmp_path: Path, capsys: Print) -> Iterator[Account]:
    """An account before a deployment; the template takes long to read, and is read once for all tests."""
    monkeypatch.setattr("followups.preflight.read_template", READ)
    with moto(monkeypatch):
        account = Account(wire, tmp_path, capsys)
        wire.answers["kms.DescribeKey"] = lambda call: {"KeyMetadata": {"KeyManager": call.request["KeyId"][:3]}}
        yield account


def prepare(account: Account, secret: str = "", tables: Any = (), **changes: dict[str, Any]) -> None:
    """Change what is there: the secret, live tables and what differs there, parameters, functions, identities, SES."""
    for place, values in changes.items():
        getattr(account, place).update(values)
    if secret:
        account.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=secret)
    for logical, differs in dict(tables).items():
        account.given[f"Existing{logical}"] = "live"
        account.make_table("live", logical)
        live = account.client("dynamodb").describe_table(TableName="live")["Table"]
        account.answer("dynamodb.DescribeTable", Table=live | differs)
        if lives := differs.get("lives"):
            account.answer("dynamodb.DescribeTimeToLive", TimeToLiveDescription=lives)


def about(account: Account, subject: str) -> list[str]:
    """The findings about a subject that begins so: level and text."""
    return [f"{one['level']}: {one['text']}" for one in account.findings() if one["subject"].startswith(subject)]


@pytest.mark.parametrize(
    ("changes", "subject", "begins"),
    [
        ({"given": {"ProcessPaidOrderFunction": "pay"}}, "ProcessPaidOrder pay", [ABSENT]),
        ({"functions": {PROCESS: {"Timeout": 60}}}, PROCESS, ["ok: its timeout of 60 s fits PassTimeoutSeconds=60"]),
        ({"functions": {PROCESS: {"Timeout": 61}}}, PROCESS, ["warn: it may run 61 s, a pass only 60: "]),
        ({"functions": {PROCESS: {"State": "Failed"}}}, PROCESS, ["stop: its state is Failed"]),
        ({"identities": {"payment3@local.example": False}}, "SES identity", [UNVERIFIED]),
        (DOMAIN, "SES identity", ["ok: verified for sending"]),
        (OTHER_DOMAIN, "SES identity", ["stop: it does not cover the sender"]),
        (SANDBOX | {"identities": {"a@one.example": True}}, "SES", ["ok", PAUSED, ONE.format("b@two.example")]),
        (SANDBOX | {"identities": {"two.example": True}}, "SES", ["ok", PAUSED, ONE.format("a@one.example")]),
        (HEARD, "SES", ["ok"]),
        (HEARD | {"given": {"ErrorMailTo": "a@one.example,b@x"}}, "SES", ["ok", ONE.format("b@x")]),
        ({"secret": '{"secretKey": "skey_hidden"}'}, SECRET, ["ok: it has the key current"]),
        ({"secret": '{"secretKey": "a", "previousSecretKey": "b"}'}, SECRET, ["ok: it has the key current and the p"]),
        ({"secret": "skey_hidden"}, SECRET, [NO_SECRET]),
        ({"secret": "[" * 60_000}, SECRET, [NO_SECRET]),
        ({"tables": {CREDIT: {}}}, CREDIT, [*KEYS, EXPIRES]),
        ({"tables": {ERRORS: {}}}, ERRORS, ["ok: its key: errorId (S)", EXPIRES]),
        ({"tables": {ORDERS: keyed(id="N")}}, ORDERS, [WRONG.format("id (N)", "orderId (S)")]),
        ({"tables": {CREDIT: {"TableStatus": "UPDATING"}}}, CREDIT, ["warn: it is UPDATING → ", *KEYS, EXPIRES]),
        ({"tables": {CREDIT: {"GlobalSecondaryIndexes": [DUE, OTHER]}}}, CREDIT, [KEYS[0], *LOST, EXPIRES]),
        ({"tables": {CREDIT: NO_LIFE}}, CREDIT, [*KEYS, "warn: its time to live: none; "]),
        ({"tables": {ORDERS: OWN}}, ORDERS, ["ok: its key: orderId (S)", SEALED]),
        ({"tables": {ORDERS: OWN}, "given": {"KmsKeyArn": "own"}}, ORDERS, ["ok: its key: orderId (S)"]),
        ({"tables": {ORDERS: AWS}}, ORDERS, ["ok: its key: orderId (S)"]),
    ],
)
def test_finding_has_level_and_text(account: Account, changes: dict[str, Any], subject: str, begins: list[str]) -> None:
    """A `stop` makes the exit code 1; the other checks still run, and nothing secret is printed."""
    account.given |= {"PassTimeoutSeconds": "60", "ErrorMailTo": "a@one.example, b@two.example"}
    prepare(account, **changes)
    found = account.findings()
    lines = [f"{one['level']}: {one['text']}" for one in found if subject in one["subject"]]
    assert [line[: len(text)] for line, text in zip(lines, begins, strict=True)] == begins
    assert len({one["subject"] for one in found}) >= 4
    assert "hidden" not in str(found)


@pytest.mark.parametrize("action", sorted({*PERMISSIONS} - {"sts:GetCallerIdentity", "cloudformation:DescribeStacks"}))
def test_check_without_an_answer_ends_alone(account: Account, action: str) -> None:
    """A denied call or an outage is a warning that names the permission; the other checks still run."""
    prepare(account, tables={CREDIT: OWN})

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://nowhere")

    for failing in (refuse("AccessDeniedException", times=99), unreachable):
        account.wire.before[action.replace("ses:", "sesv2:").replace(":", ".")] = failing
        found = account.findings()
        texts = [one["text"] for one in found if one["level"] == "warn"]
        assert any(re.match(f"not readable: {action}: .*→ allow it, or check by hand$", text) for text in texts)
        assert not any(one["level"] == "stop" for one in found)
        assert len({one["subject"] for one in found}) >= 5


def test_account_that_is_ready_is_only_read(account: Account, capsys: Print) -> None:
    """Exit 0; each call is a Describe, Get or List, and docs/adopting.md has each permission that is used."""
    prepare(account, tables={CREDIT: OWN})
    account.answer("sesv2.GetEmailIdentity", VerifiedForSendingStatus=True, ConfigurationSetName="mails")
    assert account.run() == 0
    where, *lines, counted = capsys.readouterr().out.splitlines()
    assert where.startswith(f"ok  where  account 123456789012, {REGION}, stack {STACK}, as arn:aws:sts::")
    assert lines[-1].endswith("verified for sending, by its configuration set mails")
    assert counted == "0 stop, 1 warn, 9 ok."
    asked = {f"{call.service}:{call.operation}".replace("sesv2:", "ses:") for call in account.wire.calls}
    assert asked == {*PERMISSIONS}
    assert all(re.match(r"(Describe|Get|List)[A-Z]", call.operation) for call in account.wire.calls)
    policies = map(json.loads, blocks(ROOT / "docs" / "adopting.md", "json"))
    [statement] = next(policy["Statement"] for policy in policies if "PreflightReads" in str(policy))
    assert (statement["Effect"], set(statement["Action"])) == ("Allow", {*PERMISSIONS} - {"sts:GetCallerIdentity"})


def test_indexes_are_added_by_the_documented_commands(account: Account) -> None:
    """After the commands of docs/adopting.md a live table is as preflight expects it."""
    name, bare = "CreditCardNotifyTable-prod", keyed(chargeId="S", notificationId="S")
    keys = bare["AttributeDefinitions"]
    account.given["ExistingCreditCardNotifyTable"] = name
    account.client("dynamodb").create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **bare)
    levels = [line.split(":")[0] for line in about(account, f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "stop", "stop", "stop", "warn"]
    asked = [aws_request(command) for command in commands() if command.words[0] == "aws" and name in command.words]
    for _, operation, request in asked:
        if operation == "UpdateTable":  # AWS keeps the attributes that the table has; moto takes the new ones for all
            keys += [a for a in request["AttributeDefinitions"] if a not in keys]
            request["AttributeDefinitions"] = keys
        if operation.startswith("Update"):
            getattr(account.client("dynamodb"), xform_name(operation))(**request)
    levels = [line.split(":")[0] for line in about(account, f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "ok", "ok", "ok", "ok"]


def test_what_is_not_given_remains_as_deployed(account: Account) -> None:
    """A parameter that samconfig.toml does not give is the deployed stack's, as with `sam deploy`, and is printed."""
    del account.given["ErrorMailFrom"]
    had = {"ErrorMailFrom": "kept@local.example", "Branch": "another", "Gone": "x"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in had.items()]
    account.stack = {"StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}
    kept = "ok: kept from the deployed stack, since samconfig.toml gives none: ErrorMailFrom=kept@local.example"
    assert about(account, "parameters") == [kept]
    assert about(account, "SES identity kept@")[0].startswith(ABSENT)


@pytest.mark.parametrize(
    ("files", "given", "error"),
    [
        *(([text], "", "samconfig.toml cannot be read") for text in BROKEN),
        (["version = 0.1\n[prod.deploy]"], "", "has no environment default; it has prod"),
        ([EMPTY], "", "gives default no stack_name: name the stack"),
        ([EMPTY], "--stack s", "Template file not found at template.yaml"),
        ([EMPTY, "5"], "--stack s", "template.yaml is no template"),
    ],
)
def test_unreadable_file_is_exit_2(tmp_path: Path, capsys: Print, files: list[str], given: str, error: str) -> None:
    """Without an environment, a stack or a template there is nothing to check."""
    for name, text in zip(("samconfig.toml", "template.yaml"), files, strict=False):
        (tmp_path / name).write_text(text, encoding="latin-1")
    with contextlib.chdir(tmp_path):
        assert main(["preflight", *given.split()]) == 2
    assert error in capsys.readouterr().err


def test_place_and_parameters_are_those_that_sam_would_take(account: Account, tmp_path: Path) -> None:
    """An option, else samconfig.toml's own or global section, as the SAM CLI reads it, else the environment."""
    config = tmp_path / "other.toml"
    of_all = f'[test.global.parameters]\nregion = "eu-west-1"\nstack_name = "{STACK}"'
    own = 'profile = "shop"\nparameter_overrides = "Branch=x ErrorMailFrom=\'Pay <a@b.c>\'"'
    config.write_text(f"version = 0.1\n{of_all}\n[test.deploy.parameters]\n{own}\n")
    _Session.asked.clear()
    for options in ((), ("--region", "eu-north-1", "--parameter", "Branch=y")):
        subjects = {one["subject"] for one in account.findings("--config-file", str(config), *options)}
        branch = "y" if options else "x"
        assert {f"ProcessPaidOrder payment3-process-paid-order-{branch}", "SES identity Pay <a@b.c>"} <= subjects
    regions = ("eu-west-1", "eu-north-1")
    assert _Session.asked == [{"region_name": region, "profile_name": "shop"} for region in regions]


def test_missing_sam_cli_is_named(monkeypatch: Patch, capsys: Print) -> None:
    """An operator's installation may be without the SAM CLI: exit 2, and what to install."""
    monkeypatch.setitem(sys.modules, "samcli.cli.types", None)
    monkeypatch.delitem(sys.modules, "followups.preflight")
    assert main(["preflight"]) == 2
    assert capsys.readouterr().err.endswith("pip install aws-sam-cli\n")
