"""The timeline of a notification: what is known of it, in order of time, where it waits and what happens next."""

import json

import pytest

from followups.notifications import found
from followups.stack import Stack
from followups.timeline import Moment, timeline
from tests.deployed import Deployed
from tests.wire import Answer, Call, payload, refuse
from tests.world import ORDER, World, sample

PROCESS = "payment3-process-paid-order-dev"
GIVEN_UP = "pass 1 is given up after its last allowed attempt: pass 1: ProcessPaidOrder failed (Unhandled)"
REPLAY = f"followups replay --stack payment3-follow-up-dev -- {ORDER}"


def told(deployed: Deployed) -> list[Moment]:
    """The timeline of the only notification, now."""
    with deployed.world.wire:
        [saved] = found(Stack(), ORDER)
        moments = timeline(Stack(), saved, deployed.world.now)
    times = [moment.at for moment in moments if moment.at]
    assert times == sorted(times)
    assert all("\n" not in moment.text for moment in moments)
    return moments


def lines(moments: list[Moment]) -> list[str]:
    """The moments as text, without the dates."""
    return [
        f"{m.at:%H:%M:%S} {m.level} {m.what}: {m.text}" if m.at else f"- {m.level} {m.what}: {m.text}" for m in moments
    ]


def test_notification_that_waits_for_its_timer(deployed: Deployed) -> None:
    """Received, checksum, pass 1, its timer with the time left, and until when that starts pass 2."""
    deployed.world.deliver()
    deployed.world.wait(17)
    assert lines(told(deployed)) == [
        "09:30:17 info received: status success, state Authorized, 200.50 THB",
        "09:30:17 ok checksum: valid (plain form): the bank vouches for all but the order id",
        '09:30:17 ok pass 1: completed in 0.0 s: {"paid": true, "pass": 1}',
        "09:31:18 ok schedule: the timer of pass 2 is armed for 09:31:18 UTC, in 43 s",
        "- info waits: for pass 2 of 2, due at 09:31:17 UTC, in 43 s",
        "09:31:18 info next: the timer starts pass 2, by 09:32:18 UTC",
    ]


def test_done_notification(deployed: Deployed) -> None:
    """Both passes, the end, and that nothing comes."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(60)
    deployed.world.recheck()
    moments = told(deployed)
    assert [moment.what for moment in moments] == ["received", "checksum", "pass 1", "pass 2", "ended", "next"]
    assert lines(moments)[-2:] == [
        "09:31:17 ok ended: DONE: 2 passes are completed",
        "- ok next: nothing: no pass is missing",
    ]


def test_failed_notification(deployed: Deployed) -> None:
    """Each error with its count and its mail, the end, and the command that brings it back."""
    deployed.world.cold_start(MAX_ATTEMPTS="2")
    deployed.functions[PROCESS] = lambda _call: payload({}, error="Unhandled")
    deliver_again(deployed.world, times=2)
    assert lines(told(deployed))[2:] == [
        "09:30:17 warn error: PassFailed: pass 1: ProcessPaidOrder failed (Unhandled) (mailed 09:30:17 UTC)",
        "09:31:17 bad ended: FAILED with 0 passes completed",
        f"09:31:17 bad error: AttemptsExhausted: {GIVEN_UP} (mailed 09:31:17 UTC)",
        "- bad waits: for a person: pass 1 is missing, tried 2 of at most 2 times",
        f"- bad next: nothing by itself; once the cause is gone: {REPLAY}",
    ]


def deliver_again(world: World, times: int) -> None:
    """Lambda tries so often, a minute apart, and fails each time."""
    for _ in range(times):
        with pytest.raises(Exception, match="ProcessPaidOrder failed"):
            world.deliver()
        world.wait(60)


def test_retries_are_counted_and_the_attempts_of_a_pass(deployed: Deployed) -> None:
    """How often an error came and in what time; at which attempt of its own a pass was completed."""
    works, process = deployed.functions[PROCESS], lambda _call: payload({}, error="Unhandled")
    deployed.functions[PROCESS] = process
    deliver_again(deployed.world, times=2)
    deployed.functions[PROCESS] = works
    deployed.world.deliver()
    deployed.world.wait(60)
    deployed.world.recheck()
    told_lines = lines(told(deployed))
    assert (
        "09:31:17 warn error: PassFailed: pass 1: ProcessPaidOrder failed (Unhandled) (2 times in 1 min, mailed"
        in "".join(told_lines)
    )
    assert [line.split(" in ")[0] for line in told_lines if ": completed" in line] == [
        "09:32:17 ok pass 1: completed at attempt 3",
        "09:33:17 ok pass 2: completed",
    ]


def test_last_error_that_no_row_tells_is_told(deployed: Deployed) -> None:
    """The error log may have failed, or told a later error since; of what is done it is only information."""
    deployed.world.wire.before["dynamodb.UpdateItem"] = only_the_error_log
    deployed.functions[PROCESS], works = (lambda _call: payload({}, error="Unhandled")), deployed.functions[PROCESS]
    deliver_again(deployed.world, times=1)
    text = "error: of the last failed attempt: PassFailed: pass 1: ProcessPaidOrder failed (Unhandled)"
    assert f"- warn {text}" in lines(told(deployed))
    deployed.functions[PROCESS] = works
    deployed.world.deliver()
    deployed.world.wait(60)
    deployed.world.recheck()
    assert f"- info {text}" in lines(told(deployed))


def test_error_whose_mail_was_held_back_is_not_mailed(deployed: Deployed) -> None:
    """Whether somebody was told."""
    deployed.world.wire.before["ses.SendEmail"] = refuse("Throttling")
    deployed.functions[PROCESS] = lambda _call: payload({}, error="Unhandled")
    deliver_again(deployed.world, times=1)
    assert any("(not mailed)" in line for line in lines(told(deployed)))


def test_claim_is_told_while_somebody_runs_the_pass(deployed: Deployed) -> None:
    """Until when at the latest, and who goes on should it have died; later, that it died."""
    die_in_the_pass(deployed)
    assert lines(told(deployed))[2:] == [
        "09:31:47 info claim: somebody runs pass 1, at the latest until then",
        "- info waits: for who claimed pass 1 of 2, until 09:31:47 UTC, in 1 min 30 s",
        "09:31:47 info next: its end is recorded; should it have died, Lambda's retry or the sweep goes on",
    ]
    deployed.world.wait(95)
    assert lines(told(deployed))[2:] == [
        "09:31:47 warn claim: ran out: who claimed pass 1 died, or could not say",
        "- info waits: for pass 1 of 2, due since 09:30:17 UTC (1 min 35 s), tried 1 of at most 30 times",
        "09:32:17 warn next: Lambda, if it has tries left, else the sweep starts pass 1, by 09:37:17 UTC",
    ]


def test_overdue_notification_goes_on_with_the_sweep(deployed: Deployed) -> None:
    """Within five minutes, or at once by a person; after its last attempt the sweep ends it."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(600)
    assert lines(told(deployed))[-3:] == [
        "- info schedule: the timer of pass 2 is gone: it fired, or was never armed",
        "- warn waits: for pass 2 of 2, due since 09:31:17 UTC (9 min)",
        f"- warn next: the sweep starts pass 2, within 5 min; or now: {REPLAY}",
    ]


def test_last_attempt_that_died_is_ended_by_the_sweep(deployed: Deployed) -> None:
    """Nobody recorded its end: the sweep makes it FAILED."""
    deployed.world.cold_start(MAX_ATTEMPTS="1")
    die_in_the_pass(deployed)
    deployed.world.wait(600)
    assert lines(told(deployed))[-1] == "- bad next: the sweep ends it in FAILED, within 5 min"


def test_timer_that_was_never_armed_is_told(deployed: Deployed) -> None:
    """Before the pass is due there should be one: the sweep starts the pass."""
    deployed.world.deliver()
    deployed.world.fire()
    assert lines(told(deployed))[-3:] == [
        "- warn schedule: the timer of pass 2 is gone: it fired, or was never armed",
        "- info waits: for pass 2 of 2, due at 09:31:17 UTC, in 1 min",
        "09:33:17 warn next: the sweep starts pass 2, by 09:38:17 UTC",
    ]


def test_timer_that_is_late_may_still_come(deployed: Deployed) -> None:
    """Scheduler fires within the minute; after that it is the sweep's."""
    deployed.world.deliver()
    deployed.world.wait(90)
    assert lines(told(deployed))[-1] == "09:31:47 info next: the timer starts pass 2, by 09:32:18 UTC"
    deployed.world.wait(60)
    assert lines(told(deployed))[-1] == "09:33:17 warn next: the sweep starts pass 2, by 09:38:17 UTC"


def test_plan_that_ends_with_the_order_is_told(deployed: Deployed) -> None:
    """A ladder of passes, and the statuses that end it before its last."""
    deployed.world.cold_start(RECHECK_DELAYS="60,300", SETTLED_ORDER_STATUSES="PAID, SHIPPED")
    deployed.world.deliver()
    waits = next(moment.text for moment in told(deployed) if moment.what == "waits")
    assert waits.startswith("for pass 2 of 3 or until the order is PAID or SHIPPED, due at ")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wrong-checksum", "warn checksum: invalid: it matches no merchant key"),
        ("missing-checksum", "warn checksum: missing: nothing proves that this came from the bank"),
    ],
)
def test_checksum_that_proves_nothing_is_a_warning(deployed: Deployed, name: str, says: str) -> None:
    """It is processed all the same, and told."""
    event = sample(name)
    event["body"] = event["body"].replace(json.loads(event["body"])["reference_order"], ORDER)
    deployed.world.deliver(event)
    assert lines(told(deployed))[1].endswith(says)


def test_browser_return_states_no_amount(deployed: Deployed) -> None:
    """What it states, and no more."""
    deployed.world.pay(chargeId=json.loads('"chrg_test_22500005aa11bb22cc33dd44"'))
    deployed.world.deliver(sample("browser-return"))
    assert lines(told(deployed))[0] == "09:30:17 info received: status true"


def only_the_error_log(call: Call) -> None:
    """Refuse what is written there."""
    if "error-log" in call.request["TableName"]:
        refuse("InternalServerError")(call)


def die_in_the_pass(deployed: Deployed) -> None:
    """DelayedNotify's process ends in the middle of pass 1."""

    def die(_call: Call) -> Answer:
        raise KeyboardInterrupt

    deployed.functions[PROCESS] = die
    with pytest.raises(KeyboardInterrupt):
        deployed.world.deliver()
