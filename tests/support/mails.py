"""One mail of each kind, from the handlers themselves."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from callback.errors import FollowUpError
from callback.report import MAILS_AN_HOUR
from tests.support.aws import World, sample
from tests.support.recorded_calls import payload, refuse


def refused(world: World, number: int = 0) -> None:
    """Let one more notification be refused."""
    with suppress(FollowUpError):
        world.deliver({"body": "hello", "requestContext": {"requestId": f"n-{number}"}})


def retried(world: World) -> None:
    """Pass 2 fails for the first time."""
    world.deliver()
    world.wait(75)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with suppress(FollowUpError):
        world.recheck()


def failed(world: World, event: object = None) -> None:
    """Pass 1 still fails after 72 hours, then works again."""
    works = world.wire.answers["lambda.Invoke"]
    answer = {"errorType": "OutOfStock", "errorMessage": "no stock of SKU-17"}
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    with suppress(FollowUpError):
        world.deliver(event)
    world.wait(72 * 3600)
    about = max(world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["receivedAt"]))
    with suppress(FollowUpError):
        world.recheck(1, **{name: about[name] for name in ("chargeId", "notificationId", "orderId")})
    world.wire.answers["lambda.Invoke"] = works


def unsettled(world: World) -> None:
    """The last pass leaves the order as it was."""
    world.cold_start(SETTLED_ORDER_STATUSES="PAID,CANCELLED")
    world.order(status="PENDING_PAYMENT")
    world.deliver()
    world.wait(75)
    world.recheck()


def contradicted(world: World) -> None:
    """The shop's payment record names another order."""
    world.pay(orderId="ORDER-OF-THE-SHOP")
    world.deliver(sample("authorized"))


def unsaved(world: World) -> None:
    """The table refuses an event for 72 hours."""
    world.wire.before["dynamodb.PutItem"] = refuse("InternalServerError")
    sent = str(round((world.now - timedelta(hours=72)).timestamp() * 1000))
    world.retry({"requestPayload": sample("authorized")}, SentTimestamp=sent)


def last_of_the_hour(world: World) -> None:
    """The last mail of its kind in this hour says so."""
    for number in range(MAILS_AN_HOUR["refused"]):
        refused(world, number)


_KINDS = (retried, failed, unsettled, unsaved, contradicted, refused, last_of_the_hour)
SAMPLES: dict[str, Callable[[World], None]] = {happens.__name__: happens for happens in _KINDS}


def as_text(world: World) -> str:
    """The last mail: its subject, an empty line, its text."""
    message = world.mails()[-1]["Message"]
    return f"{message['Subject']['Data']}\n\n{message['Body']['Text']['Data']}"
