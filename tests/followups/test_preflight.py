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
from followups.preflight import PERMISSIONS, TABLES, declared_parameters, key_text, read_environment
from local.emulator import REGION, ROOT
from tests.support.account import PROCESS, STACK, Account, made
from tests.support.aws import _Session
from tests.support.documents import aws_request, commands
from tests.support.recorded_calls import Call, RecordedCalls, refuse
from tests.support.template import source

DECLARED = cache(declared_parameters)
NOTIFY = "CreditCardNotifyTable orders-paid"
Print = pytest.CaptureFixture[str]


@pytest.fixture
def account(wire: RecordedCalls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Print) -> Iterator[Account]:
    """An account before a deployment; the template, which takes the longest to read, is read once for all tests."""
    monkeypatch.setattr("followups.preflight.declared_parameters", DECLARED)
    with made(wire, monkeypatch, tmp_path, capsys) as account:
        yield account


@pytest.fixture
def live(account: Account) -> Account:
    """An account whose CreditCardNotifyTable is there already, and as ours."""
    account.given["ExistingCreditCardNotifyTable"] = "orders-paid"
    account.make_table("orders-paid", "CreditCardNotifyTable")
    return account


def key_schema(*keys: str) -> list[dict[str, str]]:
    """A key of a table or an index."""
    return [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def attributes(**types: str) -> list[dict[str, str]]:
    """Key attributes by name."""
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def make_sealed_table(account: Account) -> str:
    """Make an error log under a key of one's own, and return that key."""
    key: str = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    sealed = {"SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}}
    account.given["ExistingCallbackErrorLogTable"] = "errors"
    account.make_table("errors", "CallbackErrorLogTable", **sealed)
    return key


def test_account_that_is_ready_stops_nothing(account: Account, capsys: Print) -> None:
    """Who and where first, one line for each thing, exit 0; nothing is asked of the person."""
    assert account.run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"ok  where  account 123456789012, {REGION}, stack {STACK}, as arn:aws:sts::")
    assert lines[-1] == "0 stop, 0 warn, 4 ok."
    assert len(lines) == 5
    assert {line.split("  ")[0] for line in lines[:-1]} == {"ok"}


@pytest.mark.parametrize("call", ["sts.GetCallerIdentity", "cloudformation.DescribeStacks"])
def test_account_that_cannot_be_known_is_exit_code_2(account: Account, capsys: Print, call: str) -> None:
    """Everything else depends on who asks, and on what the stack was deployed with."""
    account.wire.before[call] = refuse("ExpiredToken")
    assert account.run() == 2
    assert "ExpiredToken" in capsys.readouterr().err


SENDER, TIMEOUT = "stop: not verified for sending -> verify it", "ok: its timeout of 60 s fits PassTimeoutSeconds"


@pytest.mark.parametrize(
    ("place", "setting", "subject", "says"),
    [
        ("given", {"ExistingOrdersTable": "a"}, "ExistingOrdersTable", "stop: the template has no such parameter"),
        ("given", {"ExistingOrderTable": "ordres"}, "OrderTable ordres", "stop: it does not exist -> create it, or"),
        ("given", {"ProcessPaidOrderFunction": "pay"}, "ProcessPaidOrder pay", "stop: it does not exist -> "),
        ("functions", {PROCESS: {"Timeout": 60}}, "ProcessPaidOrder", TIMEOUT),
        ("functions", {PROCESS: {"Timeout": 61}}, "ProcessPaidOrder", "warn: it may run 61 s, a pass only 60: "),
        ("functions", {PROCESS: {"State": "Failed"}}, "ProcessPaidOrder", "stop: its state is Failed"),
        ("given", {"KBankSecretId": "no"}, "secret no", "stop: it does not exist"),
        ("identities", {"payment3@local.example": False}, "SES identity", SENDER),
        ("given", {"ErrorMailIdentity": "local.example"}, "SES identity", "stop: it does not exist"),
        ("identities", {"local.example": True}, "SES identity", "ok: verified for sending"),
        ("identities", {"ocal.example": True}, "SES identity", "stop: it does not cover the sender"),
    ],
)
def test_finding_has_its_level_its_text_and_what_to_do(
    account: Account, place: str, setting: dict[str, Any], subject: str, says: str
) -> None:
    """On its own line, with the exit code 1 where it stops; the rest is checked all the same."""
    account.given["PassTimeoutSeconds"] = "60"
    getattr(account, place).update(setting)
    if place == "identities":
        account.given["ErrorMailIdentity"] = next(iter(setting))
    assert account.said(subject)[0].startswith(says)
    assert len({one["subject"] for one in account.findings()}) >= 4


def test_check_without_an_answer_ends_alone(account: Account) -> None:
    """An outage, or a secret that is marked for deletion, is one finding; the other checks go on."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://email.nowhere")

    account.answer("sesv2.GetEmailIdentity", VerifiedForSendingStatus=True, ConfigurationSetName="mails")
    assert account.said("SES identity") == ["ok: verified for sending, by its configuration set mails"]
    account.wire.before["sesv2.GetEmailIdentity"] = unreachable
    account.client("secretsmanager").delete_secret(SecretId="payment3/kbank")
    assert account.said("SES identity")[0].startswith("warn: not readable: ses:GetEmailIdentity: Could not connect")
    account.wire.before["sesv2.GetEmailIdentity"] = unreachable
    assert account.said("secret")[0].startswith("warn: not readable: secretsmanager:GetSecretValue: ")


@pytest.mark.parametrize(
    ("logical", "changes", "says"),
    [
        (
            "CreditCardNotifyTable",
            {},
            [
                "ok: its key: chargeId (S) + notificationId (S)",
                "ok: its index due: sweepShard (N) + sweepAt (S)",
                "ok: its index order: orderId (S)",
                "ok: its index failed: failedShard (N) + failedAt (S)",
                "ok: its time to live: expiresAt",
            ],
        ),
        ("CardPaymentRecordTable", {}, ["ok: its key: chargeId (S)"]),
        ("OrderTable", {}, ["ok: its key: orderId (S)"]),
        ("CallbackErrorLogTable", {}, ["ok: its key: errorId (S)", "ok: its time to live: expiresAt"]),
        ("CreditCardNotifyTable", {"chargeId": "S"}, ["stop: its key: chargeId (S); expected chargeId (S) + notif"]),
        ("CreditCardNotifyTable", {"notificationId": "S", "chargeId": "S"}, ["stop: its key: notificationId (S) + "]),
        ("CreditCardNotifyTable", {"chargeId": "S", "notificationId": "N"}, ["stop: its key: chargeId (S) + notif"]),
        ("OrderTable", {"id": "B"}, ["stop: its key: id (B); expected orderId (S) -> a key cannot be changed"]),
    ],
)
def test_tables_key_is_held_against_the_template(
    account: Account, logical: str, changes: dict[str, str], says: list[str]
) -> None:
    """Found and expected, names, order and types, before production finds it; what grows needs a time to live."""
    account.given[f"Existing{logical}"] = "live"
    schema = {"AttributeDefinitions": attributes(**changes), "KeySchema": key_schema(*changes)}
    account.make_table("live", logical, **(schema | {"GlobalSecondaryIndexes": None} if changes else {}))
    found = account.said(f"{logical} live")
    assert all(line.startswith(text) for line, text in zip(found, says, strict=False))
    assert changes or len(found) == len(says)


@pytest.mark.parametrize(
    ("call", "answer", "place", "says"),
    [
        (
            "DescribeTimeToLive",
            {"AttributeName": "ttl"},
            -1,
            "warn: its time to live: ttl; expected expiresAt -> ",
        ),
        (
            "DescribeTimeToLive",
            {"TimeToLiveStatus": "DISABLED"},
            -1,
            "warn: its time to live: none; expected expiresAt",
        ),
        ("DescribeTable", {"TableStatus": "UPDATING"}, 4, "warn: it is UPDATING -> "),
    ],
)
def test_table_that_is_not_ready_is_a_warning(
    live: Account, call: str, answer: dict[str, str], place: int, says: str
) -> None:
    """It works, and somebody should know."""
    table = live.client("dynamodb").describe_table(TableName="orders-paid")["Table"] | answer
    answers = {"Table": table, "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED"} | answer}
    live.answer(f"dynamodb.{call}", **answers)
    assert live.said(NOTIFY)[place].startswith(says)


def test_indexes_are_held_against_the_template(live: Account) -> None:
    """One that is being made, one on another key, and one that is missing: an index cannot be changed."""
    table = live.client("dynamodb").describe_table(TableName="orders-paid")["Table"]
    indexes = {one["IndexName"]: dict(one) for one in table["GlobalSecondaryIndexes"]}
    due, order = indexes["due"] | {"IndexStatus": "CREATING"}, indexes["order"]
    order["KeySchema"] = key_schema("orderId", "failedAt")
    live.answer("dynamodb.DescribeTable", Table=table | {"GlobalSecondaryIndexes": [due, order]})
    assert [line.split(" -> ")[0] for line in live.said(NOTIFY)[1:5]] == [
        "ok: its index due: sweepShard (N) + sweepAt (S)",
        "stop: its index order: orderId (S) + failedAt (S); expected orderId (S)",
        "stop: its index failed: none; expected failedShard (N) + failedAt (S)",
        "warn: its index due is CREATING",
    ]


def test_key_of_ones_own_is_a_warning(account: Account) -> None:
    """A table under a key that KmsKeyArn does not name needs kms:Decrypt for the roles; AWS's own keys need nothing."""
    key = make_sealed_table(account)
    says = f"warn: encrypted under a key of your own, {key} -> "
    assert account.said("CallbackErrorLogTable")[-1].startswith(says)
    account.given["KmsKeyArn"] = key
    assert not account.said("CallbackErrorLogTable")[-1].startswith(says)
    del account.given["KmsKeyArn"]
    account.answer("kms.DescribeKey", KeyMetadata={"KeyManager": "AWS"})
    assert not account.said("CallbackErrorLogTable")[-1].startswith(says)


def test_every_call_only_reads_and_is_among_the_permissions(live: Account) -> None:
    """No call but Describe, Get and List; each permission is used, and none is missing."""
    make_sealed_table(live)
    live.run()
    asked = {f"{call.service}:{call.operation}".replace("sesv2:", "ses:") for call in live.wire.calls}
    assert asked == {*PERMISSIONS}
    assert all(re.match(r"(Describe|Get|List)[A-Z]", call.operation) for call in live.wire.calls)


def test_documented_policy_is_what_it_needs() -> None:
    """docs/adopting.md holds the permissions as a policy to copy."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "adopting.md").read_text(), re.DOTALL)
    [policy] = [json.loads(block) for block in blocks if "PreflightReads" in block]
    [statement] = policy["Statement"]
    assert (statement["Effect"], set(statement["Action"])) == ("Allow", {*PERMISSIONS} - {"sts:GetCallerIdentity"})


@pytest.mark.parametrize(
    "action", sorted({*PERMISSIONS} - {"sts:GetCallerIdentity", "cloudformation:DescribeStacks", "kms:DescribeKey"})
)
def test_denied_call_is_a_finding_that_names_the_permission(live: Account, action: str) -> None:
    """It stops nothing, and hides nothing else."""
    live.wire.before[action.replace("ses:", "sesv2:").replace(":", ".")] = refuse("AccessDeniedException", times=99)
    found = live.findings()
    [denied] = [one for one in found if one["text"].startswith(f"not readable: {action}: ")]
    assert (denied["level"], denied["todo"]) == ("warn", "allow it, or check by hand")
    assert len({one["subject"] for one in found}) >= 4


def test_keys_are_the_templates() -> None:
    """What is expected of a live table is what the template makes."""
    for logical, (key, indexes, expires) in TABLES.items():
        table = source()["Resources"][logical]["Properties"]
        assert key_text(table, table) == key
        made = {one["IndexName"]: key_text(one, table) for one in table.get("GlobalSecondaryIndexes", [])}
        assert made == indexes
        assert ("TimeToLiveSpecification" in table) == expires


def test_indexes_are_added_by_the_documented_commands(account: Account) -> None:
    """One index in an update, then the time to live: a live table is as preflight expects it."""
    account.given["ExistingCreditCardNotifyTable"] = name = "CreditCardNotifyTable-prod"
    keys = attributes(chargeId="S", notificationId="S")
    schema = key_schema("chargeId", "notificationId")
    account.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=keys, KeySchema=schema
    )
    levels = [line.split(":")[0] for line in account.said(f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "stop", "stop", "stop", "warn"]
    asked = [aws_request(command) for command in commands() if command.words[0] == "aws" and name in command.words]
    for _, operation, request in asked:
        if operation == "UpdateTable":  # AWS keeps the attributes that the table has; moto takes the new ones for all
            keys = request["AttributeDefinitions"] = keys + [
                a for a in request["AttributeDefinitions"] if a not in keys
            ]
        if operation.startswith("Update"):
            getattr(account.client("dynamodb"), xform_name(operation))(**request)
    levels = [line.split(":")[0] for line in account.said(f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "ok", "ok", "ok", "ok"]


def test_what_is_not_given_stays_as_deployed(account: Account) -> None:
    """As with `sam deploy`: samconfig.toml, else what the stack has, else the default; what is kept is printed."""
    del account.given["ErrorMailFrom"]
    had = {"ErrorMailFrom": "kept@local.example", "Branch": "another", "Gone": "x"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in had.items()]
    account.stack = {"StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}
    assert account.said("parameters") == [
        "ok: kept from the deployed stack, since samconfig.toml gives none: ErrorMailFrom=kept@local.example"
    ]
    assert account.said("SES identity")[0].startswith("stop: it does not exist")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"secretKey": "skey_hidden"}', "ok: it has the key current"),
        ('{"secretKey": "skey_hidden", "previousSecretKey": "hidden"}', "ok: it has the key current and the previous"),
        ('{"secretKey": "skey_hidden", "password": "hunter22"}', "warn: it has fields that nobody reads"),
        ('{"secretKey": "skey_hidden", "previousSecretKey": 5}', "warn: it has fields that nobody reads"),
        ('{"key": "skey_hidden"}', "stop: it is no JSON with a secretKey that is a text"),
        ('{"secretKey": ""}', "stop: it is no JSON with a secretKey that is a text"),
        ('["skey_hidden"]', "stop: it is no JSON with a secretKey that is a text"),
        ("skey_hidden", "stop: it is no JSON with"),
        ("[" * 60_000, "stop: it is no JSON with"),
    ],
)
def test_shape_of_the_secret_is_checked(account: Account, capsys: Print, text: str, says: str) -> None:
    """Preflight prints which fields it lacks, never what it holds nor how long that is."""
    account.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=text)
    [said] = account.said("secret payment3/kbank")
    assert said.startswith(says)
    assert not re.search(r"\d", said)
    account.run()
    printed = capsys.readouterr()
    assert not any(word in printed.out + printed.err for word in ("hidden", "hunter22"))


def test_sandbox_reaches_only_verified_recipients(account: Account) -> None:
    """Recipients by address or by domain; those who would get no mail are named."""
    account.ses = {"ProductionAccessEnabled": False, "SendingEnabled": False}
    account.given["ErrorMailTo"] = "a@local.example, b@other.example"
    paused, deaf, several = [line for line in account.said("SES") if "verified for" not in line]
    assert paused.startswith("warn: sending is paused")
    assert several.startswith("warn: in the sandbox one recipient can be allowed, and ErrorMailTo has 2 -> name one")
    assert deaf.startswith("warn: in the sandbox only verified recipients get mails, and 2 of 2 are not -> verify a@")
    account.identities |= {"a@local.example": True, "other.example": True}
    account.given["ErrorMailTo"] = "a@local.example"
    assert "sandbox" not in "".join(account.said("SES"))


@pytest.mark.parametrize("name", ["default", "prod"])
def test_our_own_environments_are_read(name: str) -> None:
    """Each environment of the repository's samconfig.toml; its parameters are the template's."""
    environment = read_environment(ROOT / "samconfig.toml", name)
    branch = "dev" if name == "default" else name
    assert environment.stack == f"payment3-follow-up-{branch}"
    assert environment.given["Branch"] == branch
    assert environment.given.keys() <= source()["Parameters"].keys()


@pytest.mark.parametrize(
    "overrides",
    [
        '["Branch=x", "ErrorMailTo=a@b.c, d@e.f", "AlarmTopicArn="]',
        "\"Branch=x ErrorMailTo='a@b.c, d@e.f' AlarmTopicArn=\"",
        '{ Branch = "x", ErrorMailTo = "a@b.c, d@e.f", AlarmTopicArn = "" }',
        '["ParameterKey=Branch,ParameterValue=x", "ErrorMailTo=\\"a@b.c, d@e.f\\"", "AlarmTopicArn="]',
    ],
)
def test_every_form_of_overrides_is_read(tmp_path: Path, overrides: str) -> None:
    """A list, a text, a table, and the long form, as SAM takes them; profile and region, too."""
    config = tmp_path / "samconfig.toml"
    text = '[a.global.parameters]\nregion = "eu-west-1"\nstack_name = "s"\n[a.deploy.parameters]\nprofile = "shop"\n'
    config.write_text(f"{text}parameter_overrides = {overrides}\n")
    environment = read_environment(config, "a")
    assert environment.given == {"Branch": "x", "ErrorMailTo": "a@b.c, d@e.f", "AlarmTopicArn": ""}
    assert environment.session == {"region_name": "eu-west-1", "profile_name": "shop"}
    assert environment.stack == "s"


@pytest.mark.parametrize(
    ("files", "options", "says"),
    [
        ([], "", "samconfig.toml cannot be read"),
        (["["], "", "samconfig.toml cannot be read"),
        (["version = 0.1\n[prod.deploy]"], "", "has no environment default; it has prod"),
        (["[default.deploy]"], "", "gives default no stack_name: name the stack"),
        (["[default.deploy]"], "--stack s --parameter Branch", "'Branch' is no parameter: Name=Value"),
        (["[default.deploy]"], "--stack s --parameter B.C=D", "'B.C=D' is no parameter: Name=Value"),
        (["[default.deploy]"], "--stack s", "template.yaml is no template"),
        (["[default.deploy]", "{"], "--stack s", "template.yaml is no template"),
        (["[default.deploy]", "5"], "--stack s", "template.yaml is no template"),
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


@pytest.mark.parametrize(
    ("options", "session"),
    [([], {"region_name": "eu-west-1"}), (["--region", "eu-north-1"], {"region_name": "eu-north-1"})],
)
def test_place_is_the_one_that_sam_would_deploy_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], session: dict[str, str]
) -> None:
    """An option, else samconfig.toml's profile and region, else the environment."""
    (tmp_path / "samconfig.toml").write_text('[default.deploy.parameters]\nstack_name = "s"\nregion = "eu-west-1"')
    (tmp_path / "template.yaml").write_text("Parameters: {}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boto3, "Session", _Session)
    _Session.asked.clear()
    monkeypatch.setattr("followups.preflight._all", lambda client, *_: iter([client("sts")][:0]))
    assert main(["preflight", *options]) == 0
    assert _Session.asked == [session]
