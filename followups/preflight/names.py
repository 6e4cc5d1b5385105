"""Names that the deployment would take: free, or this very stack's already; never another's.

Within an account and region there is one function of a name. Found taken here, it costs a line; found by
CloudFormation, it costs a deployment that is rolled back, and the tables that it leaves behind.
"""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from followups.preflight.finding import Finding, each
from followups.preflight.plan import Named, Plan
from followups.preflight.stack_state import LIST
from followups.preflight.target import Target, ask

_THING = {
    "AWS::Lambda::Function": "a function",
    "AWS::Logs::LogGroup": "a log group",
    "AWS::Scheduler::ScheduleGroup": "a schedule group",
    "AWS::CloudWatch::Dashboard": "a dashboard",
    "AWS::SNS::Topic": "a topic",
    "AWS::DynamoDB::Table": "a table",
}


def names(target: Target, plan: Plan, owned: frozenset[tuple[str, str]] | None) -> Iterator[Finding]:
    """Look for each name; `owned` are the types and ids of this stack's resources, None where they are not readable."""
    yield from each(*(_name(target, plan, named, owned) for named in plan.named))


def _name(target: Target, plan: Plan, named: Named, owned: frozenset[tuple[str, str]] | None) -> Iterator[Finding]:
    subject = f"{named.logical} {named.name}"
    id_ = _id(plan, named)
    if not _is_there(target, subject, named.kind, id_):
        yield Finding("ok", subject, "the name is free")
    elif owned is None:
        text = f"{_THING[named.kind]} of that name is there; whether it is of stack {plan.stack} is not readable"
        yield Finding("warn", subject, text, f"allow {LIST}", LIST)
    elif (named.kind, id_) in owned:
        yield Finding("ok", subject, f"stack {plan.stack} has it")
    else:
        yield _taken(subject, named, _owner(target, named.kind, id_))


def _taken(subject: str, named: Named, owner: str | None) -> Finding:
    text = f"{_THING[named.kind]} of that name is there" + (f", of stack {owner}" if owner else ", of no known stack")
    if named.kind == "AWS::DynamoDB::Table":
        return Finding("stop", subject, text, f"to use it: Existing{named.logical}={named.name}")
    if named.kind == "AWS::Lambda::Function":
        return Finding("stop", subject, text, "docs/adopting.md, Two functions, one name")
    return Finding("stop", subject, text, "delete or rename it, or deploy another Branch")


def _id(plan: Plan, named: Named) -> str:
    where = plan.where
    arn = f"arn:{where.partition}:sns:{where.region}:{where.account}:{named.name}"
    return arn if named.kind == "AWS::SNS::Topic" else named.name


def _is_there(target: Target, subject: str, kind: str, id_: str) -> bool:
    if kind == "AWS::Logs::LogGroup":
        return _log_group_is_there(target, subject, id_)
    service, action, call, parameter = _LOOKS[kind]
    found: Callable[..., Any] = getattr(target.client(service), call)
    return ask(subject, action, found, **{parameter: id_}) is not None


_LOOKS = {
    "AWS::Lambda::Function": (
        "lambda", "lambda:GetFunctionConfiguration", "get_function_configuration", "FunctionName"
    ),
    "AWS::Scheduler::ScheduleGroup": ("scheduler", "scheduler:GetScheduleGroup", "get_schedule_group", "Name"),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "cloudwatch:GetDashboard", "get_dashboard", "DashboardName"),
    "AWS::SNS::Topic": ("sns", "sns:GetTopicAttributes", "get_topic_attributes", "TopicArn"),
    "AWS::DynamoDB::Table": ("dynamodb", "dynamodb:DescribeTable", "describe_table", "TableName"),
}  # fmt: skip


def _log_group_is_there(target: Target, subject: str, name: str) -> bool:
    call = target.client("logs").describe_log_groups
    # By prefix, fewest first: the group itself sorts before whatever continues its name.
    answer: Any = ask(subject, "logs:DescribeLogGroups", call, logGroupNamePrefix=name, limit=1)
    return any(group["logGroupName"] == name for group in (answer or {}).get("logGroups", []))


def _owner(target: Target, kind: str, id_: str) -> str | None:
    # Only to say more: without this permission, or where no stack has it, the name is taken all the same.
    call = target.client("cloudformation").describe_stack_resources
    try:
        found = call(PhysicalResourceId=id_)["StackResources"]
    except (ClientError, BotoCoreError):
        return None
    return next((str(one["StackName"]) for one in found if one["ResourceType"] == kind), None)
