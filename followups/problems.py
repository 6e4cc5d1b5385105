"""What an error of AWS's means to who looks: what happened, and what to do about it."""

from dataclasses import dataclass

from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as Unreachable,
)

from followups.invocation import printable
from followups.stack import StackError

_SIGN_IN = "Sign in again (for example `aws sso login`), or set AWS_PROFILE."
_BY_ITSELF = "AWS asks for patience; the next look may succeed."
_DEPLOY = "The stack is older than these tools, or not theirs: deploy it anew, or name another (--stack)."
_ALLOW = "The profile may not read this: README, Where is this order, lists the permissions."
_CHECK = "Check profile, region and permissions (README: Where is this order?)."
_ADVICE = {
    "AccessDenied": _ALLOW,
    "AccessDeniedException": _ALLOW,
    "UnauthorizedOperation": _ALLOW,
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "InvalidClientTokenId": _SIGN_IN,
    "UnrecognizedClientException": _SIGN_IN,
    "ThrottlingException": _BY_ITSELF,
    "Throttling": _BY_ITSELF,
    "ProvisionedThroughputExceededException": _BY_ITSELF,
    "RequestLimitExceeded": _BY_ITSELF,
    "InternalServerError": _BY_ITSELF,
    "ServiceUnavailable": _BY_ITSELF,
    "ResourceNotFoundException": _DEPLOY,
    "ValidationException": _DEPLOY,  # an index that is not there
}
_OF_BOTO: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    ((NoCredentialsError, TokenRetrievalError, SSOError), _SIGN_IN),
    (ProfileNotFound, "Set AWS_PROFILE to one of the profiles that `aws configure list-profiles` shows."),
    (NoRegionError, "Set AWS_DEFAULT_REGION, or name a profile that has a region."),
    ((Unreachable, HTTPClientError), "AWS cannot be reached: check network, proxy, region and AWS_ENDPOINT_URL."),
    (StackError, ""),  # says by itself what to do
)


@dataclass(frozen=True)
class Problem:
    """What went wrong, on one line and without secrets, and what to do."""

    what: str
    advice: str


def problem(error: Exception) -> Problem:
    """Word an error of AWS's or of ours."""
    if isinstance(error, ClientError):
        about = error.response.get("Error", {})
        return Problem(printable(str(error)), _ADVICE.get(about.get("Code", ""), _CHECK))
    advice = next((advice for kinds, advice in _OF_BOTO if isinstance(error, kinds)), _CHECK)
    return Problem(printable(str(error)), advice)
