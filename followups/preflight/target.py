"""The account that is looked at: every question to AWS goes through here, and each only reads."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from followups.invocation import printable
from followups.preflight.finding import Finding, Unread

T = TypeVar("T")
_QUICK = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
# Each service has words of its own for "no such thing" ...
_ABSENT = {"ResourceNotFoundException", "NotFoundException", "NotFound", "ResourceNotFound", "DashboardNotFoundError"}
# ... and for "you may not".
_DENIED = {"AccessDeniedException", "AccessDenied", "AuthorizationError", "NotAuthorized", "UnauthorizedOperation"}


@dataclass(frozen=True)
class Where:
    """The account, the region, and who asks."""

    account: str
    region: str
    partition: str
    caller: str


@dataclass(frozen=True)
class Target:
    """A session, and the endpoint where it is not AWS's."""

    session: boto3.Session
    endpoint_url: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:  # noqa: ANN401 - one of many typed clients
        """Return the service's client."""
        if service not in self._clients:
            make: Any = self.session.client
            endpoint = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
            self._clients[service] = make(service, config=_QUICK, **endpoint)
        return self._clients[service]

    def where(self) -> Where:
        """Tell where this is. Raises botocore's errors: without an answer there is nothing to look at."""
        client = self.client("sts")
        who = client.get_caller_identity()
        partition = who["Arn"].split(":")[1]
        # STS may be asked in another region (its global endpoint): the tables' own is the one that counts.
        return Where(who["Account"], self.client("dynamodb").meta.region_name, partition, who["Arn"])


def ask(subject: str, permission: str, call: Callable[..., T], **request: object) -> T | None:
    """Return AWS's answer, or None where there is no such thing; raises `Unread` where there is no answer."""
    try:
        return call(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _ABSENT:
            return None
        if code in _DENIED:
            raise Unread(_denied(subject, permission)) from error
        raise Unread(_unanswered(subject, permission, error)) from error
    except BotoCoreError as error:
        raise Unread(_unanswered(subject, permission, error)) from error


def _denied(subject: str, permission: str) -> Finding:
    return Finding("warn", subject, f"not readable: {permission} is denied", f"allow {permission}", permission)


def _unanswered(subject: str, permission: str, error: Exception) -> Finding:
    # Of the message only: an error never holds what was asked for, and its text is scrubbed.
    text = f"not readable: {permission} failed: {printable(f'{type(error).__name__}: {error}')}"
    return Finding("warn", subject, text, "try again, or look by hand", permission)
