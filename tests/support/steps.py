"""What the bank sends in the tests, what goes wrong, and what can be seen of it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from callback.errors import PassFailed
from local.stack import SECRET
from tests.support.aws import World, sample
from tests.support.call_purposes import dependency, purpose
from tests.support.lambda_model import Died
from tests.support.recorded_calls import Answer, Call, refuse

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
FORM_CHARGE = "chrg_test_22500005aa11bb22cc33dd44"  # of the sample of a browser return
WAITING = {"nextPassDue", "firstDue", "sweepShard", "sweepAt", "leaseUntil", "claimId", "failedAt", "failedShard"}
ENDED = {"firstDue", "failedAt", "failedShard"}
HOUR = 3600

# --- what the bank sends ---


def event(body: object, request_id: str = "delivery-1", **changes: object) -> dict[str, Any]:
    """An event with that body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"body": text, "requestContext": {"requestId": request_id}, "headers": {}} | changes


def message(**changes: object) -> dict[str, Any]:
    """The bank's message, changed; a value of `...` takes the field away."""
    body = json.loads(sample("authorized")["body"]) | changes
    return {name: value for name, value in body.items() if value is not ...}


def signed(**changes: object) -> dict[str, Any]:
    """The bank's message, changed, with the checksum that the bank would give it."""
    body = message(**changes)
    parts = [body["id"], f"{Decimal(str(body['amount'])):.4f}", *(body[n] for n in ("currency", "status"))]
    code = str(body["failure_code"] or "")
    parts += [body["transaction_state"], code if code.strip() else "", SECRET["secretKey"]]
    return body | {"checksum": hashlib.sha256("".join(map(str, parts)).encode()).hexdigest()}


def nested(depth: int) -> list[Any]:
    """Lists in lists, deeper than most code recurses."""
    return reduce(lambda inner, _: [inner], range(depth), list[Any]())


# --- what goes wrong ---


def set_secret(world: World, stored: str | bytes) -> None:
    """Store the secret as text, or as bytes, which it must not be."""
    what = {"SecretString" if isinstance(stored, str) else "SecretBinary": stored}
    world.client("secretsmanager").put_secret_value(SecretId=world.environment["KBANK_SECRET_ID"], **what)


def fails(error: type[BaseException], run: Callable[..., object], *given: object, **named: object) -> Any:
    """Expect this error from a call, and return it."""
    with pytest.raises(error) as raised:
        run(*given, **named)
    return raised.value


def throttle(world: World, times: int = 1) -> None:
    """Let Lambda throttle so many invocations by the functions."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times)


def dies(_call: Call) -> None:
    """End the process in the middle of a call."""
    raise Died


def unreachable(_call: Call) -> None:
    """Fail as a service that cannot be reached."""
    raise EndpointConnectionError(endpoint_url="a test")


def hangs(_call: Call) -> None:
    """Fail as a service that has taken the request and does not answer in time."""
    raise ReadTimeoutError(endpoint_url="a test")


def down(world: World, *names: str) -> None:
    """Make every call to these dependencies fail."""

    def around(call: Call, effect: Callable[[], Answer]) -> Answer:
        if dependency(call) in names:
            unreachable(call)
        return effect()

    world.wire.around = around


def once(world: World, name: str, hook: Callable[[Call], object]) -> None:
    """Let something happen just before the next call of this name, and only then."""

    def before(call: Call) -> None:
        del world.wire.before[name]
        hook(call)

    world.wire.before[name] = before


def only(wanted: str, hook: Callable[[Call], object]) -> Callable[[Call], None]:
    """Apply a hook to calls for this purpose alone."""

    def chosen(call: Call) -> None:
        if purpose(call) == wanted:
            hook(call)

    return chosen


def fail_pass_1(world: World, event: object = None) -> None:
    """Deliver a notification whose pass fails."""
    throttle(world)
    fails(PassFailed, world.deliver, event)


def die_in_pass(world: World, run: Callable[[World], object] = World.deliver) -> None:
    """Let the process of a function end while its pass runs."""
    once(world, "lambda.Invoke", dies)
    fails(Died, run, world)


# --- what can be seen of it ---


def subjects(world: World) -> list[str]:
    """The subjects of all mails."""
    return [mail["Message"]["Subject"]["Data"] for mail in world.mails()]


def ends_mailed(world: World) -> int:
    """How many mails say that something ended FAILED."""
    return sum(subject.endswith(", FAILED") for subject in subjects(world))


@contextmanager
def quiet_line(world: World, outcome: str) -> Iterator[None]:
    """Expect one line at INFO, and no pass, error row or mail."""
    world.printed.truncate(world.printed.seek(0))
    before = (len(world.passes()), world.errors(), world.mails())
    yield
    [line] = world.log()
    assert (line["level"], line["outcome"]) == ("INFO", outcome)
    assert (len(world.passes()), world.errors(), world.mails()) == before
