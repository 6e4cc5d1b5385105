"""Preflight: what a deployment needs of an account is found there before it, and nothing is changed by looking."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import EndpointConnectionError

from followups.output import Output
from followups.preflight.permissions import PERMISSIONS
from local.emulator import REGION, ROOT
from local.stack import SECRET
from tests.account import PROCESS, STACK, Account, made, topic_arn
from tests.documents import aws_request, commands
from tests.wire import Call, Wire, refuse

NOTIFY = "CreditCardNotifyTable orders-paid"
INDEXES = ("due", "order", "failed")
ACTIONS = {permission.split(" ")[0] for permission in PERMISSIONS}
KEY = f"arn:aws:kms:{REGION}:123456789012:key/k"
Print = pytest.CaptureFixture[str]


@pytest.fixture
def account(wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Print) -> Iterator[Account]:
    """An account before a deployment."""
    with made(wire, monkeypatch, tmp_path, capsys) as account:
        yield account


@pytest.fixture
def live(account: Account) -> Account:
    """An account whose CreditCardNotifyTable is there already, and as ours."""
    account.given["ExistingCreditCardNotifyTable"] = "orders-paid"
    account.make_table("orders-paid", "CreditCardNotifyTable")
    return account


def index(name: str, *keys: str) -> dict[str, Any]:
    """An index that holds everything."""
    schema = [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]
    return {"IndexName": name, "KeySchema": schema, "Projection": {"ProjectionType": "ALL"}}


def attributes(**types: str) -> list[dict[str, str]]:
    """Key attributes by name."""
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


# --- what is printed, and how ---


def test_account_that_is_ready_stops_nothing(account: Account, capsys: Print) -> None:
    """Who and where first, one line for each thing, exit 0; nothing is asked of the person."""
    assert account.run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"ok  where  account 123456789012, {REGION}, stack {STACK}, as arn:aws:sts::")
    assert lines[-1] == "Nothing stops, 0 to know, 25 as they should be."
    assert len(lines) == 26
    assert {line.split("  ")[0] for line in lines[:-1]} == {"ok"}


def test_terminal_shows_a_table(account: Account, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done stands on a line of its own, under what was found."""
    monkeypatch.setattr(Output, "is_table", True)
    monkeypatch.setenv("COLUMNS", "120")
    assert account.run() == 0
    said = capsys.readouterr().out
    assert re.search(r"what\s+found, and what to do +\n", said)
    assert re.search(r"made, without subscribers +\n +→ subscribe to the output AlarmTopic", said)
    assert re.search(r"ok\s+stack payment3-follow-up-test\s+will be made", said)


def test_json_has_a_line_for_each_finding(account: Account, capsys: Print) -> None:
    """Programs get the fields by name, and the summary apart from them."""
    assert account.run("--json") == 0
    printed = capsys.readouterr()
    first = json.loads(printed.out.splitlines()[0])
    assert set(first) == {"level", "subject", "text", "todo", "permission"}
    assert printed.err == "Nothing stops, 0 to know, 25 as they should be.\n"


def test_something_that_stops_is_exit_code_1(account: Account, capsys: Print) -> None:
    """The line says what is wrong and what to do; the rest is looked at all the same."""
    account.functions.clear()
    assert account.run() == 1
    said = capsys.readouterr().out
    assert f"stop  ProcessPaidOrder {PROCESS}  there is no such function  -> deploy it, or name it" in said
    assert "1 stop, 0 to know, 24 as they should be." in said


def test_nobody_who_could_ask_is_exit_code_2(account: Account, capsys: Print) -> None:
    """Without credentials that hold, nothing is known of the account."""
    account.wire.before["sts.GetCallerIdentity"] = refuse("ExpiredToken")
    assert account.run() == 2
    assert "ExpiredToken" in capsys.readouterr().err


# --- read only ---


def test_every_call_only_reads_and_is_among_the_permissions(live: Account) -> None:
    """A whole account, all of it looked at: no call but Describe, Get and List, each permission used, none missing."""
    live.given |= {"AlarmTopicArn": topic_arn("alarms"), "ExistingCallbackErrorLogTable": "errors"}
    key = live.client("kms").create_key()["KeyMetadata"]["Arn"]
    sealed = {"SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}}
    live.make_table("errors", "CallbackErrorLogTable", **sealed)
    live.client("sns").create_topic(Name="alarms")
    live.stack = {"StackStatus": "UPDATE_COMPLETE"}
    live.functions["payment3-recheck-test"] = {"Timeout": 90}
    live.run()
    asked = {
        f"{call.service}:{call.operation}".replace("sesv2:", "ses:")
        .replace("service-quotas:", "servicequotas:")
        .replace("sts:GetCallerIdentity", "")
        for call in live.wire.calls
    } - {""}
    assert asked == ACTIONS
    assert all(re.match(r"(Describe|Get|List)[A-Z]", call.operation) for call in live.wire.calls)


def test_documented_policy_is_what_it_needs() -> None:
    """docs/adopting.md holds the permissions as a policy to copy."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "adopting.md").read_text(), re.DOTALL)
    [policy] = [json.loads(block) for block in blocks if "PreflightReads" in block]
    [statement] = policy["Statement"]
    assert (statement["Effect"], set(statement["Action"])) == ("Allow", ACTIONS)


OPERATIONS = [
    action.replace("ses:", "sesv2:").replace("servicequotas:", "service-quotas:").replace(":", ".")
    for action in sorted(ACTIONS - {"cloudformation:DescribeStackResources", "kms:DescribeKey"})
]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        *((operation, "AccessDeniedException") for operation in OPERATIONS),
        ("cloudformation.DescribeStacks", "AccessDenied"),
        ("sns.GetTopicAttributes", "AuthorizationError"),
    ],
)
def test_denied_call_is_a_finding_that_names_the_permission(live: Account, operation: str, code: str) -> None:
    """What may not be read is said with its permission, stops nothing, and hides nothing else."""
    live.given["AlarmTopicArn"] = topic_arn("alarms")
    live.client("sns").create_topic(Name="alarms")
    live.stack = {"StackStatus": "UPDATE_COMPLETE"}
    before = {one["subject"] for one in live.findings()}
    live.wire.before[operation] = refuse(code, times=99)
    found = live.findings()
    action = operation.replace("sesv2.", "ses:").replace("service-quotas.", "servicequotas:").replace(".", ":")
    denied = [one for one in found if one["permission"]]
    assert {(one["level"], one["permission"]) for one in denied} == {("warn", action)}
    assert all(one["text"].startswith("not readable") and one["todo"] == f"allow {action}" for one in denied)
    assert before <= {one["subject"] for one in found}


def test_what_is_not_readable_is_counted(account: Account, capsys: Print) -> None:
    """An all-clear that left something out says so."""
    account.wire.before["service-quotas.ListServiceQuotas"] = refuse("AccessDeniedException")
    assert account.run() == 0
    assert capsys.readouterr().out.endswith(
        "Nothing stops, 1 to know, 24 as they should be.  Not readable: 1; what lies behind them is not known.\n"
    )


def test_service_that_does_not_answer_is_a_finding(account: Account) -> None:
    """An outage, or a region without the service: said, and the others are asked."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://email.nowhere")

    account.wire.before["sesv2.GetAccount"] = unreachable
    account.wire.before["sesv2.GetEmailIdentity"] = refuse("TooManyRequestsException")
    identity, rest = account.said("SES")
    assert identity.startswith("warn: not readable: ses:GetEmailIdentity failed: ClientError: ")
    assert rest.startswith("warn: not readable: ses:GetAccount failed: EndpointConnectionError: ")


# --- the tables ---


def test_table_as_ours_is_ok(live: Account) -> None:
    """Its key, its three indexes, its time to live and its recovery are each said."""
    said = live.said(NOTIFY)
    assert said == [
        "ok: ACTIVE",
        "ok: its key is chargeId (S) + notificationId (S)",
        "ok: its index due is on sweepShard (N) + sweepAt (S)",
        "ok: its index order is on orderId (S)",
        "ok: its index failed is on failedShard (N) + failedAt (S)",
        "ok: what has expired by expiresAt is deleted",
        "ok: it can be restored to a point in time",
    ]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"chargeId": "S"}, "chargeId (S)"),
        ({"chargeId": "S", "createdAt": "N"}, "chargeId (S) + createdAt (N)"),
        ({"notificationId": "S", "chargeId": "S"}, "notificationId (S) + chargeId (S)"),
        ({"chargeId": "S", "notificationId": "N"}, "chargeId (S) + notificationId (N)"),
        ({"id": "B"}, "id (B)"),
    ],
)
def test_table_with_another_key_stops(account: Account, keys: dict[str, str], found: str) -> None:
    """Found and expected, names, order and types, before production finds it."""
    account.given["ExistingCreditCardNotifyTable"] = "orders-paid"
    schema = index("", *keys)["KeySchema"]
    changes = {"AttributeDefinitions": attributes(**keys), "KeySchema": schema, "GlobalSecondaryIndexes": None}
    account.make_table("orders-paid", "CreditCardNotifyTable", **changes)
    said = account.said(NOTIFY)[1]
    assert said.startswith(f"stop: its key is {found}; expected chargeId (S) + notificationId (S) -> ")


@pytest.mark.parametrize("logical", ["CardPaymentRecordTable", "OrderTable", "CallbackErrorLogTable"])
def test_each_other_tables_key_is_held_against_the_template(account: Account, logical: str) -> None:
    """The same for the tables of payments, orders and errors; only what grows by us needs a time to live."""
    account.given[f"Existing{logical}"] = "live-table"
    account.make_table("live-table", logical)
    said = account.said(f"{logical} live-table")
    assert [line.split(":")[0] for line in said] == ["ok"] * (4 if logical.startswith("Callback") else 3)


def test_table_that_is_not_there_stops(account: Account) -> None:
    """A misspelt name is found before the deployment, which would not notice."""
    account.given["ExistingOrderTable"] = "ordres"
    assert account.said("OrderTable ordres") == [
        "stop: there is no such table -> correct ExistingOrderTable, or leave it empty"
    ]


def test_table_without_the_indexes_stops(account: Account) -> None:
    """Each index that is missing is said with what it is on."""
    account.given["ExistingCreditCardNotifyTable"] = "orders-paid"
    keys = attributes(chargeId="S", notificationId="S")
    account.make_table("orders-paid", "CreditCardNotifyTable", AttributeDefinitions=keys, GlobalSecondaryIndexes=None)
    missing = [line for line in account.said(NOTIFY) if line.startswith("stop")]
    assert [re.findall(r"no index (\w+)", line)[0] for line in missing] == list(INDEXES)
    assert missing[0] == (
        "stop: it has no index due; expected one on sweepShard (N) + sweepAt (S) -> docs/adopting.md, Add the indexes"
    )


def test_indexes_are_added_by_the_documented_commands(account: Account) -> None:
    """docs/adopting.md makes a live table ours: one index in an update, the time to live, and preflight is content."""
    account.given["ExistingCreditCardNotifyTable"] = name = "CreditCardNotifyTable-prod"
    keys = attributes(chargeId="S", notificationId="S")
    schema = index("", "chargeId", "notificationId")["KeySchema"]
    account.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=keys, KeySchema=schema
    )
    levels = [line.split(":")[0] for line in account.said(f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "ok", "stop", "stop", "stop", "warn", "warn"]
    asked = [aws_request(command) for command in commands() if command.words[0] == "aws" and name in command.words]
    for _, operation, request in asked:
        if operation == "UpdateTable":  # AWS keeps the attributes that the table has; moto takes the new ones for all
            keys = request["AttributeDefinitions"] = keys + [
                a for a in request["AttributeDefinitions"] if a not in keys
            ]
        if operation.startswith("Update"):
            getattr(account.client("dynamodb"), xform_name(operation))(**request)
    levels = [line.split(":")[0] for line in account.said(f"CreditCardNotifyTable {name}")]
    assert levels == ["ok", "ok", "ok", "ok", "ok", "ok", "warn"]


def test_index_on_another_key_stops(account: Account) -> None:
    """An index cannot be changed; one that holds more than keys is as good."""
    account.given["ExistingCreditCardNotifyTable"] = "orders-paid"
    indexes = [
        index("due", "sweepShard", "sweepAt"),
        index("order", "orderId", "failedAt"),
        index("failed", "failedShard", "sweepAt"),
    ]
    account.make_table("orders-paid", "CreditCardNotifyTable", GlobalSecondaryIndexes=indexes)
    due, order, failed = account.said(NOTIFY)[2:5]
    assert due == "ok: its index due is on sweepShard (N) + sweepAt (S)"
    assert order.startswith("stop: its index order is on orderId (S) + failedAt (S); expected orderId (S) -> ")
    assert failed.startswith("stop: its index failed is on failedShard (N) + sweepAt (S); expected failedShard (N) + ")


@pytest.mark.parametrize(("status", "level"), [("UPDATING", "warn"), ("DELETING", "stop"), ("CREATING", "stop")])
def test_table_that_is_not_active_is_said(live: Account, status: str, level: str) -> None:
    """One that is being changed works on; one that comes or goes does not. The same of an index being made."""
    described = live.client("dynamodb").describe_table(TableName="orders-paid")
    described["Table"]["TableStatus"] = status
    described["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] = "CREATING"

    def answer(call: Call) -> dict[str, Any]:
        if call.request["TableName"] == "orders-paid":
            return dict(described)
        with live.wire.aside():
            return dict(live.client("dynamodb").describe_table(**call.request))

    live.wire.answers["dynamodb.DescribeTable"] = answer
    for logical in ("CardPaymentRecordTable", "OrderTable", "CallbackErrorLogTable"):
        live.given[f"Existing{logical}"] = "orders-paid"
    said = live.said(NOTIFY)
    assert said[0].startswith(f"{level}: {status}, not ACTIVE -> ")
    assert said[2].startswith("warn: its index due is CREATING -> ")


def test_what_would_stay_for_ever_or_could_be_lost_is_said(live: Account) -> None:
    """No time to live, another attribute's, no recovery: it works, and somebody should know."""
    client = live.client("dynamodb")
    off = {"PointInTimeRecoveryEnabled": False}
    client.update_continuous_backups(TableName="orders-paid", PointInTimeRecoverySpecification=off)
    live.wire.answers["dynamodb.DescribeTimeToLive"] = lambda _: {
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    }
    expiry, recovery = live.said(NOTIFY)[-2:]
    assert expiry.startswith("warn: its time to live is on ttl; ours is expiresAt -> ")
    assert recovery.startswith("warn: it cannot be restored to a point in time -> ")
    live.wire.answers["dynamodb.DescribeTimeToLive"] = lambda _: {"TimeToLiveDescription": {}}
    assert live.said(NOTIFY)[-2].startswith("warn: it has no time to live -> enable it on expiresAt")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({"KeyManager": "CUSTOMER", "KeyState": "Enabled"}, "warn: encrypted under a key of your own, "),
        ({"KeyManager": "CUSTOMER", "KeyState": "Disabled"}, f"stop: its key {KEY} is Disabled"),
        (None, f"stop: its key {KEY} is not there"),
        ({"KeyManager": "AWS", "KeyState": "Enabled"}, "ok: it can be restored"),
    ],
)
def test_key_of_ones_own_is_said_with_its_permission(live: Account, key: dict[str, str] | None, says: str) -> None:
    """A table under a key that KmsKeyArn does not name needs kms:Decrypt for the roles."""
    described = live.client("dynamodb").describe_table(TableName="orders-paid")
    described["Table"]["SSEDescription"] = {"Status": "ENABLED", "KMSMasterKeyArn": KEY}
    live.wire.answers["dynamodb.DescribeTable"] = lambda _: described
    live.wire.answers["kms.DescribeKey"] = lambda _: {"KeyMetadata": {"KeyId": "k", "Arn": KEY, **(key or {})}}
    if key is None:
        live.wire.before["kms.DescribeKey"] = refuse("NotFoundException")
    last = live.said(NOTIFY)[-1]
    assert last.startswith(says)
    assert ("kms:Decrypt" in last) == says.startswith("warn")
    if says.startswith("warn"):
        assert live.said(NOTIFY, "--parameter", f"KmsKeyArn={KEY}")[-1] == "ok: encrypted under KmsKeyArn"


@pytest.mark.parametrize(
    ("key", "state", "says"),
    [
        (
            KEY,
            "Enabled",
            "warn: Enabled; its policy is not looked at -> its policy must let the account's roles use it",
        ),
        (KEY, "PendingDeletion", "stop: it is PendingDeletion -> enable the key, or name another"),
        (KEY, None, "stop: it is not there"),
        (KEY.replace(REGION, "eu-west-1"), "Enabled", f"stop: it is not in {REGION}"),
    ],
)
def test_key_that_is_named_must_be_there(account: Account, key: str, state: str | None, says: str) -> None:
    """Enabled, and in this region; what its policy says is not known."""
    account.wire.answers["kms.DescribeKey"] = lambda _: {"KeyMetadata": {"KeyId": "k", "KeyState": state}}
    if state is None:
        account.wire.before["kms.DescribeKey"] = refuse("NotFoundException")
    [said] = account.said("KmsKeyArn", "--parameter", f"KmsKeyArn={key}")
    assert said.startswith(says)


# --- the names ---


NAMED = {
    "function": ("RecheckFunction payment3-recheck-test", "AWS::Lambda::Function", "payment3-recheck-test"),
    "log group": ("RecheckLogGroup /payment3/recheck-test", "AWS::Logs::LogGroup", "/payment3/recheck-test"),
    "schedule group": ("ScheduleGroup payment3-recheck-test", "AWS::Scheduler::ScheduleGroup", "payment3-recheck-test"),
    "dashboard": ("Dashboard payment3-follow-up-test", "AWS::CloudWatch::Dashboard", "payment3-follow-up-test"),
    "topic": (
        "AlarmTopic payment3-follow-up-alarms-test",
        "AWS::SNS::Topic",
        topic_arn("payment3-follow-up-alarms-test"),
    ),
    "table": ("OrderTable order-table-test", "AWS::DynamoDB::Table", "order-table-test"),
}


@pytest.fixture
def taken(account: Account) -> Account:
    """An account in which every kind of name of ours is taken."""
    account.functions["payment3-recheck-test"] = {"Timeout": 240}
    account.client("logs").create_log_group(logGroupName="/payment3/recheck-test")
    account.client("logs").create_log_group(logGroupName="/payment3/sweep-test-of-old")
    account.client("scheduler").create_schedule_group(Name="payment3-recheck-test")
    body = json.dumps({"widgets": []})
    account.client("cloudwatch").put_dashboard(DashboardName="payment3-follow-up-test", DashboardBody=body)
    account.client("sns").create_topic(Name="payment3-follow-up-alarms-test")
    account.make_table("order-table-test", "OrderTable")
    return account


@pytest.mark.parametrize("thing", NAMED)
def test_name_that_is_taken_stops(taken: Account, thing: str) -> None:
    """Every kind of thing that has a name of our choice, found before the deployment fails of it."""
    subject, _, _ = NAMED[thing]
    [said] = taken.said(subject)
    assert said.startswith(f"stop: a {thing} of that name is there, of no known stack -> ")


def test_name_that_begins_another_is_free(taken: Account) -> None:
    """Log groups are looked for by how they begin."""
    assert taken.said("SweepLogGroup /payment3/sweep-test") == ["ok: the name is free"]


@pytest.mark.parametrize("thing", NAMED)
def test_name_of_this_very_stack_is_ok(taken: Account, thing: str) -> None:
    """A second deployment finds its own; the stack's resources come in pages."""
    subject, kind, id_ = NAMED[thing]
    taken.stack = {"StackStatus": "CREATE_COMPLETE"}
    taken.owned = [("AWS::SQS::Queue", "a-queue"), (kind, id_)]
    assert taken.said(subject) == [f"ok: stack {STACK} has it"]


def test_sleeping_function_is_found_with_its_stack(account: Account) -> None:
    """The function that is to be replaced has the name that ours takes: who has it, and where to read on."""
    account.functions["payment3-delayed-notify-test"] = {"Timeout": 240}
    account.owners["payment3-delayed-notify-test"] = "payment3-test"
    assert account.said("DelayedNotifyFunction") == [
        "stop: a function of that name is there, of stack payment3-test -> docs/adopting.md, Two functions, one name"
    ]


def test_table_that_a_former_stack_left_is_to_be_named(taken: Account) -> None:
    """Tables outlive their stack: the parameter that takes it up is said."""
    [said] = taken.said("OrderTable order-table-test")
    assert said.endswith("-> to use it: ExistingOrderTable=order-table-test")


# --- the stack and its parameters ---


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("UPDATE_ROLLBACK_COMPLETE", "ok: UPDATE_ROLLBACK_COMPLETE, may be deployed to"),
        ("REVIEW_IN_PROGRESS", "ok: REVIEW_IN_PROGRESS, may be deployed to"),
        ("ROLLBACK_COMPLETE", "stop: ROLLBACK_COMPLETE: CloudFormation refuses to update it -> delete the stack; "),
        (
            "UPDATE_IN_PROGRESS",
            "stop: UPDATE_IN_PROGRESS: CloudFormation refuses to update it -> wait until it is done",
        ),
    ],
)
def test_stack_that_cannot_be_updated_stops(account: Account, status: str, says: str) -> None:
    """A first deployment that failed leaves a stack that only can be deleted, and tables."""
    account.stack = {"StackStatus": status}
    [said] = account.said("stack ")
    assert said.startswith(says)


def test_stack_that_is_not_readable_leaves_its_names_open(taken: Account) -> None:
    """Whether a name is one's own is not known then: said, and no false stop."""
    taken.wire.before["cloudformation.DescribeStacks"] = refuse("Throttling")
    [said] = taken.said("RecheckFunction")
    assert said.startswith(f"warn: a function of that name is there; whether it is of stack {STACK} is not readable")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RecheckDelays", "60,0", "stop: '60,0' does not match ^[1-9]"),
        ("ChecksumPolicy", "strict", "stop: 'strict' is none of warn, reject"),
        ("KeepDays", "13", "stop: '13' is not from 14 to 3650"),
        ("KeepDays", "long", "stop: 'long' is no number"),
        ("GiveUpAfterHours", "71", "stop: '71' is none of 24, 48, 72, 96, 168"),
        ("KmsKeyArn", "alias/ours", "stop: 'alias/ours' does not match ^(arn:"),
        ("AlarmTopicArn", "ours", "stop: 'ours' does not match ^(arn:"),
        ("MaxAttempts", "30", "stop: the template has no such parameter"),
        ("ExistingOrdersTable", "orders", "stop: the template has no such parameter"),
    ],
)
def test_parameter_that_would_be_refused_stops(account: Account, name: str, value: str, says: str) -> None:
    """By the template's own patterns, values and bounds; a misspelt name, too."""
    said, *_ = account.said(name, "--parameter", f"{name}={value}")
    assert said.startswith(says)


def test_examples_in_production_stop(account: Account) -> None:
    """The template's own rules, with their own words."""
    account.given = {"Branch": "prod"}
    found = [one for one in account.findings() if "a rule of the template" in one["text"]]
    assert {one["subject"] for one in found} == {
        "ExistingOrderTable", "ExistingCardPaymentRecordTable", "RedirectUrlTemplate", "ErrorMailFrom",
        "ErrorMailTo", "AlarmTopicArn",
    }  # fmt: skip
    assert {one["level"] for one in found} == {"stop"}
    account.given |= {"RecheckDelays": "60,61"}
    assert account.said("RecheckDelays")[0].startswith("stop: must each be 60, 75, ")


def test_what_is_not_given_stays_as_deployed(account: Account) -> None:
    """As `sam deploy` does it: samconfig.toml, else what the stack has, else the default; and it is said."""
    del account.given["ErrorMailFrom"]
    had = {"ErrorMailFrom": "kept@local.example", "Branch": "another", "Gone": "x"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in had.items()]
    account.stack = {"StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}
    assert account.said("parameters") == [
        "ok: kept from the deployed stack, since samconfig.toml gives none: ErrorMailFrom=kept@local.example"
    ]
    assert account.said("SES identity")[0].startswith("stop: not verified")


# --- what is used and not made ---


@pytest.mark.parametrize(
    ("about", "limit", "says"),
    [
        ({"Timeout": 60}, "60", "ok: its timeout of 60 s fits PassTimeoutSeconds=60"),
        ({"Timeout": 61}, "60", "warn: it may run 61 s, a pass only 60: "),
        ({"Timeout": 61}, "20", "warn: it may run 61 s, a pass only 20: "),
        ({"Timeout": 900}, "120", "warn: it may run 900 s, a pass only 120: "),
        ({"Timeout": 30, "State": "Failed"}, "60", "stop: its state is Failed"),
    ],
)
def test_process_paid_order_fits_a_pass(account: Account, about: dict[str, Any], limit: str, says: str) -> None:
    """Its timeout against PassTimeoutSeconds, with the value that would fit, or that none would."""
    account.functions[PROCESS] = about
    [said] = account.said("ProcessPaidOrder", "--parameter", f"PassTimeoutSeconds={limit}")
    assert said.startswith(says)
    if about["Timeout"] == 61:
        assert said.endswith("-> PassTimeoutSeconds=90")
    if about["Timeout"] == 900:
        assert said.endswith("-> give it a timeout of 120 s or less")


def test_named_process_paid_order_is_looked_for(account: Account) -> None:
    """ProcessPaidOrderFunction replaces the name that the branch makes."""
    account.functions = {"pay": {"Timeout": 10}}
    [said] = account.said("ProcessPaidOrder pay", "--parameter", "ProcessPaidOrderFunction=pay")
    assert said.startswith("ok: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"secretKey": "skey_hidden"}', "ok: it has secretKey"),
        (
            '{"secretKey": "skey_hidden", "previousSecretKey": "skey_hidden_too"}',
            "ok: it has secretKey, and previousSecretKey of a rotation",
        ),
        ('{"secretKey": "skey_hidden", "password": "hunter22"}', "warn: it has fields that nobody reads"),
        ('{"secretKey": "skey_hidden", "previousSecretKey": 5}', "warn: it has fields that nobody reads"),
        ('{"key": "skey_hidden"}', "stop: it has no secretKey that is a text"),
        ('{"secretKey": ""}', "stop: it has no secretKey that is a text"),
        ('["skey_hidden"]', "stop: it has no secretKey that is a text"),
        ("skey_hidden", "stop: it is no JSON text"),
        ("[" * 60_000, "stop: it is no JSON text"),
    ],
)
def test_secrets_shape_is_said_and_nothing_of_it(account: Account, capsys: Print, text: str, says: str) -> None:
    """Which fields it lacks, never what it holds nor how long that is."""
    account.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=text)
    [said] = account.said("secret payment3/kbank")
    assert said.startswith(says)
    assert not re.search(r"\d", said)
    account.run()
    printed = capsys.readouterr()
    assert not any(word in printed.out + printed.err for word in ("hidden", "hunter22"))


def test_secret_that_is_not_there_stops(account: Account) -> None:
    """Or is marked for deletion, which AWS says with other words."""
    assert account.said("secret nowhere", "--parameter", "KBankSecretId=nowhere")[0].startswith(
        "stop: there is no such"
    )
    account.client("secretsmanager").delete_secret(SecretId="payment3/kbank")
    assert account.said("secret payment3/kbank")[0].startswith("stop: it is marked for deletion -> restore it")


def test_secret_under_a_key_of_ones_own_is_said(account: Account) -> None:
    """DelayedNotify's role needs that key, too."""
    key = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    account.client("secretsmanager").create_secret(Name="own", KmsKeyId=key, SecretString=json.dumps(SECRET))
    shape, sealed = account.said("secret own", "--parameter", "KBankSecretId=own")
    assert shape == "ok: it has secretKey"
    assert "allow the roles of DelayedNotify and Retry kms:Decrypt" in sealed


@pytest.mark.parametrize(
    ("identities", "given", "says"),
    [
        ({}, {}, "stop: not verified for sending -> verify it in SES"),
        ({"payment3@local.example": False}, {}, "stop: not verified for sending -> verify it in SES"),
        (
            {"local.example": True},
            {},
            "stop: not verified for sending -> its domain is: ErrorMailIdentity=local.example",
        ),
        ({"local.example": True}, {"ErrorMailIdentity": "local.example"}, "ok: verified for sending"),
        ({"example": True}, {"ErrorMailIdentity": "example"}, "ok: verified for sending"),
        ({"ocal.example": True}, {"ErrorMailIdentity": "ocal.example"}, "stop: it does not cover the sender"),
    ],
)
def test_senders_identity_must_be_verified(
    account: Account, identities: dict[str, bool], given: dict[str, str], says: str
) -> None:
    """The address, or the domain where that is named: the permission is on the one that is named."""
    account.identities = identities
    account.given |= given
    assert account.said("SES identity")[0].startswith(says)


def test_configuration_set_of_the_identity_is_said(account: Account) -> None:
    """SES asks for a permission on it, too, which the functions have."""
    about = {"VerifiedForSendingStatus": True, "ConfigurationSetName": "mails"}
    account.wire.answers["sesv2.GetEmailIdentity"] = lambda _: about
    assert account.said("SES identity") == ["ok: verified for sending, by its configuration set mails"]


def test_sandbox_reaches_only_who_is_verified(account: Account) -> None:
    """Recipients by address or by domain; who would not get a mail is named."""
    account.ses = {"ProductionAccessEnabled": False, "SendingEnabled": False}
    account.given["ErrorMailTo"] = "a@local.example, b@other.example"
    paused, several, sandbox = [line for line in account.said("SES") if "verified for" not in line]
    assert paused.startswith("warn: sending is paused")
    assert several.startswith("warn: in the sandbox one recipient can be allowed, and ErrorMailTo has 2 -> name one")
    assert sandbox.startswith(
        "warn: in the sandbox: only verified recipients get mails, and 2 of 2 are not -> verify a@"
    )
    account.identities |= {"a@local.example": True, "other.example": True}
    assert account.said("SES")[-1] == "ok: in the sandbox: only verified recipients get mails, and all 2 are"
    account.given["ErrorMailTo"] = "a@local.example"
    assert "one recipient" not in "".join(account.said("SES"))


def test_alarm_topic_must_be_there_and_wake_somebody(account: Account) -> None:
    """There, in this region, open to CloudWatch, and with a subscriber."""
    sns, parameter = account.client("sns"), ("--parameter", f"AlarmTopicArn={topic_arn('alarms')}")
    assert account.said("AlarmTopicArn")[0].startswith("ok: none is given")
    assert account.said("alarm topic", *parameter)[0].startswith("stop: there is no such topic")
    sns.create_topic(Name="alarms")
    assert account.said("alarm topic", *parameter)[0].startswith("warn: nobody is subscribed")
    sns.subscribe(TopicArn=topic_arn("alarms"), Protocol="sms", Endpoint="+66812345678")
    account.wire.answers["sns.GetTopicAttributes"] = lambda _: {"Attributes": {"SubscriptionsConfirmed": "2"}}
    assert account.said("alarm topic", *parameter) == ["ok: 2 subscribed"]
    account.wire.answers["sns.GetTopicAttributes"] = lambda _: {"Attributes": {"KmsMasterKeyId": "alias/aws/sns"}}
    assert account.said("alarm topic", *parameter)[0].startswith("stop: it is encrypted under SNS's own key")
    elsewhere = f"AlarmTopicArn={topic_arn('alarms', 'eu-west-1')}"
    assert account.said("alarm topic", "--parameter", elsewhere)[0].startswith(f"stop: it is not in {REGION}")


def test_quotas_are_said(account: Account) -> None:
    """Few functions at once is said; Scheduler's quotas, where Service Quotas knows them."""
    assert account.said("Lambda") == ["ok: 900 functions at once, for all that reserve none"]
    assert account.said("Scheduler") == ["ok: CreateSchedule request rate: 1000"]
    account.wire.answers["lambda.GetAccountSettings"] = lambda _: {
        "AccountLimit": {"UnreservedConcurrentExecutions": 10}
    }
    account.wire.answers["service-quotas.ListServiceQuotas"] = lambda _: {"Quotas": []}
    assert account.said("Lambda")[0].startswith("warn: 10 functions at once")
    assert account.said("Scheduler")[0].startswith("warn: not readable: Service Quotas has none")
    account.wire.answers["lambda.GetAccountSettings"] = lambda _: {}
    assert account.said("Lambda")[0].startswith("warn: not readable")
