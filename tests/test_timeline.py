"""The timeline of a notification: what is known of it, in order of time, where it waits and what happens next."""

import pytest

from followups.notifications import found
from followups.stack import Stack
from followups.timeline import Moment, timeline
from tests.deployed import Deployed
from tests.wire import payload
from tests.world import ORDER, World

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
