"""template.yaml: what a deployment makes, checked on the transformed template since no emulator checks it."""

import re
from typing import Any

import pytest
import yaml

from local.emulator import ACCOUNT, REGION, ROOT
from tests.template import resolved, source
from tests.world import PARAMETERS

RESOURCES = resolved(**PARAMETERS)
FUNCTIONS = ("DelayedNotify", "Recheck", "Sweep")
QUEUES = ("DelayedNotifyFailureQueue", "RecheckFailureQueue", "SweepFailureQueue", "SchedulerDeadLetterQueue")
TABLES = ("CreditCardNotifyTable", "CardPaymentRecordTable", "OrderTable", "CallbackErrorLogTable")
ROLES = ("DelayedNotifyRole", "RecheckRole", "SweepRole", "SchedulerRole")


def properties(name: str) -> dict[str, Any]:
    """A resource's resolved properties."""
    found: dict[str, Any] = RESOURCES[name]["Properties"]
    return found


def statements(role: str) -> list[dict[str, Any]]:
    """A role's own statements."""
    return [s for policy in properties(role)["Policies"] for s in policy["PolicyDocument"]["Statement"]]


@pytest.mark.parametrize(
    ("function", "name", "handler"),
    [
        ("DelayedNotifyFunction", "payment3-delayed-notify-dev", "delayednotify.lambda_handler"),
        ("RecheckFunction", "payment3-recheck-dev", "recheck.lambda_handler"),
        ("SweepFunction", "payment3-sweep-dev", "recheck.sweep_handler"),
    ],
)
def test_functions_have_their_public_names(function: str, name: str, handler: str) -> None:
    """Names, handlers and runtime are contracts."""
    found = properties(function)
    assert (found["FunctionName"], found["Handler"], found["Runtime"]) == (name, handler, "python3.12")


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_architecture_is_a_parameter(architecture: str) -> None:
    """Both architectures can be deployed."""
    made = resolved(**PARAMETERS, Architecture=architecture)
    assert {made[f"{f}Function"]["Properties"]["Architectures"][0] for f in FUNCTIONS} == {architecture}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_asynchronous_failures_are_kept(function: str) -> None:
    """Two retries, then a queue of the function's own, which its role may write to."""
    config = properties(f"{function}FunctionEventInvokeConfig")
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:stack-{function}FailureQueue"
    assert config["MaximumRetryAttempts"] == 2
    assert config["Qualifier"] == "$LATEST"
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == queue
    [keep] = [s for s in statements(f"{function}Role") if s["Action"] == "sqs:SendMessage"]
    assert keep["Resource"] == queue


@pytest.mark.parametrize("queue", QUEUES)
def test_queues_are_encrypted_and_keep_14_days(queue: str) -> None:
    """Dead letters hold payment data and must survive a long weekend."""
    assert properties(queue)["SqsManagedSseEnabled"] is True
    assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert RESOURCES[queue]["DeletionPolicy"] == "Retain"


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_kept_encrypted_and_recoverable(table: str) -> None:
    """No deployment and no deletion of the stack takes a table away."""
    assert RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"] == "Retain"
    assert properties(table)["SSESpecification"] == {"SSEEnabled": True}
    assert properties(table)["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties(table)["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("table", ["CreditCardNotifyTable", "CallbackErrorLogTable"])
def test_what_grows_expires(table: str) -> None:
    """The tables that grow with every notification and error have a TTL."""
    assert properties(table)["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


def test_notify_table_has_its_keys_and_indexes() -> None:
    """Keys and index names are contracts; `due` is what waits and `ended` what does not, each by shard and time."""
    table = properties("CreditCardNotifyTable")
    keys = {index["IndexName"]: _keys(index) for index in table["GlobalSecondaryIndexes"]}
    assert _keys(table) == ["chargeId", "notificationId"]
    assert keys == {
        "due": ["sweepShard", "nextPassDue"],
        "order": ["orderId"],
        "notification": ["notificationId"],
        "ended": ["endedShard", "endedAt"],
    }
    types = {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]}
    assert types["sweepShard"] == "N"


@pytest.mark.parametrize("table", TABLES)
def test_existing_table_can_be_used_instead(table: str) -> None:
    """A live payment3 gives its tables by name: none is made, and every permission names the given one."""
    made = resolved(**PARAMETERS, **{f"Existing{table}": "a-live-table"})
    variable = re.sub(r"(?<!^)([A-Z])", r"_\1", table).upper()
    assert table not in made
    assert made["RecheckFunction"]["Properties"]["Environment"]["Variables"][variable] == "a-live-table"
    assert any(":table/a-live-table" in str(made[role]) for role in ("DelayedNotifyRole", "RecheckRole"))


def test_order_table_of_dev_has_the_seeds_name() -> None:
    """order-table-dev, as the seed names it."""
    assert properties("OrderTable")["TableName"] == "order-table-dev"


@pytest.mark.parametrize("role", ROLES)
def test_statements_name_single_actions_on_single_resources(role: str) -> None:
    """No list of actions, no wildcard action, and wildcards in a resource only where AWS adds characters."""
    for statement in statements(role):
        assert isinstance(statement["Action"], str), statement
        assert "*" not in statement["Action"], statement
        assert isinstance(statement["Resource"], str), statement
        loose = re.sub(r"(:log-group:[^*]+:\*|/recheck-\*|-\?{6})$", "", statement["Resource"])
        assert not set(loose) & set("*?"), statement


def test_roles_allow_what_the_seed_asks_and_nothing_more() -> None:
    """The whole list: write, mark, read, invoke, secret, mail, schedule; Recheck reads no secret."""
    every = {"OpenLog", "WriteLog", "LogError", "MailError", "KeepFailure"}
    common = every | {"RecordPass", "RunPass", "ArmSchedule", "PassSchedulerRole", "ReadOrder"}
    own = {"ReadMerchantKey", "MarkPayment", "SaveNotification"}
    assert {s["Sid"] for s in statements("SweepRole")} == every | {
        "FindOverdue",
        "HandOver",
        "GiveUp",
        "LookForHeldMails",
    }
    assert {s["Sid"] for s in statements("RecheckRole")} == common
    assert {s["Sid"] for s in statements("DelayedNotifyRole")} == common | own
    assert {s["Sid"] for s in statements("SchedulerRole")} == {"InvokeRecheck", "KeepHandOver"}


def test_functions_may_pass_only_the_schedulers_role_and_only_to_scheduler() -> None:
    """iam:PassRole is bound to one role and one service."""
    for role in ("DelayedNotifyRole", "RecheckRole"):
        [statement] = [s for s in statements(role) if s["Action"] == "iam:PassRole"]
        assert statement["Resource"].endswith(":role/stack-SchedulerRole")
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def test_schedulers_role_trusts_only_our_group() -> None:
    """The trust policy names the account and the schedule group, which is what Scheduler presents."""
    [trust] = properties("SchedulerRole")["AssumeRolePolicyDocument"]["Statement"]
    group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/payment3-recheck-dev"
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": group}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_are_kept_for_a_time(function: str) -> None:
    """Each function writes to a log group with a retention."""
    group = properties(f"{function}Function")["LoggingConfig"]["LogGroup"]
    assert group == properties(f"{function}LogGroup")["LogGroupName"]
    assert properties(f"{function}LogGroup")["RetentionInDays"] == "90"


def test_every_text_parameter_is_checked_before_anything_is_made() -> None:
    """A wrong parameter stops the deployment, not the first notification."""
    free = [
        name
        for name, about in source()["Parameters"].items()
        if about["Type"] == "String" and not {"AllowedPattern", "AllowedValues"} & set(about)
    ]
    assert free == []


@pytest.mark.parametrize("name", [n for n, p in source()["Parameters"].items() if "AllowedPattern" in p])
def test_default_fits_its_own_pattern(name: str) -> None:
    """The template deploys with its defaults."""
    about = source()["Parameters"][name]
    assert re.fullmatch(about["AllowedPattern"], str(about["Default"]))


def test_example_values_stay_out_of_production() -> None:
    """Production does not deploy with example addresses, nor with empty tables in place of the shop's."""
    rule = source()["Rules"]["NoExamplesInProduction"]
    named = set(re.findall(r"Redirect\w+|ErrorMail\w+|Existing\w+", str(rule["Assertions"])))
    shops = {"ExistingOrderTable", "ExistingCardPaymentRecordTable"}
    assert {"RedirectUrlTemplate", "ErrorMailFrom", "ErrorMailTo"} | shops <= named
    assert "prod" in str(rule["RuleCondition"])


def test_template_uses_no_yaml_aliases() -> None:
    """CloudFormation does not read aliases."""
    assert not any(isinstance(event, yaml.AliasEvent) for event in yaml.parse((ROOT / "template.yaml").read_text()))


def _keys(of: dict[str, Any]) -> list[str]:
    return [key["AttributeName"] for key in of["KeySchema"]]


def test_named_process_paid_order_is_invoked_and_allowed() -> None:
    """ProcessPaidOrderFunction replaces the default name in the environment and in both roles."""
    made = resolved(**PARAMETERS, ProcessPaidOrderFunction="another-function")
    assert (
        made["RecheckFunction"]["Properties"]["Environment"]["Variables"]["PROCESS_PAID_ORDER_FUNCTION"]
        == "another-function"
    )
    for role in ("DelayedNotifyRole", "RecheckRole"):
        assert ":function:another-function" in str(made[role])


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("RecheckDelays", "0"),
        ("RecheckDelays", "60,"),
        ("RecheckDelays", ""),
        ("Branch", "a b"),
        ("Branch", ""),
        ("RedirectUrlTemplate", "https://{orderId}.shop.example/"),
        ("RedirectAllowedOrigins", "shop.example"),
        ("ErrorMailTo", "nobody"),
        ("KBankSecretId", "a*"),
        ("ProcessPaidOrderFunction", "a:b"),
    ],
)
def test_malformed_parameter_does_not_deploy(name: str, bad: str) -> None:
    """A value that Settings or IAM would choke on is refused by the parameter's own pattern."""
    assert not re.fullmatch(source()["Parameters"][name]["AllowedPattern"], bad)


@pytest.mark.parametrize("queue", QUEUES)
def test_queues_survive_replacement_and_are_standard(queue: str) -> None:
    """Scheduler's and Lambda's failures go to standard queues only, and no update throws messages away."""
    assert RESOURCES[queue]["UpdateReplacePolicy"] == "Retain"
    assert "FifoQueue" not in properties(queue)


# --- alarms: what wakes somebody ---


def alarms(metric: str) -> list[dict[str, Any]]:
    """The alarms on a metric."""
    found = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    return [alarm for alarm in found if alarm["MetricName"] == metric]


def dimension(alarm: dict[str, Any]) -> str:
    """The one thing that an alarm watches."""
    [only] = alarm["Dimensions"]
    return str(only["Value"])


def test_every_queue_has_an_alarm_on_its_first_message() -> None:
    """A dead letter wakes somebody within a minute or so, whichever of the stack's queues it lies in."""
    made = {f"stack-{name}" for name, r in RESOURCES.items() if r["Type"] == "AWS::SQS::Queue"}
    watching = alarms("ApproximateNumberOfMessagesVisible")
    assert {dimension(alarm) for alarm in watching} == made == {f"stack-{queue}" for queue in QUEUES}
    assert {(a["Threshold"], a["Period"], a["Statistic"]) for a in watching} == {(1, 60, "Maximum")}


@pytest.mark.parametrize(
    "metric",
    [
        "TargetErrorCount",
        "InvocationDroppedCount",
        "InvocationsSentToDeadLetterCount",
        "InvocationsFailedToBeSentToDeadLetterCount",
    ],
)
def test_schedule_groups_errors_wake_somebody(metric: str) -> None:
    """AWS/Scheduler knows no dimension but the group, which is ours alone."""
    [alarm] = alarms(metric)
    assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == ("AWS/Scheduler", "Sum", 1)
    assert alarm["Dimensions"] == [{"Name": "ScheduleGroup", "Value": properties("ScheduleGroup")["Name"]}]


@pytest.mark.parametrize("metric", ["Errors", "Throttles", "DestinationDeliveryFailures"])
def test_every_functions_errors_and_throttles_wake_somebody(metric: str) -> None:
    """Each function of the stack, the sweep too, and a dead letter that could not be written most of all."""
    names = {properties(f"{function}Function")["FunctionName"] for function in FUNCTIONS}
    assert {dimension(alarm) for alarm in alarms(metric)} == names
    assert {(a["Namespace"], a["Statistic"], a["Threshold"]) for a in alarms(metric)} == {("AWS/Lambda", "Sum", 1)}


def test_silent_sweep_wakes_somebody() -> None:
    """The age of the oldest overdue follow-up is told by every sweep: 15 minutes of age, or of silence, is an alarm."""
    [alarm] = alarms("OldestOverdue")
    assert (alarm["Threshold"], alarm["Period"], alarm["TreatMissingData"]) == (900, 900, "breaching")
    assert alarm["Statistic"] == "Maximum"


def test_failed_notification_wakes_somebody() -> None:
    """FAILED is an end that a person must see."""
    [alarm] = alarms("Failed")
    assert (alarm["Threshold"], alarm["Statistic"], alarm["TreatMissingData"]) == (1, "Sum", "notBreaching")


def test_every_alarm_tells_the_topic_and_says_what_it_means() -> None:
    """One topic, the stack's own or a given one; nothing needs alarms that CloudWatch joins or reckons."""
    for given, topic in (("", "payment3-follow-up-alarms-dev"), ("arn:aws:sns:x:1:t", "arn:aws:sns:x:1:t")):
        made = resolved(**PARAMETERS, AlarmTopicArn=given).values()
        found = [r["Properties"] for r in made if r["Type"] == "AWS::CloudWatch::Alarm"]
        assert {tuple(alarm["AlarmActions"]) for alarm in found} == {(topic,)}
        assert all(alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold" for alarm in found)
        assert all(len(alarm["AlarmDescription"]) > 10 for alarm in found)


def test_sweep_comes_every_five_minutes_and_ends_before_the_next() -> None:
    """A schedule of the template invokes the sweep, and may; two sweeps never run at once."""
    [rule] = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Events::Rule"]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    assert [target["Arn"].rsplit(":", 1)[1] for target in rule["Targets"]] == ["payment3-sweep-dev"]
    [allowed] = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Lambda::Permission"]
    assert (allowed["Principal"], allowed["FunctionName"]) == ("events.amazonaws.com", "payment3-sweep-dev")
    assert ":rule/" in allowed["SourceArn"]
    assert properties("SweepFunction")["Timeout"] == 120


def test_index_holds_what_the_sweep_reads() -> None:
    """The sweep decides by the index alone: no second read for each notification."""
    [due] = [i for i in properties("CreditCardNotifyTable")["GlobalSecondaryIndexes"] if i["IndexName"] == "due"]
    read = {"orderId", "state", "passesDone", "attempts", "attemptsBefore", "leaseUntil"}
    assert set(due["Projection"]["NonKeyAttributes"]) == read
