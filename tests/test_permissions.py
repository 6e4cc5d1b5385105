"""Who may do what: each function's role against the calls that the function really makes."""

from fnmatch import fnmatchcase
from typing import Any

import pytest

from callback.errors import NotificationNotFound, PassFailed
from local.emulator import ACCOUNT, REGION
from tests.template import resolved
from tests.test_template import properties, statements
from tests.wire import Call, refuse
from tests.world import PARAMETERS, World, sample


def _needs(call: Call) -> tuple[str, str]:
    arn, request = f"arn:aws:{call.service}:{REGION}:{ACCOUNT}:", call.request
    match call.service:
        case "dynamodb":
            return f"dynamodb:{call.operation}", f"{arn}table/{request['TableName']}"
        case "lambda":
            return "lambda:InvokeFunction", f"{arn}function:{request['FunctionName']}"
        case "scheduler":
            return "scheduler:CreateSchedule", f"{arn}schedule/{request['GroupName']}/{request['Name']}"
        case "secretsmanager":
            return "secretsmanager:GetSecretValue", f"{arn}secret:{request['SecretId']}-AbCd12"
    return "ses:SendEmail", f"{arn}identity/{request['Source']}"


def _allows(statement: dict[str, Any], action: str, resource: str) -> bool:
    return (
        statement["Effect"] == "Allow"
        and statement["Action"] == action
        and fnmatchcase(resource, statement["Resource"])
    )


def test_each_role_allows_every_call_that_its_function_makes_and_no_other(world: World) -> None:
    """Each request is allowed by a statement on its very resource, and no statement is without its request."""
    made: dict[str, list[Call]] = {}
    for role, invoke in (("DelayedNotifyRole", world.deliver), ("RecheckRole", world.recheck)):
        world.wire.calls.clear()
        world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
        with pytest.raises(PassFailed):
            invoke()
        invoke()
        made[role] = list(world.wire.calls)
        world.wait(60)
    world.cold_start(RECHECK_DELAYS="60,60")
    world.wire.calls.clear()
    second = sample("authorized") | {"requestContext": {"requestId": "another"}}
    world.deliver(second)
    world.wait(60)
    world.wire.calls.clear()
    world.recheck(notificationId="another")  # of a longer plan: it arms a timer too
    with pytest.raises(NotificationNotFound):
        world.recheck(notificationId="never-saved")  # its first failure: it mails too
    made["RecheckRole"] += world.wire.calls
    for role, calls in made.items():
        needed = {_needs(call) for call in calls}
        ours = [
            s for s in statements(role) if s["Sid"] not in {"OpenLog", "WriteLog", "PassSchedulerRole", "KeepFailure"}
        ]
        assert [need for need in needed if not any(_allows(s, *need) for s in ours)] == []
        assert [s["Sid"] for s in ours if not any(_allows(s, *need) for need in needed)] == []


def test_mail_may_be_sent_only_as_the_sender() -> None:
    """A verified domain can send as anyone in it: the policy says who."""
    for role in ("DelayedNotifyRole", "RecheckRole"):
        [mail] = [s for s in statements(role) if s["Action"] == "ses:SendEmail"]
        assert mail["Condition"] == {"StringEquals": {"ses:FromAddress": "payment3@local.example"}}


@pytest.mark.parametrize("function", ["DelayedNotify", "Recheck"])
def test_functions_role_trusts_lambda_alone_and_writes_to_its_own_log(function: str) -> None:
    """Nobody else assumes the role, and each function logs to its own group."""
    [trust] = properties(f"{function}Role")["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Action"]) == ({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole")
    group = properties(f"{function}LogGroup")["LogGroupName"]
    logs = {s["Action"]: s["Resource"] for s in statements(f"{function}Role") if s["Action"].startswith("logs:")}
    assert set(logs) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert {r.split("log-group:")[1] for r in logs.values()} == {f"{group}:*"}


def test_schedulers_role_may_do_what_the_timer_asks_of_it(world: World) -> None:
    """The role that the timer names invokes the timer's target and writes to the timer's dead-letter queue."""
    world.deliver()
    [request] = world.wire.of("scheduler.CreateSchedule")
    allowed = {s["Action"]: s["Resource"] for s in statements("SchedulerRole")}
    assert allowed == {
        "lambda:InvokeFunction": request["Target"]["Arn"],
        "sqs:SendMessage": request["Target"]["DeadLetterConfig"]["Arn"],
    }


@pytest.mark.parametrize("role", ["DelayedNotifyRole", "RecheckRole"])
def test_given_tables_take_the_place_of_made_ones_in_every_statement(role: str) -> None:
    """With all four tables given, each statement names the one it named before, by its new name."""
    tables = ("CreditCardNotifyTable", "CardPaymentRecordTable", "OrderTable", "CallbackErrorLogTable")
    made, given = resolved(**PARAMETERS), resolved(**PARAMETERS, **{f"Existing{t}": f"live-{t}" for t in tables})
    names = {made[t]["Properties"]["TableName"]: f"live-{t}" for t in tables}

    def named(resources: dict[str, Any]) -> dict[str, str]:
        policies = resources[role]["Properties"]["Policies"]
        return {
            s["Sid"]: s["Resource"].split(":table/")[1]
            for p in policies
            for s in p["PolicyDocument"]["Statement"]
            if ":table/" in s["Resource"]
        }

    assert named(given) == {sid: names[table] for sid, table in named(made).items()}
