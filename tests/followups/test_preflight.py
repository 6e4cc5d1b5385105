"""`followups preflight`: what a deployment needs of an account is checked before it, by calls that only read."""

import contextlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.exceptions import EndpointConnectionError

from followups.cli import main
from followups.preflight import PERMISSIONS, read_environment, read_template
from local.emulator import REGION, ROOT
from tests.support.account import PROCESS, STACK, Account
from tests.support.aws import _Session, moto
from tests.support.documents import aws_request, blocks, commands
from tests.support.recorded_calls import Call, RecordedCalls, refuse

READ = cache(read_template)
Print = pytest.CaptureFixture[str]


@pytest.fixture
def account(wire: RecordedCalls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Print) -> Iterator[Account]:
    """An account before a deployment; the template, which takes the longest to read, is read once for all tests."""
    monkeypatch.setattr("followups.preflight.read_template", READ)
    with moto(monkeypatch):
        account = Account(wire, tmp_path, capsys)
        wire.answers["kms.DescribeKey"] = lambda call: {"KeyMetadata": {"KeyManager": call.request["KeyId"][:3]}}
        yield account


def prepare(
    account: Account, secret: str = "", tables: dict[str, dict[str, Any]] | None = None, **changes: dict[str, Any]
) -> None:
    """Change what there is: parameters, functions, identities, SES; the secret; live tables, and what differs there."""
    for place, values in changes.items():
        getattr(account, place).update(values)
    if secret:
        account.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=secret)
    for logical, differs in (tables or {}).items():
        account.given[f"Existing{logical}"] = "live"
        account.make_table("live", logical)
        live = account.client("dynamodb").describe_table(TableName="live")["Table"]
        account.answer("dynamodb.DescribeTable", Table=live | differs)
        if lives := differs.get("lives"):
            account.answer("dynamodb.DescribeTimeToLive", TimeToLiveDescription=lives)


def sender(identity: str) -> dict[str, Any]:
    """The changes for an identity of the sender that is verified, by which it is named."""
    return {"identities": {identity: True}, "given": {"ErrorMailIdentity": identity}}


def key_schema(*keys: str) -> list[dict[str, str]]:
    """A key of a table or an index."""
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def attributes(**types: str) -> list[dict[str, str]]:
    """Key attributes by name."""
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def said(account: Account, subject: str) -> list[str]:
    """The findings on what begins so: level, text, and what to do."""
    return [f"{one['level']}: {one['text']}" for one in account.findings() if one["subject"].startswith(subject)]


def begins(found: list[str], says: list[str]) -> bool:
    """Whether each line begins as it should."""
    return [line[: len(text)] for line, text in zip(found, says, strict=True)] == says


# --- findings ---


def test_account_that_is_ready_stops_nothing(account: Account, capsys: Print) -> None:
    """Who and where first, one line for each thing, exit 0; nothing is asked of the person."""
    account.answer("sesv2.GetEmailIdentity", VerifiedForSendingStatus=True, ConfigurationSetName="mails")
    assert account.run() == 0
    where, *lines, counted = capsys.readouterr().out.splitlines()
    assert where.startswith(f"ok  where  account 123456789012, {REGION}, stack {STACK}, as arn:aws:sts::")
    assert [line.split()[:2] for line in lines] == [["ok", what] for what in ("ProcessPaidOrder", "secret", "SES")]
    assert lines[2].endswith("verified for sending, by its configuration set mails")
    assert counted == "0 stop, 0 warn, 4 ok."


ABSENT, UNVERIFIED = "stop: it does not exist → create it", "stop: not verified for sending → verify it"
SECRET, NO_SECRET = "secret payment3/kbank", "stop: it is no JSON with a secretKey that is a text → store {"
SANDBOX = {"ses": {"ProductionAccessEnabled": False, "SendingEnabled": False}}
HEARD: dict[str, Any] = {"ses": {"ProductionAccessEnabled": False}, "identities": {"a@one.example": True}}
HEARD["given"] = {"ErrorMailTo": "a@one.example"}
PAUSED = "warn: sending is paused"
ONE = "warn: in the sandbox one verified recipient can be allowed, of 2"
CREDIT, ORDERS, PAYMENTS, ERRORS = (
    f"{name}Table" for name in ("CreditCardNotify", "Order", "CardPaymentRecord", "CallbackErrorLog")
)
WRONG, EXPIRES = "stop: its key: {}; expected {} → a key cannot be changed", "ok: its time to live: expiresAt"
KEYS = [
    "ok: its key: chargeId (S) + notificationId (S)",
    "ok: its index due: sweepShard (N) + sweepAt (S)",
    "ok: its index order: orderId (S)",
    "ok: its index failed: failedShard (N) + failedAt (S)",
]
DUE = {"IndexName": "due", "IndexStatus": "CREATING", "KeySchema": key_schema("sweepShard", "sweepAt")}
OTHER = {"IndexName": "order", "KeySchema": key_schema("orderId", "failedAt")}
ADD = " → docs/adopting.md, Add the indexes"
LOST = [
    "stop: its index due: sweepShard (N) + sweepAt (S), CREATING; expected sweepShard (N) + sweepAt (S)" + ADD,
    "stop: its index order: orderId (S) + failedAt (S); expected orderId (S)" + ADD,
    "stop: its index failed: none; expected failedShard (N) + failedAt (S)" + ADD,
]
OWN, AWS = ({"SSEDescription": {"KMSMasterKeyArn": key}} for key in ("own", "AWS"))
SEALED = "warn: encrypted under a key of your own, own → name it as KmsKeyArn"
OTHER_LIFE = {"lives": {"TimeToLiveStatus": "ENABLING", "AttributeName": "ttl"}}
NO_LIFE = {"lives": {"TimeToLiveStatus": "DISABLED"}}


def another_key(**types: str) -> dict[str, Any]:
    """How a live table with such a key differs."""
    return {"AttributeDefinitions": attributes(**types), "KeySchema": key_schema(*types)}


@pytest.mark.parametrize(
    ("changes", "subject", "says"),
    [
        ({"given": {"ExistingOrdersTable": "a"}}, "ExistingOrdersTable", ["stop: the template has no such parameter"]),
        ({"given": {"ExistingOrderTable": "ordres"}}, "OrderTable ordres", [ABSENT]),
        ({"given": {"ProcessPaidOrderFunction": "pay"}}, "ProcessPaidOrder pay", [ABSENT]),
        ({"given": {"KBankSecretId": "no"}}, "secret no", [ABSENT]),
        ({"given": {"ErrorMailIdentity": "local.example"}}, "SES identity", [ABSENT]),
        ({"functions": {PROCESS: {"Timeout": 60}}}, PROCESS, ["ok: its timeout of 60 s fits PassTimeoutSeconds=60"]),
        ({"functions": {PROCESS: {"Timeout": 61}}}, PROCESS, ["warn: it may run 61 s, a pass only 60: "]),
        ({"functions": {PROCESS: {"State": "Failed"}}}, PROCESS, ["stop: its state is Failed"]),
        ({"identities": {"payment3@local.example": False}}, "SES identity", [UNVERIFIED]),
        (sender("local.example"), "SES identity", ["ok: verified for sending"]),
        (sender("ocal.example"), "SES identity", ["stop: it does not cover the sender"]),
        (
            SANDBOX | {"identities": {"a@one.example": True}},
            "SES",
            ["ok", PAUSED, f"{ONE}, and b@two.example is not verified → "],
        ),
        (
            SANDBOX | {"identities": {"two.example": True}},
            "SES",
            ["ok", PAUSED, f"{ONE}, and a@one.example is not verified → "],
        ),
        (HEARD, "SES", ["ok"]),
        (HEARD | {"given": {"ErrorMailTo": "a@one.example,b@one.example"}}, "SES", ["ok", f"{ONE}, and b@one.example"]),
        ({"secret": '{"secretKey": "skey_hidden"}'}, SECRET, ["ok: it has the key current"]),
        ({"secret": '{"secretKey": "a", "previousSecretKey": "b"}'}, SECRET, ["ok: it has the key current and the p"]),
        ({"secret": '\ufeff{"secretKey": "hidden\\n"} '}, SECRET, ["ok: it has the key current"]),
        ({"secret": '{"key": "hidden"}'}, SECRET, [NO_SECRET]),
        ({"secret": '{"secretKey": ""}'}, SECRET, [NO_SECRET]),
        ({"secret": '["hidden"]'}, SECRET, [NO_SECRET]),
        ({"secret": "skey_hidden"}, SECRET, [NO_SECRET]),
        ({"secret": "[" * 60_000}, SECRET, [NO_SECRET]),
        ({"tables": {CREDIT: {}}}, CREDIT, [*KEYS, EXPIRES]),
        ({"tables": {PAYMENTS: {}}}, PAYMENTS, ["ok: its key: chargeId (S)"]),
        ({"tables": {ERRORS: {}}}, ERRORS, ["ok: its key: errorId (S)", EXPIRES]),
        ({"tables": {ORDERS: {}}}, ORDERS, ["ok: its key: orderId (S)"]),
        ({"tables": {ORDERS: another_key(id="S")}}, ORDERS, [WRONG.format("id (S)", "orderId (S)")]),
        ({"tables": {ORDERS: another_key(orderId="N")}}, ORDERS, [WRONG.format("orderId (N)", "orderId (S)")]),
        ({"tables": {CREDIT: {"TableStatus": "UPDATING"}}}, CREDIT, ["warn: it is UPDATING → ", *KEYS, EXPIRES]),
        ({"tables": {CREDIT: {"GlobalSecondaryIndexes": [DUE, OTHER]}}}, CREDIT, [KEYS[0], *LOST, EXPIRES]),
        ({"tables": {CREDIT: OTHER_LIFE}}, CREDIT, [*KEYS, "warn: its time to live: ttl; expected e"]),
        ({"tables": {CREDIT: NO_LIFE}}, CREDIT, [*KEYS, "warn: its time to live: none; "]),
        ({"tables": {ORDERS: OWN}}, ORDERS, ["ok: its key: orderId (S)", SEALED]),
        ({"tables": {ORDERS: OWN}, "given": {"KmsKeyArn": "own"}}, ORDERS, ["ok: its key: orderId (S)"]),
        ({"tables": {ORDERS: AWS}}, ORDERS, ["ok: its key: orderId (S)"]),
    ],
)
def test_finding_has_its_level_its_text_and_what_to_do(
    account: Account, changes: dict[str, Any], subject: str, says: list[str]
) -> None:
    """Exit code 1 where it stops; the rest is checked all the same, and nothing secret is printed."""
    account.given |= {"PassTimeoutSeconds": "60", "ErrorMailTo": "a@one.example, b@two.example"}
    prepare(account, **changes)
    found = account.findings()
    lines = [f"{one['level']}: {one['text']}" for one in found if subject in one["subject"]]
    assert begins(lines, says), lines
    assert len({one["subject"] for one in found}) >= 4
    assert "hidden" not in str(found)


@pytest.mark.parametrize("action", sorted({*PERMISSIONS} - {"sts:GetCallerIdentity", "cloudformation:DescribeStacks"}))
def test_check_without_an_answer_ends_alone(account: Account, action: str) -> None:
    """A denied call and an outage are a finding each, which names the permission, stops nothing, and hides nothing."""
    prepare(account, tables={CREDIT: OWN})

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://nowhere")

    for failing in (refuse("AccessDeniedException", times=99), unreachable):
        account.wire.before[action.replace("ses:", "sesv2:").replace(":", ".")] = failing
        found = account.findings()
        denied = [one for one in found if one["text"].startswith(f"not readable: {action}: ")]
        assert {(one["level"], one["text"].endswith("→ allow it, or check by hand")) for one in denied} == {
            ("warn", True)
        }
        assert len({one["subject"] for one in found}) >= 5


def test_every_call_only_reads_and_is_among_the_permissions(account: Account) -> None:
    """No call but Describe, Get and List; each permission is used, none is missing, and docs/adopting.md has them."""
    prepare(account, tables={CREDIT: OWN})
    account.run()
    asked = {f"{call.service}:{call.operation}".replace("sesv2:", "ses:") for call in account.wire.calls}
    assert asked == {*PERMISSIONS}
    assert all(re.match(r"(Describe|Get|List)[A-Z]", call.operation) for call in account.wire.calls)
    policies = map(json.loads, blocks(ROOT / "docs" / "adopting.md", "json"))
    [statement] = next(policy["Statement"] for policy in policies if "PreflightReads" in str(policy))
    assert (statement["Effect"], set(statement["Action"])) == ("Allow", {*PERMISSIONS} - {"sts:GetCallerIdentity"})


def test_indexes_are_added_by_the_documented_commands(account: Account) -> None:
    """One index in an update, then the time to live: a live table is as preflight expects it."""
    name, keys = "CreditCardNotifyTable-prod", attributes(chargeId="S", notificationId="S")
    bare = {"AttributeDefinitions": keys, "KeySchema": key_schema("chargeId", "notificationId")}
    account.given["ExistingCreditCardNotifyTable"] = name
    account.client("dynamodb").create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **bare)
    levels = [line.split(":")[0] for line in said(account, f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "stop", "stop", "stop", "warn"]
    asked = [aws_request(command) for command in commands() if command.words[0] == "aws" and name in command.words]
    for _, operation, request in asked:
        if operation == "UpdateTable":  # AWS keeps the attributes that the table has; moto takes the new ones for all
            keys += [a for a in request["AttributeDefinitions"] if a not in keys]
            request["AttributeDefinitions"] = keys
        if operation.startswith("Update"):
            getattr(account.client("dynamodb"), xform_name(operation))(**request)
    levels = [line.split(":")[0] for line in said(account, f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "ok", "ok", "ok", "ok"]


# --- parameters ---


def test_what_is_not_given_remains_as_deployed(account: Account) -> None:
    """As with `sam deploy`: samconfig.toml, else what the stack has, else the default; what is kept is printed."""
    del account.given["ErrorMailFrom"]
    had = {"ErrorMailFrom": "kept@local.example", "Branch": "another", "Gone": "x"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in had.items()]
    account.stack = {"StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}
    kept = "ok: kept from the deployed stack, since samconfig.toml gives none: ErrorMailFrom=kept@local.example"
    assert said(account, "parameters") == [kept]
    assert said(account, "SES identity kept@")[0].startswith(ABSENT)


@pytest.mark.parametrize(
    "overrides",
    [
        '["Branch=x", "ErrorMailTo=\'a@b.c, d@e.f\'", "AlarmTopicArn=\'\'"]',
        "\"Branch=x ErrorMailTo='a@b.c, d@e.f' AlarmTopicArn=''\"",
        '{ Branch = "x", ErrorMailTo = "a@b.c, d@e.f", AlarmTopicArn = "" }',
        '["ParameterKey=Branch,ParameterValue=x", "ErrorMailTo=\\"a@b.c, d@e.f\\"", "AlarmTopicArn=\'\'"]',
    ],
)
def test_every_form_of_overrides_is_read(tmp_path: Path, overrides: str) -> None:
    """A list, a text, a table, and the long form, as SAM takes them; profile and region, too."""
    config = tmp_path / "samconfig.toml"
    place = 'region = "eu-west-1"\nstack_name = "s"\n[a.deploy.parameters]\nprofile = "shop"'
    config.write_text(f"version = 0.1\n[a.global.parameters]\n{place}\nparameter_overrides = {overrides}\n")
    given = {"Branch": "x", "ErrorMailTo": "a@b.c, d@e.f", "AlarmTopicArn": ""}
    assert read_environment(config, "a") == ("s", given, {"region_name": "eu-west-1", "profile_name": "shop"})


EMPTY = "version = 0.1\n[default.deploy]"


@pytest.mark.parametrize(
    ("files", "options", "says"),
    [
        ([], "", "has no environment default; it has none"),
        (["["], "", "samconfig.toml cannot be read"),
        (["version = 0.1\n[prod.deploy]"], "", "has no environment default; it has prod"),
        ([EMPTY], "", "gives default no stack_name: name the stack"),
        ([EMPTY], "--stack s --parameter Branch", "Branch is not a valid format"),
        ([EMPTY], "--stack s", "Template file not found at template.yaml"),
        ([EMPTY, "5"], "--stack s", "template.yaml is no template"),
    ],
)
def test_files_that_cannot_be_read_are_exit_code_2(
    tmp_path: Path, capsys: Print, files: list[str], options: str, says: str
) -> None:
    """Without an environment, a stack or a template there is nothing to check, and AWS is not called."""
    for name, text in zip(("samconfig.toml", "template.yaml"), files, strict=False):
        (tmp_path / name).write_text(text)
    with contextlib.chdir(tmp_path):
        assert main(["preflight", *options.split()]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("options", [{}, {"--region": "eu-north-1"}])
def test_place_is_the_one_that_sam_would_deploy_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    """An option, else samconfig.toml's profile and region, else the environment."""
    (tmp_path / "samconfig.toml").write_text(
        'version = 0.1\n[default.deploy.parameters]\nstack_name = "s"\nregion = "eu-west-1"'
    )
    (tmp_path / "template.yaml").write_text("Parameters: {}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boto3, "Session", _Session)
    _Session.asked.clear()
    monkeypatch.setattr("followups.preflight._findings", lambda stack, *_: iter([stack.client("sts")][:0]))
    assert main(["preflight", *(word for pair in options.items() for word in pair)]) == 0
    assert _Session.asked == [{"region_name": options.get("--region", "eu-west-1")}]
