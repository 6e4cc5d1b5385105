"""A deployed stack, found by its name; the local one; and what AWS's errors mean.

Profile, region and endpoint come from the environment, as for any AWS tool, unless they are named.
"""

import json
import re
import shlex
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as Unreachable,
)

from callback.settings import MARGIN_SECONDS
from followups.operator import DEFAULT
from followups.text import printable

# A function's longest: template.yaml allows passes of 120 s.
LONGEST_SECONDS = 120 + MARGIN_SECONDS
# A synchronous invocation waits for a cold start too, which the function's own timeout does not count.
PATIENCE_SECONDS = LONGEST_SECONDS + 30
RETRY, REFUSED, FAILURE = "RetryQueue", "RefusedQueue", "FailureQueue"
QUEUES = (RETRY, REFUSED, FAILURE)
QUICK = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
# No second attempt: botocore would invoke the function again while it still runs.
_PATIENT = Config(
    connect_timeout=5, read_timeout=PATIENCE_SECONDS, retries={"total_max_attempts": 1}, tcp_keepalive=True
)


class StackError(Exception):
    """The stack is not what was asked for; the message says what to do."""


ERRORS = (StackError, ClientError, BotoCoreError)


@dataclass(frozen=True)
class Account:
    """Where the stack is: boto3.Session's own keywords, and the endpoint where it is not AWS's. Empty: as ever.

    `options` are those that lead another command there.
    """

    session: Mapping[str, str] = field(default_factory=dict)
    endpoint_url: str | None = None
    options: tuple[str, ...] = ()


def _service(name: str, config: Config = QUICK) -> cached_property[Any]:
    return cached_property(lambda stack: stack.client(name, config))


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
    def _described(self) -> dict[str, Any]:
        client = self.client("cloudformation")
        try:
            [stack] = client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            where = f"no stack {self.name} in {client.meta.region_name}"
            todo = f"name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION{_others(client)}"
            raise StackError(f"{where}: {todo}") from error
        found: dict[str, Any] = stack
        return found

    def output(self, key: str) -> str:
        """Return one output, or raise `StackError`: the stack is another one's, or older than these tools."""
        if key not in self.outputs:
            raise StackError(f"stack {self.name} has no output {key}; name another (--stack), or deploy it anew")
        return self.outputs[key]

    def parameter(self, key: str) -> str:
        """Return one parameter, or raise `StackError` as `output` does."""
        if key not in self.parameters:
            raise StackError(f"stack {self.name} has no parameter {key}; name another (--stack), or deploy it anew")
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

    def letters(self) -> dict[str, int]:
        """How many messages are in each queue that is not empty, by SQS's estimate."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        urls, client = {name: self.output(name) for name in QUEUES}, self.sqs

        def count(name: str) -> int:
            about = client.get_queue_attributes(QueueUrl=urls[name], AttributeNames=names)["Attributes"]
            return sum(int(about[name]) for name in names)

        with ThreadPoolExecutor(len(QUEUES)) as pool:
            counts = dict(zip(QUEUES, pool.map(count, QUEUES), strict=True))
        return {name: number for name, number in counts.items() if number}

    def about_letters(self) -> list[str]:
        """Say for each queue that is not empty how many letters it has, and the command that repairs."""
        try:
            letters = self.letters()
        except ClientError as error:  # a role that may read the records may not be allowed this
            return [f"How many were not saved is unknown: {printable(str(error))}"]
        redrive, look = (self.command("dead-letters", word) for word in ("redrive", "list"))
        todo = {RETRY: "tried again by themselves", REFUSED: look, FAILURE: f"once the cause is gone: {redrive}"}
        return [f"{number} not saved, in {name}: {todo[name]}" for name, number in letters.items()]

    dynamodb, sqs, scheduler = _service("dynamodb"), _service("sqs"), _service("scheduler")
    secrets = _service("secretsmanager")
    # Waits for the longest invocation, and never makes a second.
    functions = _service("lambda", _PATIENT)

    def client(self, service: str, config: Config = QUICK) -> Any:  # noqa: ANN401 - one of many clients
        """Make the client of a service."""
        make: Any = self.session.client
        if not (url := self.account.endpoint_url):
            return make(service, config=config)
        # The way to this machine is through no proxy.
        return make(service, config=config.merge(Config(proxies={})), endpoint_url=url)


def _others(client: Any) -> str:  # noqa: ANN401 - CloudFormation's
    try:
        stacks = client.describe_stacks()["Stacks"]
    except (ClientError, BotoCoreError):  # a role that may read one stack may not be allowed to list them
        return ""
    ours = [one["StackName"] for one in stacks if {"RetryQueue"} & {o["OutputKey"] for o in one.get("Outputs", [])}]
    return f"; there are {', '.join(ours)}" if ours else ""


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


UP = Path(".local") / "up.json"
_CHECKOUT = Path(__file__).resolve().parent.parent
_TO_DO = "`make up` starts the local stack; without --local the environment's account is used"


def local_account(folder: Path | None = None) -> Account:
    """Return the way to the local stack of this folder or of this program's own checkout; raises `StackError`."""
    places = [(folder or Path.cwd()) / UP, _CHECKOUT / UP]
    kept = next((place for place in places if place.is_file()), None)
    if kept is None:
        raise StackError(f"no local stack is up: {_TO_DO}")
    try:
        session = dict(json.loads(kept.read_text())["session"])
        endpoint = str(session.pop("endpoint_url"))
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{kept} was not written by `make up`: `make down`, then {_TO_DO}") from error
    if not _answers(endpoint):
        raise StackError(f"nothing answers at {endpoint}, which {kept} names: `make down`, then {_TO_DO}")
    return Account(session, endpoint, ("--local",))


def _answers(endpoint: str) -> bool:
    place = urlsplit(endpoint)
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), timeout=2):
            return True
    except (OSError, ValueError):
        return False


class StillFails(Exception):
    """The function failed, or could not be reached; the message is the error's type and text, scrubbed."""


def invoke(stack: Stack, function: str, payload: str) -> object:
    """Invoke a function, wait for its end and return what it answered, or raise `StillFails`."""
    try:
        answer = stack.functions.invoke(FunctionName=function, Payload=payload)
        body = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        raise StillFails(printable(f"{type(error).__name__}: {error}")) from error
    result = _json(body)
    if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
        raise StillFails(error_line(result))
    return result


def error_line(answer: object) -> str:
    """Return what Lambda says of a function's error: its type and message, never its payload."""
    about = answer if isinstance(answer, Mapping) else {}
    return printable(f"{about.get('errorType', 'an error')}: {about.get('errorMessage', 'without a text')}")


def _json(body: bytes) -> object:
    try:
        answer: object = json.loads(body)
    except ValueError:
        return None
    return answer


_SIGN_IN = "Sign in again (for example `aws sso login`), or set AWS_PROFILE."
_WAIT = "AWS asks for patience: try again in a moment."
_DEPLOY = "The stack is older than these tools, or not theirs: deploy it anew, or name another (--stack)."
_ALLOW = "Ask for {}: docs/operations.md, What operators may do."
_CHECK = "Check profile, region and permissions (--profile, --region; COMMAND --help names the permissions)."
_ENDPOINT = (
    "Check AWS_DEFAULT_REGION, which may not be empty, and AWS_ENDPOINT_URL, which begins with http:// or https://."
)
# By what the error's code contains.
_ADVICE = {
    "AccessDenied": _ALLOW,
    "Unauthorized": _ALLOW,
    "ExpiredToken": _SIGN_IN,
    "InvalidClientTokenId": _SIGN_IN,
    "UnrecognizedClient": _SIGN_IN,
    "InvalidSignature": _SIGN_IN,
    "Throttl": _WAIT,
    "ThroughputExceeded": _WAIT,
    "LimitExceeded": _WAIT,
    "InternalServerError": _WAIT,
    "ServiceUnavailable": _WAIT,
    "ResourceNotFound": _DEPLOY,
    "NonExistentQueue": _DEPLOY,
    "ValidationException": _DEPLOY,  # an index that is not there
}
_OF_BOTO: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    ((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, SSOError), _SIGN_IN),
    (ProfileNotFound, "Set AWS_PROFILE to one of the profiles that `aws configure list-profiles` shows."),
    (NoRegionError, "Set AWS_DEFAULT_REGION, or name a profile that has a region."),
    (InvalidRegionError, _ENDPOINT),
    ((Unreachable, HTTPClientError), "AWS cannot be reached: check network, proxy, region and AWS_ENDPOINT_URL."),
    (StackError, ""),  # says by itself what to do
    (BotoCoreError, _CHECK),
)


@dataclass(frozen=True)
class Problem:
    """What went wrong, on one line and without secrets, and what to do."""

    what: str
    advice: str


def explain(error: Exception) -> Problem | None:
    """Word an error of AWS's or of ours; None where it is neither."""
    text = printable(str(error))
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        advice = next((advice for part, advice in _ADVICE.items() if part in code), _CHECK)
        denied = re.search(r"perform: ([a-z-]+:\w+)", text)
        return Problem(text, advice.format(denied[1] if denied else "what the command's --help names"))
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):  # botocore's, which has no class
        return Problem(text, _ENDPOINT)
    return next((Problem(text, advice) for kinds, advice in _OF_BOTO if isinstance(error, kinds)), None)
