"""A stranger who can POST to the bank's webhook, beside a shop with real, signed payments: what do those lose?

Each day is played twice in virtual time, without the stranger and with them. What differs for the real payments is
their loss: a mail, an alarm that does not ring when it did, a pass, time, or another order that is processed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.aws import START, World, worlds
from tests.support.lambda_model import DELAYED_NOTIFY, SWEEP, Model
from tests.support.outages import rings
from tests.support.recorded_calls import Answer, Call
from tests.support.steps import FORM, event, message, signed

MINUTE = timedelta(minutes=1)
# How long each of the sweep's calls takes, on a bad day.
CALL = timedelta(milliseconds=100)
# ProcessPaidOrder refuses these orders.
REFUSED = {"ORDER-OUT-OF-STOCK", "ORDER-CANCELLED"}
# What is refused, unsaved or not mailed is everybody's; what is proved has alarms of its own: Refused, Unsaved, Failed.
OF_EVERYBODY = {"RefusedQueue", "RetryQueue", "MailsFailed"}


@dataclass(frozen=True)
class Post:
    """What arrives at the webhook, so many minutes after the beginning; its name is the gateway's request id."""

    minutes: float
    name: str
    body: object
    headers: dict[str, str] = field(default_factory=dict)


def payment(name: str, minutes: float, **changes: Any) -> Post:
    """The bank's own notification of a charge."""
    return Post(minutes, name, signed(**{"id": f"chrg_{name}", "reference_order": f"ORDER-{name}".upper()} | changes))


# The shop's own day: what goes well, what ends FAILED, what contradicts the shop's record, what nobody can tie to an
# order, and a second notification of a charge.
REAL = [payment("paid", 62), payment("out-of-stock", 63), payment("contradicted", 64, reference_order="ORDER-GOLD")]
REAL += [payment("unknown", 65, reference_order=None)]
REAL += [payment("again", 66, id="chrg_paid", reference_order="ORDER-PAID")]
PAID = {"chrg_paid": "ORDER-PAID", "chrg_out-of-stock": "ORDER-OUT-OF-STOCK", "chrg_contradicted": "ORDER-CONTRADICTED"}


@dataclass
class Day:
    """What became of the real payments, when."""

    mails: dict[str, datetime] = field(default_factory=dict)
    alarms: dict[str, list[datetime]] = field(default_factory=dict)
    passes: dict[str, datetime] = field(default_factory=dict)
    orders: set[tuple[str, str]] = field(default_factory=set)

    def losses(self, undisturbed: "Day") -> list[str]:
        """Say what this day lost against the other."""
        lost = [f"order: {charge} ran {order}" for charge, order in self.orders ^ undisturbed.orders]
        mine, theirs = self.mails | self.passes, undisturbed.mails | undisturbed.passes
        lost += [f"lost or late: {what}" for what, at in theirs.items() if what not in mine or mine[what] > at + MINUTE]
        for name in undisturbed.alarms.keys() - OF_EVERYBODY:
            rang = self.alarms.get(name, [])
            missed = [at for at in undisturbed.alarms[name] if not any(at <= then <= at + MINUTE for then in rang)]
            lost += [f"alarm: {name} at {at}" for at in missed]
        return lost


@dataclass
class Shop:
    """A world, and what is watched in it."""

    world: World
    day: Day = field(default_factory=Day)

    def play(self, strangers: list[Post], **how: str) -> Day:
        """Let the bank and a stranger post, until all is at rest; return what became of the bank's."""
        model = self._begin(**how)
        for post in sorted([*strangers, *REAL], key=lambda post: post.minutes):
            arrives = partial(model.accept, DELAYED_NOTIFY, event(post.body, post.name, headers=post.headers), "Notify")
            model.at(START + post.minutes * MINUTE, arrives)
        model.rest(timedelta(hours=100))
        for name, at in rings(self.world, model):
            self.day.alarms.setdefault(name, []).append(at)
        asked = [about for about in self.world.passes() if "note" in about and about["chargeId"] in PAID]
        self.day.orders = {(about["chargeId"], about["orderId"]) for about in asked}
        for run in model.runs:
            if run.completed and run.notification in {post.name for post in REAL}:
                self.day.passes.setdefault(f"{run.notification} {run.number}", run.began)
        return self.day

    def _begin(self, policy: str = "warn", down: str = "") -> Model:
        world, self.day = self.world, Day()
        hours = dict.fromkeys(("GIVE_UP_AFTER_HOURS", "UNPROVED_GIVE_UP_AFTER_HOURS"), "1")
        world.empty(**hours, CHECKSUM_POLICY=policy)
        for charge, order in PAID.items():
            world.pay(chargeId=charge, orderId=order)
        over = START + timedelta(minutes=100)
        fails: dict[str, Any] = {"outage": lambda name: "denied" if name == down and world.now < over else ""}
        model = world.model(parallel=True, behaviour=self._behaviour, **fails)
        self._watch(model)
        model.sweep()  # so that the sweeps of all days fall on the same seconds
        return model

    def _behaviour(self, _number: int) -> str:
        asked = json.loads(self.world.wire.calls[-1].request["Payload"])
        return "fails" if asked["orderId"] in REFUSED else "works"

    def _watch(self, model: Model) -> None:
        world, day, around = self.world, self.day, self.world.wire.around

        def mailed(call: Call) -> None:
            text = call.request["Message"]["Body"]["Text"]["Data"]
            names = [post.name for post in REAL if f"\nNotification: {post.name}\n" in text]
            day.mails |= {f"{name}: {call.request['Message']['Subject']['Data']}": world.now for name in names}

        def slowly(call: Call, effect: Callable[[], Answer]) -> Answer:
            world.now += CALL if model.running == SWEEP else timedelta()
            assert around
            return around(call, effect)

        world.wire.around, world.wire.after["ses.SendEmail"] = slowly, mailed


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """One shop for all stories; waits have no jitter, so that days can be compared."""
    with worlds() as world, pytest.MonkeyPatch.context() as patch:
        patch.setattr("random.random", lambda: 0.5)
        yield Shop(world)


@pytest.fixture(scope="module")
def undisturbed(shop: Shop) -> Day:
    """The shop's day without a stranger."""
    return shop.play([])


# --- what a stranger can send ---


def forged(number: int, **changes: Any) -> dict[str, Any]:
    """A message that no key of the merchant's signed."""
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
    "nobody's order": lambda n: forged(n, reference_order=None),
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
    """Post so many of each kind in turn: most before the real payments in the same hour, some later."""
    count = each * len(kinds)
    minutes = [31 + 30 * n / count for n in range(count)] + [91 + 2 * n for n in range(len(kinds))]
    return [_post(kinds[number % len(kinds)], number, minute + 0.1) for number, minute in enumerate(minutes)]


def _post(kind: str, number: int, minutes: float) -> Post:
    return Post(minutes, f"x {kind} {number}", BODIES[kind](number), FORM if kind.startswith("browser") else {})


# --- what the real payments lose ---


def test_undisturbed_day_has_all_that_could_be_lost(undisturbed: Day) -> None:
    """Mails of each kind, the alarms of proved payments, both passes of what is paid."""
    kinds = ["PassFailed, tried again", "OrderContradicted, contradicted", "InvalidNotification, refused"]
    assert [subject.split(": ")[-1] for subject in undisturbed.mails] == [*kinds, "GaveUp, FAILED"]
    assert set(undisturbed.alarms) - OF_EVERYBODY == {"Contradictions", "Failed", "OldestOverdue", "Refused"}
    assert set(undisturbed.passes) == {f"{name} {n}" for name in ("paid", "contradicted", "again") for n in (1, 2)}
    assert undisturbed.orders == set(PAID.items())


@pytest.mark.parametrize("kinds", [["orders that are refused"], ["nonsense"], ALL], ids=["refused", "nonsense", "all"])
def test_real_payments_lose_nothing(
    shop: Shop, undisturbed: Day, kinds: list[str], figure: Callable[[str], None]
) -> None:
    """To more than any limit, of each kind, before and while real payments come, fail and are given up."""
    strangers = posts(kinds, 40 if len(kinds) == 1 else 6)
    losses = shop.play(strangers).losses(undisturbed)
    figure(f"{len(strangers)} posts by a stranger, losses of real payments = {len(losses)}")
    assert losses == []


def test_real_payments_lose_nothing_under_reject(shop: Shop) -> None:
    """Nor where what is not proved is refused: every kind, one after the other."""
    assert shop.play(posts(ALL, 4), policy="reject").losses(shop.play([], policy="reject")) == []


@pytest.mark.parametrize("down", ["ProcessPaidOrder", "CreditCardNotifyTable", "CallbackErrorLogTable", "SES"])
def test_real_payments_heal_as_soon_beside_forgeries(shop: Shop, down: str) -> None:
    """Something is down while both arrive, and comes back: no later and no less loudly than without a stranger."""
    strangers = posts(["a known charge and its order", "nonsense"], 5)
    assert shop.play(strangers, down=down).losses(shop.play([], down=down)) == []
