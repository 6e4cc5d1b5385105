"""One mail of each kind, from the handlers themselves. `make mails` writes them into .local/mails, to be looked at."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from callback.errors import FollowUpError
from callback.mail_limit import MAILS_AN_HOUR
from local.emulator import ROOT
from tests.quietly import quietly
from tests.wire import listening, payload, refuse
from tests.world import World, made, sample

DIRECTORY = ROOT / ".local" / "mails"


def refused(world: World, number: int) -> None:
    """Let a notification of its own be refused."""
    with suppress(FollowUpError):
        world.deliver({"body": "hello", "requestContext": {"requestId": f"n-{number}"}})


def retried(world: World) -> None:
    """Pass 2 fails for the first time."""
    world.deliver()
    world.wait(75)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with suppress(FollowUpError):
        world.recheck()


def failed(world: World) -> None:
    """Pass 1 fails for the last time."""
    world.cold_start(MAX_ATTEMPTS="1")
    answer = {"errorType": "OutOfStock", "errorMessage": "no stock of SKU-17"}
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    with suppress(FollowUpError):
        world.deliver()


def unsettled(world: World) -> None:
    """The last pass leaves the order as it was."""
    world.cold_start(SETTLED_ORDER_STATUSES="PAID,CANCELLED")
    world.order(status="PENDING_PAYMENT")
    world.deliver()
    world.wait(75)
    world.recheck()


def hopeless(world: World) -> None:
    """An event is no notification."""
    event = sample("authorized")
    event["body"] = json.dumps(json.loads(event["body"]) | {"object": "refund"})
    with suppress(FollowUpError):
        world.deliver(event)


def summary(world: World) -> None:
    """Mails are held back, and no later one tells it."""
    for number in range(MAILS_AN_HOUR + 25):
        refused(world, number)
    world.wait(3600)
    world.sweep()


SAMPLES: dict[str, Callable[[World], None]] = {
    told.__name__: told for told in (retried, failed, unsettled, hopeless, summary)
}


def samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind's name and its mail, as it is given to SES."""
    for name, told in SAMPLES.items():
        with pytest.MonkeyPatch.context() as patch:
            wire = listening(patch)
            with made(wire, patch) as world, quietly():
                told(world)
                yield name, world.mails()[-1]["Message"]


def main() -> None:
    """Write each as it is shown, and as it is without HTML."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, mail in samples():
        text = f"{mail['Subject']['Data']}\n\n{mail['Body']['Text']['Data']}"
        (DIRECTORY / f"{name}.txt").write_text(text)
        (DIRECTORY / f"{name}.html").write_text(mail["Body"]["Html"]["Data"])
    print(f"{DIRECTORY}: {', '.join(SAMPLES)}")


if __name__ == "__main__":
    main()
