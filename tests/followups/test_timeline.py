"""The timeline of a notification: what is known of it, in order of time, what it waits for and what happens next."""

import json

import pytest

from followups.show import Event, timeline
from followups.stack import Stack
from followups.tables import find
from tests.support.aws import CHARGE, ORDER, sample
from tests.support.deployed import PROCESS, Deployed, arn
from tests.support.recorded_calls import Answer, Call, payload, refuse

ASLEEP = "ProcessPaidOrder failed (Unhandled)"
TRIED = "attempts: 1 since 09:30:17 UTC; it is given up at 2026-11-25 09:30:17 UTC"
REPLAY = f"followups replay --stack payment3-follow-up-dev -- {ORDER}"


def events(deployed: Deployed) -> list[Event]:
    """The timeline of the only notification, now."""
    with deployed.world.wire:
        [one] = find(Stack(), ORDER).rows
        found = timeline(Stack(), one, deployed.world.now)
    times = [event.at for event in found if event.at]
    assert times == sorted(times)
    assert all("\n" not in event.text for event in found)
    return found


def lines(deployed: Deployed) -> list[str]:
    """The events as text, without the dates."""
    return [
        f"{e.at:%H:%M:%S} {e.level} {e.what}: {e.text}" if e.at else f"- {e.level} {e.what}: {e.text}"
        for e in events(deployed)
    ]


def deliver_in_vain(deployed: Deployed) -> None:
    """DelayedNotify saves the notification, and its pass 1 fails."""
    deployed.process_fails()
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.deliver()


def fail_again(deployed: Deployed, number: int = 1) -> None:
    """The pass fails when it is due again."""
    due = next(event.at for event in events(deployed) if event.what == "next")
    assert due
    deployed.world.now = max(due, deployed.world.now)
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.recheck(number)


def test_notification_that_waits_for_its_timer(deployed: Deployed) -> None:
    """The timer fires within the minute; when it is late, the sweep starts the pass."""
    deployed.world.deliver()
    deployed.world.wait(17)
    assert lines(deployed) == [
        "09:30:17 info received: status success, state Authorized, 200.50 THB",
        "09:30:17 ok checksum: valid (plain form): the bank vouches for all but the order id",
        '09:30:17 ok pass 1: completed in 0.0 s: {"paid": true, "pass": 1}',
        "09:31:20 ok schedule: the timer of pass 2 is set for 09:31:20 UTC, in 45 s",
        "- info waits: for pass 2 of 2, due at 09:31:18 UTC, in 44 s",
        "09:31:20 info next: the timer starts pass 2, by 09:32:20 UTC",
    ]
    deployed.world.wait(73)
    assert lines(deployed)[-1] == "09:31:47 info next: the timer starts pass 2, by 09:32:20 UTC"
    deployed.world.wait(60)
    assert lines(deployed)[-1] == "09:33:18 warn next: the sweep starts pass 2, by 09:34:18 UTC"


def test_lost_timer_is_a_warning_until_the_sweep_starts_the_pass(deployed: Deployed) -> None:
    """Within a minute, or when the sweep reads it again after a hand-over; or at once, by a person."""
    deployed.world.deliver()
    deployed.world.fire()
    assert lines(deployed)[-3:] == [
        "- warn schedule: the timer of pass 2 is gone: it fired, or was never created",
        "- info waits: for pass 2 of 2, due at 09:31:18 UTC, in 1 min 1 s",
        "09:33:18 warn next: the sweep starts pass 2, by 09:34:18 UTC",
    ]
    deployed.world.wait(600)
    assert lines(deployed)[-3:] == [
        "- info schedule: the timer of pass 2 is gone: it fired, or was never created",
        "- bad waits: for pass 2 of 2, due since 09:31:18 UTC (8 min 59 s)",
        f"09:40:17 warn next: the sweep starts pass 2, by 09:41:17 UTC; or now: {REPLAY}",
    ]
    deployed.functions[arn("payment3-recheck-dev")] = lambda _call: {}
    deployed.world.sweep()
    assert "the sweep starts pass 2, by 09:46:17 UTC; " in lines(deployed)[-1]


def test_done_notification(deployed: Deployed) -> None:
    """Both passes, whatever they answered, and that nothing comes."""
    deployed.functions[PROCESS] = lambda _call: payload(None)
    deployed.world.deliver()
    deployed.world.wait(61)
    deployed.world.recheck()
    assert [event.what for event in events(deployed)] == ["received", "checksum", "pass 1", "pass 2", "next"]
    assert lines(deployed)[2].endswith("pass 1: completed in 0.0 s: null")
    assert lines(deployed)[-1] == "- ok next: nothing: no pass is missing"


def test_failed_attempts_are_counted_with_the_next_try(deployed: Deployed) -> None:
    """When it is due again, since when it was tried, when it is given up, the error; then at which attempt it ended."""
    works = deployed.functions[PROCESS]
    deliver_in_vain(deployed)
    failed = f"PassFailed: pass 1: {ASLEEP}"
    assert lines(deployed)[2:] == [
        f"09:30:17 warn error: {failed} (mailed 09:30:17 UTC)",
        f"- warn waits: for pass 1 of 2, due again at 09:31:17 UTC, in 1 min, {TRIED}",
        "09:31:18 info next: the sweep starts pass 1, by 09:32:18 UTC",
    ]
    fail_again(deployed)
    assert lines(deployed)[2] == f"09:31:18 warn error: {failed} (2 times in 1 min 1 s, mailed 09:30:17 UTC)"
    assert "attempts: 2 since 09:30:17 UTC" in lines(deployed)[3]
    deployed.functions[PROCESS] = works
    for number in (1, 2):
        deployed.world.wait(120)
        deployed.world.recheck(number)
    assert [line.split(" in ")[0][9:] for line in lines(deployed) if ": completed" in line] == [
        "ok pass 1: completed at attempt 3",
        "ok pass 2: completed",
    ]


def test_failed_notification(deployed: Deployed) -> None:
    """Each error with its count and its mail, the end, and the command that brings it back."""
    deployed.world.cold_start(GIVE_UP_AFTER_HOURS="1")
    deliver_in_vain(deployed)
    deployed.world.wait(3600)
    fail_again(deployed)
    ended, error, *rest = lines(deployed)[3:]
    assert ended == "10:30:17 bad ended: FAILED, passes completed: 0"
    assert error.startswith("10:30:17 bad error: GaveUp: pass 1")
    assert error.endswith(f"{ASLEEP} (mailed 10:30:17 UTC)")
    assert rest == [
        "- bad waits: for a person: pass 1 of 2 is missing, attempts: 2 since 09:30:17 UTC",
        f"- bad next: nothing by itself; once the cause is gone: {REPLAY}",
    ]


def test_last_error_is_shown_without_a_row_of_the_log(deployed: Deployed) -> None:
    """The error log may have failed; of what is done the error is only information."""

    def refuse_the_error_log(call: Call) -> None:
        if "error-log" in call.request["TableName"]:
            refuse("InternalServerError")(call)

    deployed.world.wire.before["dynamodb.UpdateItem"] = refuse_the_error_log
    works = deployed.functions[PROCESS]
    deliver_in_vain(deployed)
    text = f"error: of the last failed attempt: PassFailed: pass 1: {ASLEEP}"
    assert f"- warn {text}" in lines(deployed)
    deployed.functions[PROCESS] = works
    for number in (1, 2):
        deployed.world.wait(90)
        deployed.world.recheck(number)
    assert f"- info {text}" in lines(deployed)


def test_error_whose_mail_was_held_back_is_not_mailed(deployed: Deployed) -> None:
    """Whether somebody knows."""
    deployed.world.wire.before["ses.SendEmail"] = refuse("Throttling")
    deliver_in_vain(deployed)
    assert any("(not mailed)" in line for line in lines(deployed))


def test_claim_is_shown_while_the_pass_runs(deployed: Deployed) -> None:
    """Until when at the latest, and what happens if the process died; later, that it died."""

    def die(_call: Call) -> Answer:
        raise KeyboardInterrupt

    deployed.functions[PROCESS] = die
    with pytest.raises(KeyboardInterrupt):
        deployed.world.deliver()
    assert lines(deployed)[2:] == [
        "09:31:47 info claim: pass 1 is running, at the latest until then",
        "- info waits: for the end of pass 1 of 2, which is running, until 09:31:47 UTC, in 1 min 30 s",
        "09:33:18 info next: its end is recorded; should it have died, the sweep starts pass 1 again, by 09:34:18 UTC",
    ]
    deployed.world.wait(95)
    assert lines(deployed)[2:] == [
        "09:31:47 warn claim: ran out: the run of pass 1 died, or could not record its end",
        f"- warn waits: for pass 1 of 2, due since 09:30:17 UTC (1 min 35 s), {TRIED}",
        "09:33:18 info next: the sweep starts pass 1, by 09:34:18 UTC",
    ]


def test_what_ends_the_passes_is_shown(deployed: Deployed) -> None:
    """How many passes the plan has; after GiveUpAfterHours the next failure, or the sweep."""
    deployed.world.cold_start(RECHECK_DELAYS="60,300")
    deployed.world.deliver()
    waits = next(event.text for event in events(deployed) if event.what == "waits")
    assert waits.startswith("for pass 2 of 3, due at ")
    deployed.world.empty()
    deployed.put_waiting("n", 72 * 60, attempts=9)
    assert lines(deployed)[-1].endswith(", for the last time, or ends it in FAILED")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wrong-checksum", "warn checksum: invalid: it matches no merchant key"),
        ("missing-checksum", "warn checksum: missing: nothing proves that this came from the bank"),
    ],
)
def test_checksum_that_proves_nothing_is_a_warning(deployed: Deployed, name: str, says: str) -> None:
    """It is processed all the same."""
    event = sample(name)
    event["body"] = event["body"].replace(json.loads(event["body"])["reference_order"], ORDER)
    deployed.world.deliver(event)
    assert lines(deployed)[1].endswith(says)


def test_browser_return_states_no_amount(deployed: Deployed) -> None:
    """What it states, and no more."""
    deployed.put_waiting("n", status="true", chargeId=CHARGE, receivedAt=None)
    assert lines(deployed)[0] == "- info received: status true"
