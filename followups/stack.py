"""A deployed stack, found by its name: what its outputs say of itself, and the clients that reach it.

Profile, region and endpoint come from the environment, as for any AWS tool, unless they are named.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from callback.settings import MARGIN_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
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
class Account:
    """Where the stack is: boto3.Session's own keywords, and the endpoint where it is not AWS's. Empty: as ever.

    `options` are those that lead another command there.
    """

    session: Mapping[str, str] = field(default_factory=dict)
    endpoint_url: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A deployed stack; nothing is asked of AWS before it is needed."""

    name: str = DEFAULT
    account: Account = field(default_factory=Account)

    def command(self, *words: str, ids: tuple[str, ...] = ()) -> str:
        """Return a command of these tools' for this very stack, fit to be pasted into a shell."""
        where = ("--stack", self.name, *self.account.options)
        return " ".join(map(_quoted, ["followups", *words, *where, *(["--", *ids] if ids else [])]))

    @cached_property
    def session(self) -> boto3.Session:
        """The account and region that were named, or those of the environment."""
        named: Any = self.account.session
        return boto3.Session(**named)

    @property
    def outputs(self) -> dict[str, str]:
        """What template.yaml says of itself. Raises `StackError` where there is no such stack."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._described.get("Outputs", [])}

    @property
    def parameters(self) -> dict[str, str]:
        """What it was deployed with. Raises `StackError` where there is no such stack."""
        given = self._described.get("Parameters", [])
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in given}

    @cached_property
    def _described(self) -> "StackTypeDef":
        client: CloudFormationClient = self._client("cloudformation")
        try:
            [stack] = client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            where = f"no stack {self.name} in {client.meta.region_name}"
            raise StackError(f"{where}: name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION") from error
        return stack

    def output(self, key: str) -> str:
        """Return one output, or raise `StackError`: the stack is another one's, or older than these tools."""
        if key not in self.outputs:
            raise StackError(f"stack {self.name} has no output {key}: name another (--stack), or deploy it anew")
        return self.outputs[key]

    def parameter(self, key: str) -> str:
        """Return one parameter, or raise `StackError` as `output` does."""
        if key not in self.parameters:
            raise StackError(f"stack {self.name} has no parameter {key}: name another (--stack), or deploy it anew")
        return self.parameters[key]

    @property
    def delays(self) -> tuple[int, ...]:
        """Seconds from each pass to the next: one less than there are passes."""
        return tuple(int(delay) for delay in self.parameter("RecheckDelays").split(","))

    def give_up_after(self, *, proved: bool) -> timedelta:
        """How long a pass is tried again, from when it was first due, before its notification is FAILED."""
        return timedelta(hours=int(self.parameter("GiveUpAfterHours" if proved else "UnprovedGiveUpAfterHours")))

    @property
    def settled_statuses(self) -> tuple[str, ...]:
        """The statuses of an order that end its follow-up before the plan does; none where the plan alone ends it."""
        return tuple(status.strip() for status in self.parameter("SettledOrderStatuses").split(",") if status.strip())

    @property
    def delayed_notify(self) -> str:
        """DelayedNotify's ARN."""
        return self.output("DelayedNotifyFunctionArn")

    @property
    def recheck(self) -> str:
        """Recheck's ARN."""
        return self.output("RecheckFunctionArn")

    @cached_property
    def sqs(self) -> "SQSClient":
        """The queues' service."""
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def functions(self) -> "LambdaClient":
        """Lambda, through a client that waits for the longest invocation and never makes a second."""
        client: LambdaClient = self._client("lambda", _PATIENT)
        return client

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """The tables' service."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @cached_property
    def scheduler(self) -> "EventBridgeSchedulerClient":
        """The timers' service."""
        client: EventBridgeSchedulerClient = self._client("scheduler")
        return client

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        """The merchant's keys' service."""
        client: SecretsManagerClient = self._client("secretsmanager")
        return client

    def _client(self, service: str, config: Config = _QUICK) -> Any:  # noqa: ANN401 - one of many typed clients
        make: Any = self.session.client
        endpoint = {"endpoint_url": self.account.endpoint_url} if self.account.endpoint_url else {}
        return make(service, config=config, **endpoint)


def _quoted(word: str) -> str:
    # A clipboard and a terminal obey control characters: they are written out, as bash and zsh read them.
    if word.isprintable():
        return shlex.quote(word)
    codes = ((letter, ord(letter)) for letter in word)
    inner = (
        f"\\{letter}" if letter in "\\'" else letter if letter.isprintable() else f"\\U{code:08x}"
        for letter, code in codes
    )
    return f"$'{''.join(inner)}'"
