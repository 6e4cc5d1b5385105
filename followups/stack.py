"""A deployed stack and its account, the local stack, and advice for AWS's errors."""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from callback.table import AWS_ERRORS
from followups.cli import DEFAULT
from followups.output import printable

Read = TypeVar("Read")
RETRY, REFUSED, FAILURE = QUEUES = ("RetryQueue", "RefusedQueue", "FailureQueue")
_QUICK = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
# A function runs for 150 s at most (template.yaml), and its cold start is not counted. No second attempt: botocore
# would invoke it again while it still runs.
_PATIENT = Config(connect_timeout=5, read_timeout=180, retries={"total_max_attempts": 1}, tcp_keepalive=True)
_CHECKOUT = Path(__file__).resolve().parent.parent
_TO_DO = "`make up` starts the local stack; without --local the environment's account is used"


class StackError(Exception):
    """The stack is not what was expected; the message says what to do."""


ERRORS = (StackError, *AWS_ERRORS)


def _service(name: str, config: Config = _QUICK) -> cached_property[Any]:
    return cached_property(lambda stack: stack.client(name, config))


@dataclass(frozen=True)
class Stack:
    """A deployed stack; CloudFormation is asked about it when that is first needed.

    `session` has keywords of boto3.Session, and for the local stack its `endpoint_url`.
    """

    name: str = DEFAULT
    session: Mapping[str, str] = field(default_factory=dict)

    dynamodb, sqs, scheduler = _service("dynamodb"), _service("sqs"), _service("scheduler")
    secrets, functions = _service("secretsmanager"), _service("lambda", _PATIENT)

    @cached_property
    def _session(self) -> Any:
        named: Any = {name: value for name, value in self.session.items() if name != "endpoint_url"}
        return boto3.Session(**named)

    def client(self, service: str, config: Config = _QUICK) -> Any:
        """Make the client of a service."""
        how: dict[str, Any] = {"config": config}
        if url := self.session.get("endpoint_url"):  # HTTP_PROXY is for other machines
            how = {"config": config.merge(Config(proxies={})), "endpoint_url": url}
        return self._session.client(service, **how)

    def at_once(self, read: Callable[[Any], Read], what: Sequence[object]) -> list[Read]:
        """Read some things at the same time, and return the results in their order."""
        _ = self.values, self.dynamodb, self.sqs  # made here: boto3 cannot make clients in two threads at once
        with ThreadPoolExecutor(len(what)) as pool:
            return list(pool.map(read, what))

    def command(self, *words: str, ids: tuple[str, ...] = ()) -> str:
        """Return a command for this stack, fit to be pasted into a shell."""
        named = (word for name, value in self.session.items() for word in (f"--{name.removesuffix('_name')}", value))
        where = ["--stack", self.name, *(["--local"] if "endpoint_url" in self.session else named)]
        return " ".join(map(_quoted, ["followups", *words, *where, *(["--", *ids] if ids else [])]))

    def value(self, name: str) -> str:
        """Return an output or a parameter. Raises `StackError` if there is no such stack, or none of that name."""
        if name not in self.values:
            raise StackError(f"stack {self.name} has no {name}; name another (--stack), or deploy it anew")
        return self.values[name]

    @cached_property
    def values(self) -> dict[str, str]:
        """Its outputs and parameters, by their names. Raises `StackError` if there is no such stack."""
        client = self.client("cloudformation")
        try:
            [found] = client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            todo = f"name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION{_others(client)}"
            raise StackError(f"no stack {self.name} in {client.meta.region_name}: {todo}") from error
        kinds = ("Output", "Parameter")
        return {one[f"{kind}Key"]: str(one[f"{kind}Value"]) for kind in kinds for one in found.get(f"{kind}s", [])}

    @property
    def passes(self) -> int:
        """How many passes a notification gets: one more than there are delays between them."""
        return 1 + len(self.value("RecheckDelays").split(","))

    def count_letters(self, queue: str) -> int:
        """Return SQS's estimate of how many messages a queue holds, visible and hidden ones."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        about = self.sqs.get_queue_attributes(QueueUrl=self.value(queue), AttributeNames=names)["Attributes"]
        return sum(int(about[name]) for name in names)

    def about_letters(self) -> list[str]:
        """Return a line for each queue that is not empty: how many messages, and the command that repairs."""
        try:
            counts = self.at_once(self.count_letters, QUEUES)
        except ClientError as error:  # a role that may read the records may not be allowed this
            return [f"How many were not saved is unknown: {printable(str(error))}"]
        redrive, list_ = (self.command("dead-letters", word) for word in ("redrive", "list"))
        todo = ("retried automatically", list_, f"once the cause is gone: {redrive}")
        return [f"{n} not saved, in {name}: {what}" for name, n, what in zip(QUEUES, counts, todo, strict=True) if n]


def _others(client: Any) -> str:
    try:
        stacks = client.describe_stacks()["Stacks"]
    except AWS_ERRORS:  # a role that may read one stack may not be allowed to list them
        return ""
    names = [one["StackName"] for one in stacks if RETRY in {output["OutputKey"] for output in one.get("Outputs", [])}]
    return f"; there are {', '.join(names)}" if names else ""


def _quoted(word: str) -> str:
    # A clipboard and a terminal obey control characters, so these are escaped, as bash and zsh read them.
    escaped = "".join(c if c.isprintable() and c not in "\\'" else f"\\U{ord(c):08x}" for c in word)
    return shlex.quote(word) if word.isprintable() else f"$'{escaped}'"


def local_session() -> dict[str, str]:
    """Return how to reach the local stack of this folder or of this program's checkout. Raises `StackError`."""
    places = (folder / ".local" / "up.json" for folder in (Path.cwd(), _CHECKOUT))
    if (kept := next((place for place in places if place.is_file()), None)) is None:
        raise StackError(f"no local stack is up: {_TO_DO}")
    try:
        session = json.loads(kept.read_text())["session"]
        return {**session, "endpoint_url": session["endpoint_url"]}  # without it AWS itself would be asked
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{kept} was not written by `make up`: `make down`, then {_TO_DO}") from error


_SIGN_IN = "Sign in again (for example `aws sso login`), or set AWS_PROFILE."
_CHECK = "Check profile, region and permissions (--profile, --region; COMMAND --help names the permissions)."
# By parts of the error's code, or of its classes' names where it is botocore's own.
_ADVICE = {
    "AccessDenied Unauthorized": "Ask for {}: docs/operations.md, What operators may do.",
    "ExpiredToken InvalidClientTokenId UnrecognizedClient InvalidSignature": _SIGN_IN,
    "NoCredentialsError PartialCredentialsError CredentialRetrieval TokenRetrieval SSOError": _SIGN_IN,
    "Throttl Exceeded InternalServerError ServiceUnavailable": "AWS asks for patience: try again in a moment.",
    # The last where an index is not there.
    "ResourceNotFound NonExistentQueue ValidationException": "Deploy the stack anew, or name another (--stack).",
    "ProfileNotFound": "Set AWS_PROFILE to one of the profiles that `aws configure list-profiles` shows.",
    "NoRegionError": "Set AWS_DEFAULT_REGION, or name a profile that has a region.",
    "InvalidRegionError InvalidEndpoint": "Check AWS_DEFAULT_REGION, which may not be empty, and AWS_ENDPOINT_URL, "
    "which begins with http:// or https://",
    "ConnectionError HTTPClientError": "It cannot be reached: check network, proxy, region and AWS_ENDPOINT_URL; "
    "the local stack is started by `make up`.",
    "StackError": "",  # its own text advises
}


class Problem(NamedTuple):
    """What went wrong, on one line and without secrets, and what to do."""

    what: str
    advice: str


def explain(error: Exception) -> Problem | None:
    """Return the advice for an error of AWS or of a stack; None for any other."""
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    if any(text in str(error) for text in ("Invalid endpoint: ", "AUTH_SIGNING_INVALID")):  # they have no class
        names = "InvalidEndpoint"
    elif not isinstance(error, ERRORS):
        return None
    elif isinstance(error, ClientError):
        names = error.response.get("Error", {}).get("Code", "")
    text = printable(str(error))
    advice = next((advice for parts, advice in _ADVICE.items() if any(part in names for part in parts.split())), _CHECK)
    denied = re.search(r"perform: ([a-z-]+:\w+)", text)
    return Problem(text, advice.format(denied[1] if denied else "what the command's --help names"))
