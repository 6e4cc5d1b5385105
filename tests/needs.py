"""What IAM checks: for each AWS call of ours, and for what AWS itself does in a role's name.

Sources: the Service Authorization Reference (actions, resource types, condition keys); the Lambda Developer Guide,
"Execution role" and "Capturing records of asynchronous invocations"; the EventBridge Scheduler User Guide,
"Execution role" and "Configuring a dead-letter queue".
"""

from typing import Any, NamedTuple

from local.emulator import ACCOUNT, REGION
from tests.wire import Call

SCHEDULER = "scheduler.amazonaws.com"
# Secrets Manager adds a hyphen and six characters to a secret's name, anew for each secret.
SUFFIX = "a1B2c3"


class Need(NamedTuple):
    """One question to IAM."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def needs(call: Call) -> list[Need]:
    """Everything that IAM checks before a call is done; a call that is not listed here raises."""
    if call.name == "scheduler.CreateSchedule":
        passed = Need("iam:PassRole", call.request["Target"]["RoleArn"], (("iam:PassedToService", SCHEDULER),))
        return [Need("scheduler:CreateSchedule", _resource(call)), passed]
    if call.name == "ses.SendEmail":
        return [Need("ses:SendEmail", _resource(call), (("ses:FromAddress", call.request["Source"]),))]
    return [Need(f"{call.service}:{_ACTIONS.get(call.name, call.operation)}", _resource(call))]


_ACTIONS = {"lambda.Invoke": "InvokeFunction"}


def _resource(call: Call) -> str:
    match call.service, call.request:
        case "dynamodb", {"TableName": table, "IndexName": index}:
            path = f"table/{table}/index/{index}"
        case "dynamodb", {"TableName": table}:
            path = f"table/{table}"
        case "lambda", {"FunctionName": str(function)}:
            if function.startswith("arn:"):
                return function
            path = f"function:{function}"
        case "scheduler", {"GroupName": group, "Name": name}:
            path = f"schedule/{group}/{name}"
        case "secretsmanager", {"SecretId": name}:
            path = f"secret:{name}-{SUFFIX}"
        case "ses", {"Source": sender}:
            path = f"identity/{sender}"
        case _:
            raise NotImplementedError(call.name)
    return f"arn:aws:{call.service}:{REGION}:{ACCOUNT}:{path}"


def needs_of_lambda(function: dict[str, Any], on_failure: str) -> list[Need]:
    """What Lambda does in the name of a function's role: write its log, and keep the events that it gives up."""
    name, group = function["FunctionName"], function["LoggingConfig"]["LogGroup"]
    # IAM is asked about the stream in both: `...:log-group:NAME` without more would match neither.
    stream = f"log-group:{group}:log-stream:2026/11/22/{name}[$LATEST]{'a' * 32}"
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:{stream}"
    return [Need("logs:CreateLogStream", log), Need("logs:PutLogEvents", log), Need("sqs:SendMessage", on_failure)]


def needs_of_scheduler(timer: dict[str, Any]) -> list[Need]:
    """What Scheduler does in the name of a timer's role: invoke the target, or keep what it could not hand over."""
    target = timer["Target"]
    return [Need("lambda:InvokeFunction", target["Arn"]), Need("sqs:SendMessage", target["DeadLetterConfig"]["Arn"])]


def assuming_for(timer: dict[str, Any]) -> dict[str, str]:
    """What Scheduler presents when it assumes a timer's role: the group's ARN, never the schedule's own."""
    group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{timer['GroupName']}"
    return {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": group}
