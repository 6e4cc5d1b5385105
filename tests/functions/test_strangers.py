"""A stranger who can POST to the bank's webhook, beside a shop with real, signed payments: what do those lose?

Each day is played twice in virtual time, with and without the stranger. A real payment loses something if a mail, an
alarm or a pass is missing or late, or if another order is processed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.support.aws import START, World, worlds
from tests.support.lambda_model import DELAYED_NOTIFY, SWEEP
from tests.support.outages import rings
from tests.support.recorded_calls import Answer, Call
from tests.support.steps import FORM, event, message, signed

MINUTE, FOR_EVER = timedelta(minutes=1), datetime.max.replace(tzinfo=UTC)
# How long each of the sweep's calls takes, on a bad day.
CALL = timedelta(milliseconds=100)
# ProcessPaidOrder refuses these orders.
REFUSED = {"ORDER-OUT-OF-STOCK", "ORDER-CANCELLED"}
# Alarms that a stranger may ring, too. Proved payments have their own: Refused, Unsaved, Failed.
SHARED = {"RefusedQueue", "RetryQueue", "MailsFailed"}


class Post(NamedTuple):
    """What arrives at the webhook, and how many minutes after the start; its name is the gateway's request id."""

    minutes: float
    name: str
    body: object


def payment(name: str, minutes: float, **changes: Any) -> Post:
    """Return the bank's own notification of a charge."""
    return Post(minutes, name, signed(**{"id": f"chrg_{name}", "reference_order": f"ORDER-{name}".upper()} | changes))


# The shop's own day: a payment that goes well, one that ends FAILED, one that contradicts the shop's record, one of no
# known order, and a second notification of a charge.
REAL = [payment("paid", 62), payment("out-of-stock", 63), payment("contradicted", 64, reference_order="ORDER-GOLD")]
REAL += [payment("unknown", 65, reference_order=None)]
REAL += [payment("again", 66, id="chrg_paid", reference_order="ORDER-PAID")]
PAID = {"chrg_paid": "ORDER-PAID", "chrg_out-of-stock": "ORDER-OUT-OF-STOCK", "chrg_contradicted": "ORDER-CONTRADICTED"}


@dataclass
class Day:
    """What happened to the real payments, and when: their mails and completed passes."""

    happened: dict[str, datetime] = field(default_factory=dict)
    alarms: list[tuple[str, datetime]] = field(default_factory=list)
    orders: set[tuple[str, str]] = field(default_factory=set)

    def losses(self, undisturbed: "Day") -> list[str]:
        """Name what this day lost against the other."""
        lost = [f"order: {charge} ran {order}" for charge, order in self.orders ^ undisturbed.orders]
        latest = {what: at + MINUTE for what, at in undisturbed.happened.items()}
        lost += [f"lost or late: {what}" for what, at in latest.items() if self.happened.get(what, FOR_EVER) > at]
        for name, at in undisturbed.alarms:
            rang = any(other == name and at <= then <= at + MINUTE for other, then in self.alarms)
            lost += [] if rang or name in SHARED else [f"alarm: {name} at {at}"]
        return lost


def play(world: World, strangers: list[Post], policy: str = "warn", down: str = "") -> Day:
    """Let the bank and a stranger post until all is at rest; return what happened to the bank's."""
    world.empty(GIVE_UP_AFTER_HOURS="1", UNPROVED_GIVE_UP_AFTER_HOURS="1", CHECKSUM_POLICY=policy)
    for charge, order in PAID.items():
        world.pay(chargeId=charge, orderId=order)
    day, over = Day(), START + 100 * MINUTE

    def processes(_number: int) -> str:
        return "fails" if json.loads(world.wire.calls[-1].request["Payload"])["orderId"] in REFUSED else "works"

    def mailed(call: Call) -> None:
        about, text = call.request["Message"]["Subject"]["Data"], call.request["Message"]["Body"]["Text"]["Data"]
        day.happened |= {f"{p.name}: {about}": world.now for p in REAL if f"\nNotification: {p.name}\n" in text}

    def slowly(call: Call, effect: Callable[[], Answer]) -> Answer:
        world.now += CALL if model.running == SWEEP else timedelta()
        assert around
        return around(call, effect)

    denied: Any = {"outage": lambda name: "denied" * (name == down and world.now < over)}
    model = world.model(parallel=True, behaviour=processes, **denied)
    around, world.wire.around, world.wire.after["ses.SendEmail"] = world.wire.around, slowly, mailed
    model.sweep()  # so that the sweeps of all days fall on the same seconds
    for minutes, name, body in [*strangers, *REAL]:
        headers = FORM if str(body).startswith("objectId") else {}
        arrives = partial(model.accept, DELAYED_NOTIFY, event(body, name, headers=headers), "Notify")
        model.at(START + minutes * MINUTE, arrives)
    model.rest(timedelta(hours=100))
    day.alarms = list(rings(world, model))
    asked = [about for about in world.passes() if "note" in about and about["chargeId"] in PAID]
    day.orders = {(about["chargeId"], about["orderId"]) for about in asked}
    for run in model.runs:
        if run.completed and run.notification in {post.name for post in REAL}:
            day.happened.setdefault(f"{run.notification} {run.number}", run.began)
    return day


@pytest.fixture(scope="module")
def shop() -> Iterator[World]:
    """One world for all days; waits have no jitter, so that days can be compared."""
    with worlds() as world, pytest.MonkeyPatch.context() as patch:
        patch.setattr("random.random", lambda: 0.5)
        yield world


def forged(number: int, **changes: Any) -> dict[str, Any]:
    """Return a message that no merchant key signed."""
    return message(**{"id": f"chrg_{number}", "checksum": f"{number:064x}"} | changes)


PAID_ORDER: dict[str, Any] = {"id": "chrg_paid", "reference_order": "ORDER-PAID"}
GONE = [{"reference_order": "ORDER-CANCELLED"}, {"id": "chrg_out-of-stock", "reference_order": "ORDER-OUT-OF-STOCK"}]
BODIES: dict[str, Callable[[int], object]] = {
    "nonsense": lambda n: f"hello {n}",
    "a known charge and its order": lambda n: forged(n, **PAID_ORDER),
    "an unknown charge of a known order": lambda n: forged(n, reference_order="ORDER-PAID"),
    "without a checksum": lambda n: forged(n, checksum=..., **PAID_ORDER),
    "orders that are refused": lambda n: forged(n, **GONE[n % 2]),
    "contradiction": lambda n: forged(n, id="chrg_paid", reference_order="ORDER-GOLD", amount=1),
    "no order": lambda n: forged(n, reference_order=None),
    "what cannot be hashed": lambda n: forged(n, amount=None),
    "replay of a signed one": lambda _n: signed(**PAID_ORDER),
    "256 KB": lambda n: forged(n, description="x" * 250_000, **PAID_ORDER),
    "keywords and line ends": lambda n: forged(n, id="<aws.scheduler.execution-id>", reference_order=f"X\nFAILED {n}"),
    "the longest ids": lambda n: forged(n, id="c" * 2044 + f"{n:04}", reference_order="o" * 2048),
    "a card number as an id": lambda n: forged(n, id="4111111111111111"),
    "browser return": lambda _n: "objectId=chrg_paid&status=true",
    "browser return of an unknown charge": lambda n: f"objectId=chrg_{n}",
}
ALL = list(BODIES)


def posts(kinds: list[str], each: int) -> list[Post]:
    """Make so many posts of each kind in turn: most before the real payments in the same hour, some later."""
    count = each * len(kinds)
    minutes = [31 + 30 * n / count for n in range(count)] + [91 + 2 * n for n in range(len(kinds))]
    named = [(f"x {n}", BODIES[kinds[n % len(kinds)]](n)) for n in range(len(minutes))]
    return [Post(minute + 0.1, *post) for minute, post in zip(minutes, named, strict=True)]


def test_undisturbed_day_has_all_that_could_be_lost(shop: World) -> None:
    """Mails of each kind, the alarms about proved payments, and both passes of what is paid."""
    day = play(shop, [])
    kinds = ["PassFailed, tried again", "OrderContradicted, contradicted", "InvalidNotification, refused"]
    passes = [f"{name} {n}" for name in ("paid", "contradicted", "again") for n in (1, 2)]
    assert sorted(what.split(": ")[-1] for what in day.happened) == sorted([*kinds, "GaveUp, FAILED", *passes])
    assert {name for name, _ in day.alarms} - SHARED == {"Contradictions", "Failed", "OldestOverdue", "Refused"}
    assert day.orders == set(PAID.items())


_TWO = posts(["a known charge and its order", "nonsense"], 5)
_DOWN = ("ProcessPaidOrder", "CreditCardNotifyTable", "CallbackErrorLogTable", "SES")
DAYS: dict[str, tuple[list[Post], dict[str, str]]] = {
    "more than any limit of what fails": (posts(["orders that are refused"], 24), {}),
    "more than any limit of nonsense": (posts(["nonsense"], 24), {}),
    "each kind": (posts(ALL, 6), {}),
    "each kind, under reject": (posts(ALL, 4), {"policy": "reject"}),
    **{f"beside an outage of {name}": (_TWO, {"down": name}) for name in _DOWN},
}


@pytest.mark.parametrize("day", DAYS)
def test_real_payments_lose_nothing(shop: World, day: str, figure: Callable[[str], None]) -> None:
    """A stranger posts before and while real payments arrive, fail and are given up, or something is down."""
    strangers, how = DAYS[day]
    losses = play(shop, strangers, **how).losses(play(shop, [], **how))
    figure(f"{len(strangers)} posts by a stranger, losses of real payments = {len(losses)}")
    assert losses == []
