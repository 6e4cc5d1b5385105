"""`make soak`: random stories, for as long as you like. It prints each seed, and stops at the first that breaks.

Hypothesis delivers, repeats, waits, breaks and repairs, in any order. What is counted was acknowledged (saved), lost,
duplicated (a pass run more than once) or indeterminate (a call whose answer was lost). Lost is to be 0.
"""

import argparse
import secrets
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.aws import World, worlds
from tests.support.invariants import broken, repair
from tests.support.lambda_model import DELAYED_NOTIFY, ERROR_CODES, FAULTS, RECHECK, fail
from tests.support.recorded_calls import Answer, Call
from tests.support.steps import event, message

# One thing at a time, as the promise says.
DEPENDENCIES = ["CreditCardNotifyTable", "CardPaymentRecordTable", "order table", "CallbackErrorLogTable", "Scheduler"]
DEPENDENCIES += ["Secrets Manager", "SES", "ProcessPaidOrder"]


class Stories(RuleBasedStateMachine):
    """One world, from its first delivery until nothing is left to happen."""

    world: ClassVar[World]
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(timer=st.sampled_from("once twice late never refused".split()), hours=st.sampled_from(["1", "72"]))
    def begin(self, timer: str, hours: str) -> None:
        """Timers behave in one way, and the branch gives up after one of two times."""
        self.world.empty(GIVE_UP_AFTER_HOURS=hours)
        self.paid, self.fault, self.events, self.conflicts = "works", ("", 0), list[dict[str, Any]](), 0
        self.down, self.repeats = dict[str, str](), 0
        self.model = self.world.model(
            timer=timer, behaviour=lambda _number: self.paid, outage=lambda name: self.down.get(name, "")
        )
        self.allowed, self.world.wire.around = self.world.wire.around, self._around

    # --- what the world does ---

    @rule(charge=st.integers(1, 3))
    def deliver(self, charge: int) -> None:
        """The bank sends a notification; one charge can have several."""
        body = message(id=f"chrg_test_{charge}", reference_order=f"ORDER-{charge}")
        self.events.append(event(body, f"n-{len(self.events)}"))
        self._accept(DELAYED_NOTIFY, self.events[-1])

    @precondition(lambda self: self.events)
    @rule(which=st.integers(0, 99))
    def redeliver(self, which: int) -> None:
        """Lambda may deliver an event twice without any error."""
        self.repeats += 1
        self._accept(DELAYED_NOTIFY, self.events[which % len(self.events)])

    @precondition(lambda self: self.events)
    @rule(which=st.integers(0, 99))
    def same_id_other_body(self, which: int) -> None:
        """Another body under a known id must not take its place."""
        known = self.events[which % len(self.events)]
        self.conflicts, self.repeats = self.conflicts + 1, self.repeats + 1
        self._accept(DELAYED_NOTIFY, known | {"body": known["body"].replace("}", ', "description": "another"}', 1)})

    @rule(seconds=st.sampled_from([1, 30, 61, 95, 200, 600, 3000]))
    def time_passes(self, seconds: int) -> None:
        """What is due by then happens: retries, timers, sweeps."""
        self.model.run(self.world.now + timedelta(seconds=seconds))

    @precondition(lambda self: self.events)
    @rule(which=st.integers(0, 99), number=st.integers(1, 3), times=st.integers(1, 2))
    def fire(self, which: int, number: int, times: int) -> None:
        """A timer fires now, early or late, for whatever pass, once or twice."""
        rows = self._rows()
        for _ in range(times if rows else 0):
            ids = {name: rows[which % len(rows)][name] for name in ("chargeId", "notificationId", "orderId")}
            self._accept(RECHECK, {"version": 1, **ids, "pass": number, "dueAt": "2026-11-22T09:31:17Z"})

    @rule()
    def sweep(self) -> None:
        """A sweep runs out of turn."""
        self.model.sweep()
        self.model.run(self.world.now)

    @rule(name=st.sampled_from(DEPENDENCIES), how=st.sampled_from(["", *ERROR_CODES, "hanging"]))
    def an_outage_begins_or_ends(self, name: str, how: str) -> None:
        """One of the things it depends on is down, or none."""
        self.down = {name: how}

    @rule(fault=st.sampled_from(sorted(FAULTS)), ahead=st.integers(1, 9))
    def a_call_will_fail(self, fault: str, ahead: int) -> None:
        """One of the next calls fails, in one of the ways there are."""
        self.fault = (fault, ahead)

    @rule(how=st.sampled_from(["works", "works", "fails", "slow", "times out", "says no", "dies"]))
    def process_paid_order(self, how: str) -> None:
        """From now on the shop's function behaves in one of the ways it can."""
        self.paid = how

    @rule()
    def operator_replays(self) -> None:
        """Bring back what is in the failure stores, whether or not the cause is gone."""
        repair(self.model)
        self.model.run(self.world.now)

    @invariant()
    def step(self) -> None:
        """Count the steps, which hypothesis chooses."""
        self.counts["steps"] += 1

    # --- the end ---

    def teardown(self) -> None:
        """Remove the causes, let the world come to rest, bring back what failed: then nothing may be missing."""
        if not hasattr(self, "model"):
            return
        self.fault, self.paid, self.down = ("", 0), "works", {}
        self.model.rest()
        wrong, most = broken(self.model), len(self.events) + self.repeats if self.conflicts else 0
        wrong += ["a letter too many"] if len(self.model.queues["RefusedQueue"]) > most else []
        repair(self.model)
        self.model.rest()
        wrong += broken(self.model)
        wrong += [f"{row['notificationId']} is {row['state']}" for row in self._rows() if row["state"] != "DONE"]
        saved = {row["notificationId"] for row in self._rows()}
        delivered = {each["requestContext"]["requestId"] for each in self.events}
        wrong += [f"{name} was delivered and is nowhere" for name in delivered - saved]
        completed = Counter((run.notification, run.number) for run in self.model.runs if run.completed)
        self.counts["acknowledged"] += len(saved)
        self.counts["lost"] += len({what.split()[0] for what in wrong})
        self.counts["duplicated"] += completed.total() - len(completed)
        assert not wrong, wrong

    def _rows(self) -> list[dict[str, Any]]:
        return self.world.rows("CREDIT_CARD_NOTIFY_TABLE")

    def _accept(self, function: str, payload: dict[str, Any]) -> None:
        self.model.accept(function, payload, "a story")
        self.model.run(self.world.now)

    def _around(self, call: Call, effect: Callable[[], Answer]) -> Answer:
        kind, left = self.fault
        self.fault = (kind, left - 1)
        if left != 1:
            assert self.allowed
            return self.allowed(call, effect)
        unsure = kind in {"answer lost", "dies after"}
        self.counts["indeterminate"] += unsure
        self.repeats += unsure  # a letter that was sent may be sent again
        return fail(kind, call, effect)


def main() -> None:
    """Run stories until the time is over, or those of one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="run the stories of this seed only")
    parser.add_argument("--examples", type=int, default=20, help="how many stories a seed runs")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    # No search for a shorter story: it takes minutes, and the seed repeats this one.
    how = settings(max_examples=given.examples, stateful_step_count=40, database=None, derandomize=False)
    how = settings(how, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    with worlds() as Stories.world:
        while True:
            number = given.seed or secrets.randbelow(2**32)
            print(f"seed {number} ", end="", flush=True)
            case: Any = seed(number)(Stories).TestCase
            case.settings = how
            case().runTest()
            print(", ".join(f"{name} {count}" for name, count in sorted(Stories.counts.items())), flush=True)
            if given.seed or time.monotonic() > until:
                return


if __name__ == "__main__":
    main()
