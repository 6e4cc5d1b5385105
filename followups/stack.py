"""A deployed stack, found by its name: what its outputs say of itself, and the clients that reach it.

Profile, region and endpoint come from the environment, as for any AWS tool.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from callback.settings import MARGIN_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

DEFAULT = "payment3-follow-up-dev"
# A function's longest: template.yaml allows passes of 120 s.
LONGEST_SECONDS = 120 + MARGIN_SECONDS
# A synchronous invocation waits for a cold start too, which the function's own timeout does not count.
PATIENCE_SECONDS = LONGEST_SECONDS + 30
_QUICK = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
# No second attempt: botocore would invoke the function again while it still runs.
_PATIENT = Config(
    connect_timeout=5, read_timeout=PATIENCE_SECONDS, retries={"total_max_attempts": 1}, tcp_keepalive=True
)


class StackError(Exception):
    """The stack is not what was asked for; the message says what to do."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack; nothing is asked of AWS before it is needed."""

    name: str = DEFAULT

    @cached_property
    def session(self) -> boto3.Session:
        """The account and region that the environment names."""
        return boto3.Session()

    @cached_property
    def outputs(self) -> dict[str, str]:
        """What template.yaml says of itself. Raises `StackError` where there is no such stack."""
        client = self.session.client("cloudformation", config=_QUICK)
        try:
            [stack] = client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            where = f"no stack {self.name} in {client.meta.region_name}"
            raise StackError(f"{where}: name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION") from error
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def output(self, key: str) -> str:
        """Return one output, or raise `StackError`: the stack is another one's, or older than these tools."""
        if key not in self.outputs:
            raise StackError(f"stack {self.name} has no output {key}: name another (--stack), or deploy it anew")
        return self.outputs[key]

    @property
    def delayed_notify(self) -> str:
        """DelayedNotify's ARN."""
        return self.output("DelayedNotifyFunctionArn")

    @property
    def recheck(self) -> str:
        """Recheck's ARN."""
        return self.output("RecheckFunctionArn")

    @property
    def own_functions(self) -> frozenset[str]:
        """The ARNs of the stack's functions: a letter goes to one of them, or nowhere."""
        return frozenset({self.delayed_notify, self.recheck, self.output("SweepFunctionArn")})

    @cached_property
    def sqs(self) -> "SQSClient":
        """The failure queues' service."""
        return self.session.client("sqs", config=_QUICK)

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda, through a client that waits for the longest invocation and never makes a second."""
        return self.session.client("lambda", config=_PATIENT)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """The tables' service."""
        return self.session.client("dynamodb", config=_QUICK)
