"""What IAM is asked, for each AWS call of the functions and for what AWS itself does in a role's name; and its answer.

Policies are evaluated as far as the template needs it; what is not modelled raises.

Sources: the Service Authorization Reference (actions, resource types, condition keys); the IAM User Guide, "Policy
evaluation logic" and "IAM JSON policy element reference"; the Lambda Developer Guide, "Execution role", "Capturing
records of asynchronous invocations" and "Using Lambda with Amazon SQS"; the EventBridge Scheduler User Guide,
"Execution role" and "Configuring a dead-letter queue".
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from local.emulator import ACCOUNT, REGION
from tests.support.recorded_calls import Call

SCHEDULER = "scheduler.amazonaws.com"
# How a service's ARN goes on after the account. To a secret's name Secrets Manager adds a hyphen and six characters.
_PATHS = {
    "dynamodb": "table/{TableName}",
    "lambda": "function:{FunctionName}",
    "scheduler": "schedule/{GroupName}/{Name}",
    "secretsmanager": "secret:{SecretId}-a1B2c3",
}


class Need(NamedTuple):
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def needs(call: Call) -> list[Need]:
    """Everything that IAM checks before a call is done; a call that is not listed here raises."""
    if call.name == "scheduler.CreateSchedule":
        passed = Need("iam:PassRole", call.request["Target"]["RoleArn"], (("iam:PassedToService", SCHEDULER),))
        return [Need("scheduler:CreateSchedule", _resource(call)), passed]
    if call.name == "ses.SendEmail":
        # Also on its default configuration set, which the call does not name, and in SES's sandbox on its recipients.
        sender, recipients = call.request["Source"], call.request["Destination"]["ToAddresses"]
        paths = [*(f"identity/{name}" for name in (sender, *recipients)), "configuration-set/the-default"]
        context = (("ses:FromAddress", sender),)
        return [Need("ses:SendEmail", f"arn:aws:ses:{REGION}:{ACCOUNT}:{path}", context) for path in paths]
    action = "InvokeFunction" if call.name == "lambda.Invoke" else call.operation
    return [Need(f"{call.service}:{action}", _resource(call))]


def _resource(call: Call) -> str:
    asked = call.request
    if asked.get("FunctionName", "").startswith("arn:"):
        return str(asked["FunctionName"])
    path = asked["QueueUrl"].rsplit("/", 1)[1] if call.service == "sqs" else _PATHS[call.service].format(**asked)
    index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
    return f"arn:aws:{call.service}:{REGION}:{ACCOUNT}:{path}{index}"


def needs_of_lambda(function: dict[str, Any], on_failure: str | None, source: str | None) -> list[Need]:
    """What Lambda does in the name of a function's role: write its log, keep what it gives up, read its queue."""
    name, group = function["FunctionName"], function["LoggingConfig"]["LogGroup"]
    # IAM is asked about the stream in both: `...:log-group:NAME` without more would match neither.
    stream = f"log-group:{group}:log-stream:2026/11/22/{name}[$LATEST]{'a' * 32}"
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:{stream}"
    found = [Need("logs:CreateLogStream", log), Need("logs:PutLogEvents", log)]
    if on_failure:
        found.append(Need("sqs:SendMessage", on_failure))
    if source:
        found += [Need(f"sqs:{action}", source) for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")]
    return found


def needs_of_scheduler(timer: dict[str, Any]) -> list[Need]:
    """What Scheduler does in the name of a timer's role: invoke the target, or keep what it could not hand over."""
    target = timer["Target"]
    return [Need("lambda:InvokeFunction", target["Arn"]), Need("sqs:SendMessage", target["DeadLetterConfig"]["Arn"])]


def assuming_for(timer: dict[str, Any]) -> dict[str, str]:
    """What Scheduler presents when it assumes a timer's role: the group's ARN, never the schedule's own."""
    group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{timer['GroupName']}"
    return {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": group}


# --- its answer ---

Statement = dict[str, Any]
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def allowed(statements: Iterable[Statement], need: Need) -> bool:
    """Whether a statement allows what is needed and none denies it."""
    return {statement["Effect"] for statement in statements if _applies(statement, need)} == {"Allow"}


def trusted(statements: Iterable[Statement], service: str, context: dict[str, str]) -> bool:
    """Whether a role's trust policy lets a service assume the role."""
    # A trust policy names no resource: it is about the role that it is on.
    naming = [s | {"Resource": "*"} for s in statements if s["Principal"].get("Service") == service]
    return allowed(naming, Need("sts:AssumeRole", "", tuple(context.items())))


def _applies(statement: Statement, need: Need) -> bool:
    unknown = (set(statement) - _ELEMENTS) | (set(statement.get("Condition", {})) - {"StringEquals"})
    if unknown:
        raise NotImplementedError(f"{sorted(unknown)} in {statement}")
    found = {key.lower(): value for key, value in need.context}  # keys have no case
    wanted = statement.get("Condition", {}).get("StringEquals", {})
    return (
        fnmatchcase(need.action.lower(), statement["Action"].lower())
        and fnmatchcase(need.resource, statement["Resource"].replace("[", "[[]"))  # IAM knows `*` and `?` only
        and all(found.get(key.lower()) == value for key, value in wanted.items())
    )
