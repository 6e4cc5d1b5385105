"""template.yaml: what a deployment makes, checked on the transformed template since no emulator checks it."""

import json
import re
import tomllib
from collections import defaultdict
from typing import Any

import pytest

from local.emulator import ACCOUNT, REGION, ROOT
from tests.support.aws import PARAMETERS
from tests.support.template import arn, refusals, resolved, source

RESOURCES = resolved(**PARAMETERS)


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """All resources of a type, with their properties."""
    return {name: about["Properties"] for name, about in RESOURCES.items() if about["Type"] == kind}


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
WITH_KEY = resolved(**PARAMETERS, KmsKeyArn=KEY)
FUNCTIONS = {"DelayedNotify": "delayed-notify", "Recheck": "recheck", "Sweep": "sweep", "Retry": "retry"}
QUEUES, TABLES = of_type("AWS::SQS::Queue"), of_type("AWS::DynamoDB::Table")
ROLES, ALARMS = of_type("AWS::IAM::Role"), of_type("AWS::CloudWatch::Alarm")
# What production must give: samconfig.toml's, filled in.
_FILLED_IN = re.sub(r'# ("\w+=)\.\.\.', r"\1given", (ROOT / "samconfig.toml").read_text())
_PROD = tomllib.loads(_FILLED_IN.replace("example.com", "shop.test"))["prod"]["deploy"]["parameters"]
GIVEN = dict(line.split("=", 1) for line in _PROD["parameter_overrides"] if not line.startswith("Branch="))


def properties(name: str, resources: dict[str, Any] = RESOURCES) -> dict[str, Any]:
    """A resource's resolved properties."""
    found: dict[str, Any] = resources[name]["Properties"]
    return found


def statements(role: str, resources: dict[str, Any] = RESOURCES) -> list[dict[str, Any]]:
    """What a role may do: its own statements, and those of the policies that are attached to it."""
    attached = [name.rsplit("stack-", 1)[1] for name in properties(role, resources).get("ManagedPolicyArns", [])]
    policies = [*properties(role, resources)["Policies"], *(properties(name, resources) for name in attached)]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


# --- functions, queues, tables: what is a contract, or has a reason ---

_TABLE: dict[str, Any] = {
    "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"},
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    "BillingMode": "PAY_PER_REQUEST",
    "DeletionProtectionEnabled": False,  # a developer's branch comes and goes
}
# What grows with every notification and error expires.
_GROWS = _TABLE | {"TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True}}
# Messages hold payment data, and must survive a long weekend.
_QUEUE = {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600}
_NOT_AGAIN: dict[str, Any] = {"MaximumRetryAttempts": 0, "DestinationConfig": {}}
EXPECTED: dict[str, dict[str, Any]] = {
    "DelayedNotifyFunction": {"Handler": "delayednotify.lambda_handler"},
    "RecheckFunction": {"Handler": "recheck.lambda_handler"},
    "RetryFunction": {"Handler": "delayednotify.retry_handler"},
    # With a whole core it works on all shards at once, and it ends before the next one begins.
    "SweepFunction": {"Handler": "recheck.sweep_handler", "Timeout": 60, "MemorySize": 1769},
    "SweepFunctionEveryMinute": {"ScheduleExpression": "rate(1 minute)"},
    # Lambda tries DelayedNotify twice more; its role's permissions show where the event goes then.
    "DelayedNotifyFunctionEventInvokeConfig": {"MaximumRetryAttempts": 2},
    # A failed recheck or sweep is neither repeated nor kept: the next sweep finds its work in the records.
    "RecheckFunctionEventInvokeConfig": _NOT_AGAIN | {"MaximumEventAgeInSeconds": 3600},
    "SweepFunctionEventInvokeConfig": _NOT_AGAIN | {"MaximumEventAgeInSeconds": 60},
    # A message that fails comes back alone, and an outage's messages leave concurrency for new notifications.
    "RetryFunctionRetryQueue": {
        "BatchSize": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 20},
    },
    **dict.fromkeys(QUEUES, _QUEUE),
    **dict.fromkeys(TABLES, _TABLE),
    **dict.fromkeys(("CreditCardNotifyTable", "CallbackErrorLogTable"), _GROWS),
    "OrderTable": _TABLE | {"TableName": "order-table-dev"},  # the shop's own name for it
}


@pytest.mark.parametrize("name", EXPECTED)
def test_resource_has_its_required_properties(name: str) -> None:
    """Each of these properties is a contract, or has the reason that EXPECTED gives."""
    assert EXPECTED[name].items() <= properties(name).items()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_has_its_name_its_log_and_its_runtime(function: str) -> None:
    """Its name is a contract, its log group has a retention, and Architecture says on which processor it runs."""
    found, log = properties(f"{function}Function"), properties(f"{function}LogGroup")
    assert (found["FunctionName"], found["Runtime"]) == (f"payment3-{FUNCTIONS[function]}-dev", "python3.12")
    assert (found["LoggingConfig"]["LogGroup"], log["RetentionInDays"]) == (log["LogGroupName"], "90")
    other = properties(f"{function}Function", resolved(**PARAMETERS, Architecture="x86_64"))
    assert found["Architectures"] + other["Architectures"] == ["arm64", "x86_64"]


@pytest.mark.parametrize("name", [*QUEUES, *TABLES])
def test_what_is_stored_is_kept(name: str) -> None:
    """Neither a later deployment nor deleting the stack removes it; a failed first deployment leaves nothing behind."""
    policies = RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]
    assert policies == ("RetainExceptOnCreate", "Retain")


def test_queues_are_standard_and_demand_tls() -> None:
    """Lambda and Scheduler send their failures to standard queues only; a request without TLS is refused."""
    assert not any("FifoQueue" in properties(queue) for queue in QUEUES)
    urls = {f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/stack-{queue}" for queue in QUEUES}
    assert set(properties("QueuePolicy")["Queues"]) == urls
    [statement] = properties("QueuePolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("hours", source()["Parameters"]["GiveUpAfterHours"]["AllowedValues"])
@pytest.mark.parametrize("limit", source()["Parameters"]["PassTimeoutSeconds"]["AllowedValues"])
def test_retries_last_as_long_as_the_records(hours: str, limit: str) -> None:
    """Tries come every 12 to 15 minutes; the last comes in the last 12 minutes of GiveUpAfterHours."""
    made = resolved(**PARAMETERS, GiveUpAfterHours=hours, PassTimeoutSeconds=limit)
    queue, timeout = properties("RetryQueue", made), int(properties("RetryFunction", made)["Timeout"])
    hidden, tries = int(queue["VisibilityTimeout"]), int(queue["RedrivePolicy"]["maxReceiveCount"])
    assert max(720, 6 * timeout) == hidden <= 900
    assert int(hours) * 3600 - 720 <= (tries - 1) * hidden <= int(hours) * 3600
    assert tries <= 1000  # SQS's own limit
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == arn("FailureQueue")


def test_indexes_hold_keys_only() -> None:
    """Their names are contracts, and each of their writes is billed by its size."""
    indexes = properties("CreditCardNotifyTable")["GlobalSecondaryIndexes"]
    assert [index["IndexName"] for index in indexes] == ["due", "order", "failed"]
    assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in indexes)


# The parameters that name what exists already, and how the policies name what is made or assumed without them.
EXISTING = {
    **{f"Existing{table}": f":table/{properties(table)['TableName']}" for table in TABLES},
    "ProcessPaidOrderFunction": ":function:payment3-process-paid-order-dev",
    "ErrorMailIdentity": ":identity/payment3@local.example",
}


@pytest.mark.parametrize("parameter", EXISTING)
def test_existing_resource_takes_the_place_of_ours(parameter: str) -> None:
    """Where a live payment3 names one, none is made; functions and policies use its name, and nothing else changes."""
    given, name = resolved(**PARAMETERS, **{parameter: "live"}), parameter.removeprefix("Existing")
    assert name not in given
    before, after = (properties("RecheckFunction", made)["Environment"]["Variables"] for made in (RESOURCES, given))
    variable = re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper()
    assert after == before | ({variable: "live"} if variable in before else {})
    here = EXISTING[parameter]
    policies = [json.dumps([statements(role, made) for role in ROLES]) for made in (RESOURCES, given)]
    assert policies[1] == policies[0].replace(here, re.sub("[^/:]+$", "live", here)) != policies[0]


# --- a key that the owner brings ---


def test_given_key_encrypts_what_the_template_makes() -> None:
    """With KmsKeyArn, tables, queues and logs are under it, and every role may use it; without, no role has a key."""
    assert {properties(table, WITH_KEY)["SSESpecification"]["KMSMasterKeyId"] for table in TABLES} == {KEY}
    queues = [properties(queue, WITH_KEY) for queue in QUEUES]
    assert {queue["KmsMasterKeyId"] for queue in queues} == {KEY}
    assert not any("SqsManagedSseEnabled" in queue for queue in queues)  # SQS takes one of both
    assert {properties(f"{function}LogGroup", WITH_KEY)["KmsKeyId"] for function in FUNCTIONS} == {KEY}
    for role in ROLES:
        added = [(s["Action"], s["Resource"]) for s in statements(role, WITH_KEY) if s not in statements(role)]
        assert added == [("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY)], role


# --- parameters and rules ---


def test_every_text_parameter_is_checked_before_anything_is_made() -> None:
    """A wrong parameter stops the deployment, not the first notification; the defaults deploy."""
    for name, about in source()["Parameters"].items():
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(about), name
        assert re.fullmatch(about.get("AllowedPattern", ".*"), str(about["Default"])), name


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("RecheckDelays", "0"), ("RecheckDelays", ""), ("Branch", "a b"), ("Branch", ""), ("ErrorMailTo", "nobody")),
        *(("RedirectUrlTemplate", "https://{orderId}.shop.example/"), ("RedirectAllowedOrigins", "shop.example")),
        *(("KBankSecretId", "a*"), ("ProcessPaidOrderFunction", "a:b"), ("KmsKeyArn", "alias/ours")),
    ],
)
def test_malformed_parameter_does_not_deploy(name: str, bad: str) -> None:
    """The parameter's own pattern refuses what Settings or IAM could not read (for a list: each part of it)."""
    assert not re.fullmatch(source()["Parameters"][name]["AllowedPattern"], bad)


@pytest.mark.parametrize("branch", ["prod", "production", "main", "master"])
def test_production_is_protected(branch: str) -> None:
    """samconfig.toml deploys it only when it is filled in, and its tables cannot be deleted by hand or by a script."""
    assert refusals(Branch=branch, **GIVEN) == refusals(Branch="dev") == []
    for name in GIVEN:
        [refusal] = refusals(Branch=branch, **{key: value for key, value in GIVEN.items() if key != name})
        assert refusal.startswith(f"{name} must ")
    made = resolved(**PARAMETERS, Branch=branch)
    assert all(properties(table, made)["DeletionProtectionEnabled"] for table in TABLES)


@pytest.mark.parametrize(("delays", "deploys"), [("60", True), ("90, 3600", True), ("59", False), ("60,5", False)])
def test_production_waits_at_least_60_seconds(delays: str, *, deploys: bool) -> None:
    """Between passes; a developer's branch may wait less. The functions get the delays as they were given."""
    assert (refusals(Branch="prod", **GIVEN, RecheckDelays=delays) == []) is deploys
    assert refusals(RecheckDelays=delays) == []
    variables = properties("RecheckFunction", resolved(RecheckDelays=delays))["Environment"]["Variables"]
    assert variables["RECHECK_DELAYS"] == delays.replace(" ", "")


# --- alarms ---

# By number of periods, seconds in each, and threshold: the metrics, and what they are about.
RINGS = {
    (1, 60, 1): {"ApproximateNumberOfMessagesVisible stack-FailureQueue"},
    (1, 300, 1): {
        *("Failed dev", "Refused dev", "Contradictions dev", "MailFailed dev"),
        "DestinationDeliveryFailures payment3-delayed-notify-dev",
        "InvocationDroppedCount payment3-recheck-dev",
        "InvocationsFailedToBeSentToDeadLetterCount payment3-recheck-dev",
    },
    (1, 300, 15 * 60 * 1000): {"AsyncEventAge payment3-delayed-notify-dev"},
    (3, 300, 1): {
        *("TimerFailed dev", "ShardsUnread dev", "Throttles payment3-delayed-notify-dev"),
        *(f"{name} payment3-recheck-dev" for name in ("Throttles", "TargetErrorCount", "TargetErrorThrottledCount")),
        "InvocationThrottleCount payment3-recheck-dev",
    },
    (6, 300, 1): {f"ApproximateNumberOfMessages{kind} stack-RetryQueue" for kind in ("Visible", "NotVisible")},
    (12, 300, 1): {"SecretFailed dev"},
    (2, 900, 1): {"Unsaved dev"},
    (1, 900, 900): {"OldestOverdue dev"},
    (1, 900, 3600): {"OldestOverdueUnproved dev"},
    (1, 3600, 1): {"FailedUnproved dev", "ContradictionsUnproved dev", "NumberOfMessagesSent stack-RefusedQueue"},
    (2, 3600, 1): {"AsyncEventsDropped payment3-delayed-notify-dev"},
    (1, 3600, 5): {"ChecksumsUnverifiable dev"},
    (1, 3600, 20): {"ChecksumsInvalid dev"},
}


def test_alarms_ring_when_a_person_is_needed() -> None:
    """At once for what does not mend itself, later for what might. Each queue has an alarm, and there are no others."""
    found = defaultdict(list)
    for alarm in ALARMS.values():
        when = (alarm["EvaluationPeriods"], alarm["Period"], alarm["Threshold"])
        found[when].append(f"{alarm['MetricName']} {alarm['Dimensions'][0]['Value']}")
    assert {when: sorted(names) for when, names in found.items()} == {at: sorted(RINGS[at]) for at in RINGS}
    assert {f"stack-{queue}" for queue in QUEUES} <= {name.split()[1] for names in found.values() for name in names}


@pytest.mark.parametrize("given", ["", GIVEN["AlarmTopicArn"]])
def test_alarm_has_the_right_statistic_and_reports_its_end(given: str) -> None:
    """Levels go by their maximum, counts by their sum; the topic, the stack's or a given one, hears of the end, too."""
    names = {"payment3/follow-up": "Branch", "AWS/SQS": "QueueName", "AWS/Lambda": "FunctionName"}
    made = resolved(**PARAMETERS, AlarmTopicArn=given)
    for alarm in (properties(name, made) for name in ALARMS):
        metric = alarm["MetricName"]
        is_level = metric.startswith(("OldestOverdue", "AsyncEventAge", "Approximate"))
        stalls = alarm["EvaluationPeriods"] == 6 and metric.endswith("sVisible")  # each letter is visible for a moment
        assert alarm["Statistic"] == ("Minimum" if stalls else "Maximum" if is_level else "Sum")
        assert alarm["TreatMissingData"] == ("breaching" if metric == "OldestOverdue" else "notBreaching")
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert [d["Name"] for d in alarm["Dimensions"]] == [names.get(alarm["Namespace"], "ScheduleGroup")]
        # The end, too: an alarm that still rings rings nobody again.
        assert alarm["AlarmActions"] == alarm["OKActions"] == [given or "payment3-follow-up-alarms-dev"]
