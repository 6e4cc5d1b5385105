"""The sweep: what is overdue is handed to Recheck; what cannot go on ends loudly."""

import itertools
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest

from callback.errors import FollowUpError, PassFailed
from callback.record import SWEEP_SHARDS, sweep_shard
from callback.sweep import all_at_once
from callback.table import format_utc, parse_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World
from tests.support.recorded_calls import Call, refuse
from tests.support.steps import ENDED, WAITING, die_in_pass, down, ends_mailed, fails, once, only, throttle

COUNTED = ("handedOver", "inProgress", "moved", "failed", "errors", "unread")


def swept(world: World) -> list[dict[str, Any]]:
    """Run the sweep, and return what it handed to Recheck."""
    before, world.took = len(world.passes()), timedelta()
    world.sweep()
    return world.passes()[before:]


def names(handed: list[dict[str, Any]]) -> list[str]:
    """Return which notifications were handed over."""
    return [asked["notificationId"] for asked in handed]


def overdue(world: World, number: int = 1, hours: float = 1, **changes: Any) -> None:
    """Save a notification whose pass 2 should have run hours ago; `...` leaves an attribute out."""
    due = format_utc(world.now - timedelta(hours=hours) + timedelta(seconds=number))
    row: dict[str, Any] = {"chargeId": f"chrg_test_{number}", "notificationId": f"n-{number}"}
    row |= {"orderId": f"ORDER-{number}", "state": "PENDING", "checksumStatus": "valid", "passesDone": 1, "passes": []}
    row |= {"attempts": 1, "attemptsBefore": 1, "nextPassDue": due, "firstDue": due}
    row |= {"sweepShard": number % SWEEP_SHARDS, "sweepAt": due} | changes
    world.put("CREDIT_CARD_NOTIFY_TABLE", {name: value for name, value in row.items() if value is not ...})


def rows(world: World) -> dict[str, dict[str, Any]]:
    """Return the records by notification."""
    return {row["notificationId"]: row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")}


# --- what is handed over ---


def test_pass_whose_timer_never_fired_is_run_two_minutes_after_it_was_due(world: World) -> None:
    """If Scheduler was down, the sweep asks Recheck, asynchronously, for the missing pass."""
    down(world, "Scheduler")
    world.deliver()
    due = world.record()["nextPassDue"]
    world.now = parse_utc(due) + timedelta(seconds=105)
    assert swept(world) == []
    world.now = parse_utc(due) + timedelta(seconds=121)
    [asked] = swept(world)
    ids = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    assert asked == {"version": 1, **ids, "pass": 2, "dueAt": due}
    sent = world.wire.of("lambda.Invoke")[-1]
    assert (sent["InvocationType"], sent["FunctionName"][-20:]) == ("Event", "payment3-recheck-dev")
    assert world.recheck(**asked) == {"state": "DONE", "passesDone": 2}


def test_lost_pass_1_is_handed_over_in_minutes_whatever_the_delay(world: World) -> None:
    """A branch whose second pass is a day later waits no longer for a first one whose process died."""
    world.cold_start(RECHECK_DELAYS="86400")
    die_in_pass(world)
    world.wait(181)
    assert names(swept(world)) == [NOTIFICATION]


def test_every_shard_is_swept_past_its_first_page_oldest_first(world: World) -> None:
    """One sweep hands over all that waits, once; 100,000 finished notifications cost no further page."""
    many = range(SWEEP_SHARDS + 3, SWEEP_SHARDS + 123)
    for number in (*range(SWEEP_SHARDS), *reversed(many)):
        overdue(world, number, sweepShard=min(number, 3) if number in many else number)
    world.finished(100_000)
    handed = names(swept(world))
    assert sorted(handed) == sorted(f"n-{number}" for number in (*range(SWEEP_SHARDS), *many))
    assert [name for name in handed if int(name[2:]) in many] == [f"n-{number}" for number in many]
    found = {"dynamodb.UpdateItem": len(handed), "lambda.Invoke": len(handed)}
    assert Counter(world.wire.names()) == {"dynamodb.Query": SWEEP_SHARDS + 1} | found


def test_shards_are_swept_all_at_once() -> None:
    """None waits for another: each has a thread, unless a test asks for one thread."""
    barrier = Barrier(SWEEP_SHARDS)
    found = all_at_once(lambda _shard: Counter(str(barrier.wait(10))), range(SWEEP_SHARDS))
    assert len(list(found)) == SWEEP_SHARDS


def test_sweep_stops_before_the_next_one_begins(world: World) -> None:
    """After 50 seconds each shard leaves the rest to the next sweep, which begins with it."""
    for number in range(70):
        overdue(world, number, sweepShard=5 + number // 60)
    world.wire.after["lambda.Invoke"] = lambda _call: world.wait(1)
    assert names(swept(world)) == [f"n-{number}" for number in (*range(50), *range(60, 70))]
    world.wait(10)
    assert names(swept(world)) == [f"n-{number}" for number in range(50, 60)]


def test_notification_is_handed_over_once_in_five_minutes(world: World) -> None:
    """Neither two sweeps at once nor an hour of throttled Rechecks fill Lambda's queue with copies."""
    overdue(world)
    once(world, "dynamodb.UpdateItem", lambda _: swept(world))
    handed = swept(world)
    assert (names(handed), world.log()[-1]["moved"]) == (["n-1"], 1)
    for _ in range(59):
        world.wait(60)
        handed += swept(world)
    assert 10 <= len(handed) <= 12
    assert world.recheck(**handed[0]) == {"state": "DONE", "passesDone": 2}


def test_proved_and_failing_and_unproved_payments_share_no_shard() -> None:
    """Nothing that a stranger sends waits in line with a proved payment; each kind is spread over several shards."""
    ids = [{"chargeId": CHARGE, "notificationId": str(number)} for number in range(500)]

    def lane(status: str, failures: int) -> set[int]:
        return {sweep_shard(about | {"checksumStatus": status}, failures) for about in ids}

    proved, failing, unproved = lane("valid", 2), lane("valid", 3), lane("invalid", 0)
    assert sorted([*proved, *failing, *unproved]) == list(range(SWEEP_SHARDS))
    assert lane("valid", 0) == proved
    assert lane("missing", 9) == lane("unverifiable", 1) == unproved


def test_what_fails_often_moves_out_of_the_way(world: World) -> None:
    """The third failure moves a proved payment to another shard, and a success moves it back."""
    throttle(world, times=3)
    shards = []
    for attempt in range(4):
        with suppress(PassFailed):
            world.recheck(1) if attempt else world.deliver()
        world.wait(600)
        shards.append(world.record()["sweepShard"])
    first, second, third, done = shards
    assert first == second == done != third


# --- what fails during a sweep ---


@pytest.mark.parametrize("unread", [1, SWEEP_SHARDS])
def test_shard_that_cannot_be_read_hides_no_other(world: World, unread: int) -> None:
    """The others are handed over once, Lambda retries nothing, and no age of the oldest is reported."""
    for number in range(SWEEP_SHARDS):
        overdue(world, number, hours=2)
    world.wire.before["dynamodb.Query"] = refuse("ThrottlingException", unread)
    assert names(swept(world)) == [f"n-{number}" for number in range(unread, SWEEP_SHARDS)]
    [line] = world.log()
    assert (line["level"], line["ShardsUnread"], len(line["warnings"])) == ("WARNING", unread, unread)
    assert line["warnings"][0].startswith("shard 0 could not be read: ")
    assert world.metrics("OldestOverdue") == world.errors() == world.mails() == []


@pytest.mark.parametrize(("name", "counted"), [("lambda.Invoke", "errors"), ("dynamodb.UpdateItem", "unread")])
@pytest.mark.parametrize("reported", [[], [("ZeroDivisionError", "chrg_test_1")]], ids=["refused", "unforeseen"])
def test_fault_with_one_stops_no_other(world: World, name: str, counted: str, reported: list[Any]) -> None:
    """The rest is handed over, and the next sweep tries it again; a bug has a row. What was not read has no age."""
    for number in (1, 17, 33):
        overdue(world, number)
    once(world, name, (lambda _: 1 // 0) if reported else refuse("TooManyRequestsException"))
    assert names(swept(world))[-2:] == ["n-17", "n-33"]
    [line] = world.log()
    assert (line["level"], line[counted], line["handedOver"]) == ("WARNING", 1, 2)
    assert len(world.metrics("OldestOverdue")) == (counted == "errors")
    assert line["warnings"][0].startswith("n-1 could not be handed over: ")
    assert [(row["errorType"], row["chargeId"]) for row in world.errors()] == reported
    assert len(world.mails()) == len(reported)
    world.wait(301)
    assert sorted(names(swept(world))) == ["n-1", "n-17", "n-33"]
    once(world, "dynamodb.Query", lambda _: 1 // 0)
    fails(ZeroDivisionError, swept, world)  # a fault of the sweep itself is raised


# --- what cannot go on ---


def test_sweep_ends_what_recheck_did_not_live_to_end(world: World) -> None:
    """An hour after it is due to be given up it ends FAILED, with row, mail and count, unless it is claimed."""
    overdue(world, 1, hours=73.1, leaseUntil=format_utc(world.now), claimId="dead", lastError="PassFailed: pass 2: why")
    overdue(world, 2, hours=72.5, leaseUntil=format_utc(world.now), claimId="dead")
    overdue(world, 3, hours=80, leaseUntil=format_utc(world.now + timedelta(seconds=1)), claimId="alive")
    assert world.sweep() == dict.fromkeys(COUNTED, 0) | {"handedOver": 1, "failed": 1, "inProgress": 1}
    assert names(world.passes()) == ["n-2"]
    row, error, [mail] = rows(world)["n-1"], world.error(), world.mails()
    assert (row["state"], WAITING & set(row)) == ("FAILED", ENDED)
    about = {"orderId": "ORDER-1", "chargeId": "chrg_test_1", "notificationId": "n-1", "functionName": "sweep"}
    assert (about | {"errorType": "GaveUp", "checksumStatus": "valid"}).items() <= error.items()
    assert error["message"] == "pass 2: given up: why"
    assert "ORDER-1" in mail["Message"]["Subject"]["Data"]
    counts = {"Failed": 1, "failed": 1, "handedOver": 1, "inProgress": 1}
    assert (counts | {"message": "swept", "level": "INFO"}).items() <= world.log()[0].items()


@pytest.mark.parametrize("meanwhile", [{"claimId": "another"}, {"sweepAt": "2027"}, {"sweepAt": ...}], ids=str)
def test_notification_that_moved_on_meanwhile_is_not_ended(world: World, meanwhile: dict[str, Any]) -> None:
    """The write that ends a notification checks that it was not claimed, moved or done meanwhile."""
    overdue(world, hours=80)

    def moves_on(_call: Call) -> None:
        world.wire.before.clear()
        overdue(world, hours=80, **{"sweepAt": rows(world)["n-1"]["sweepAt"]} | meanwhile)

    world.wire.before["dynamodb.UpdateItem"] = only("end in FAILED", moves_on)
    swept(world)
    assert rows(world)["n-1"]["state"] == "PENDING"
    assert (world.log()[0]["failed"], world.log()[0]["moved"]) == (0, 1)


COUNTS = ("passesDone", "attempts", "attemptsBefore")
# What is expected in each attribute.
ATTRIBUTES = {"state": "PENDING, DONE or FAILED", "passes": "a list"}
ATTRIBUTES |= dict.fromkeys(("checksumStatus", "claimId", "lastError"), "text")
ATTRIBUTES |= dict.fromkeys(COUNTS, "a whole number")
ATTRIBUTES |= dict.fromkeys(("nextPassDue", "firstDue", "leaseUntil"), "a UTC time")
VALUES: list[Any] = [..., "", "2026-01-31T12:00:00", -1, 99, 10**30, True, None, [], [1], {"a": 1}, {"a"}, {1}]


def test_spoilt_record_ends_loudly_once_and_starves_no_other(world: World) -> None:
    """A value of any type in any attribute is either accepted by Recheck or ends the notification as FAILED."""
    spoilt: list[dict[str, Any]] = [{"orderId": ...}, {"chargeId": "chrg\ntest"}, {"chargeId": "4111111111111111"}]
    spoilt += [{name: value} for name, value in itertools.product(ATTRIBUTES, VALUES)]
    spoilt += [{name: Decimal("1.5")} for name in COUNTS]
    for number, changes in enumerate(spoilt):
        overdue(world, number, **changes)
    handed = swept(world)
    world.wait(301)
    again = swept(world)
    ended = {name for name, row in rows(world).items() if row["state"] == "FAILED"}
    assert ended ^ set(names(handed)) == set(rows(world))
    refused = {f"{name} {one[name]}" for number, one in enumerate(spoilt) if f"n-{number}" in ended for name in one}
    assert {f"{name} {value}" for name in COUNTS for value in (-1, 1.5)} <= refused
    assert {"claimId None", "lastError None"} & refused == set()
    assert set(names(again)) == set(names(handed))
    errors = {f"SpoiltRecord: {attribute}: expected {expected}" for attribute, expected in ATTRIBUTES.items()}
    assert errors <= {row.get("lastError") for row in rows(world).values()}
    assert Counter(row["notificationId"] for row in world.errors()) == Counter(ended)
    assert {row["occurrences"] for row in world.errors()} == {1}
    for asked in again:
        with suppress(FollowUpError):
            world.recheck(**asked)
    world.wait(301)
    swept(world)
    assert {row["state"] for row in rows(world).values()} == {"DONE", "FAILED"}


SPOILT: list[tuple[Any, str]] = [({"passes": "x"}, "FAILED"), ({"state": ...}, "FAILED"), ({"sweepAt": "soon"}, "DONE")]


@pytest.mark.parametrize(("changes", "state"), SPOILT, ids=str)
def test_record_that_is_spoilt_between_its_passes(world: World, changes: dict[str, Any], state: str) -> None:
    """Its timer and a repeat raise no other error; the sweep ends it with one mail if no pass can be run."""
    world.deliver()
    row = {name: value for name, value in (world.record() | changes).items() if value is not ...}
    world.put("CREDIT_CARD_NOTIFY_TABLE", row)
    for happens in (World.recheck, World.deliver, World.sweep, World.sweep):
        world.wait(301)
        with suppress(FollowUpError):
            happens(world)
    assert (world.record()["state"], ends_mailed(world)) == (state, int(state == "FAILED"))


@pytest.mark.parametrize("spoilt", [["leaseUntil"], ["nextPassDue"], ["nextPassDue", "firstDue"]], ids=str)
def test_impossible_time_does_not_keep_a_record_waiting_for_ever(world: World, spoilt: list[str]) -> None:
    """A time that is more than ten minutes ahead, longer than any claim or wait, is spoilt and ends it loudly."""
    for late, state in ((0, "PENDING"), (1, "FAILED")):
        ahead = format_utc(world.now + timedelta(minutes=10, microseconds=late))
        overdue(world, 1, 1, **dict.fromkeys(spoilt, ahead), claimId="another")
        swept(world)
        assert (world.record()["state"], len(world.mails())) == (state, late)
    assert world.record()["lastError"].startswith("SpoiltRecord: leaseUntil, nextPassDue: expected times")


def test_1600_forgeries_hold_up_no_payment(world: World) -> None:
    """From each of their shards 50 are handed over in a minute, beside all the real payments; the rest waits."""
    for number in range(1600):
        overdue(world, number, hours=2, sweepShard=12 + number % 4, checksumStatus="invalid")
    for number in range(60):
        overdue(world, 2000 + number, sweepShard=3)
    is_real = Counter(int(name[2:]) >= 2000 for name in names(swept(world)))
    assert is_real == {True: 60, False: 4 * 50}
    world.wait(60)
    assert len(swept(world)) == 4 * 50


def test_age_of_the_oldest_counts_from_when_its_pass_was_first_due(world: World) -> None:
    """Failed or claimed since, it counts, and nothing overdue counts as 0; unproved ones have their own metric."""
    assert world.sweep() == dict.fromkeys(COUNTED, 0)
    now, later = format_utc(world.now), format_utc(world.now + timedelta(seconds=90))
    overdue(world, 1, hours=3, sweepAt=now, nextPassDue=now, leaseUntil=later)
    overdue(world, 2, hours=1)
    overdue(world, 3, hours=9, checksumStatus="missing")
    swept(world)
    assert [line["OldestOverdue"] for line in world.metrics("OldestOverdue")] == [0, 3 * 3600 - 1]
    assert world.log()[-1]["OldestOverdueUnproved"] == 9 * 3600 - 3
