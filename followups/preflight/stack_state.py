"""The stack that would be made or changed: may it be, and what does it have already?"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from followups.preflight.finding import Finding, Unread
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_DESCRIBE, LIST = "cloudformation:DescribeStacks", "cloudformation:ListStackResources"
# From these CloudFormation goes on to an update; a stack under review has had no deployment yet.
_READY = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
}
_TODO = {
    "ROLLBACK_COMPLETE": "delete the stack; name the tables that it left (Existing...Table)",
    "ROLLBACK_FAILED": "delete the stack; name the tables that it left (Existing...Table)",
    "UPDATE_ROLLBACK_FAILED": "continue the rollback",
    "DELETE_FAILED": "delete the stack again",
}


@dataclass(frozen=True)
class StackState:
    """What there is of the stack; `owned` is None where its resources could not be read."""

    findings: tuple[Finding, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    owned: frozenset[tuple[str, str]] | None = frozenset()


def stack_state(target: Target, name: str) -> StackState:
    """Read the stack's state, its parameters, and the types and ids of its resources."""
    client: CloudFormationClient = target.client("cloudformation")
    subject = f"stack {name}"
    try:
        found = _described(client, subject, name)
    except Unread as error:
        return StackState((error.finding,), owned=None)
    if found is None:
        return StackState((Finding("ok", subject, "will be made"),))
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    state = _finding(subject, found["StackStatus"])
    try:
        return StackState((state,), parameters, frozenset(_owned(client, subject, name)))
    except Unread as error:
        return StackState((state, error.finding), parameters, owned=None)


def _described(client: "CloudFormationClient", subject: str, name: str) -> Any:  # noqa: ANN401 - a stack, or None
    try:
        answer = ask(subject, _DESCRIBE, client.describe_stacks, StackName=name)
    except Unread as error:
        # CloudFormation's word for "there is no such stack" is that of any wrong request.
        cause = error.__cause__
        if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return answer["Stacks"][0] if answer else None


def _finding(subject: str, status: str) -> Finding:
    if status in _READY:
        return Finding("ok", subject, f"{status}, may be deployed to")
    return Finding(
        "stop", subject, f"{status}: CloudFormation refuses to update it", _TODO.get(status, "wait until it is done")
    )


def _owned(client: "CloudFormationClient", subject: str, name: str) -> Iterator[tuple[str, str]]:
    token: dict[str, str] = {}
    while True:
        answer = ask(subject, LIST, client.list_stack_resources, StackName=name, **token)
        for one in answer["StackResourceSummaries"] if answer else []:
            yield one["ResourceType"], one.get("PhysicalResourceId", "")
        if not answer or "NextToken" not in answer:
            return
        token = {"NextToken": answer["NextToken"]}
