"""The flow: save, pass 1, schedule, pass 2."""

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from callback.clock import moment, stamp
from callback.errors import (
    InvalidNotification,
    NotificationConflict,
    NotificationNotFound,
    PassFailed,
    PassInProgress,
    PassNotDue,
    PassTimedOut,
    ScheduleFailed,
)
from callback.record import SWEEP_SHARDS, _shard
from tests.wire import Answer, Call, payload, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER, World, sample


def test_delivery_saves_then_runs_pass_1_then_arms_the_recheck(world: World) -> None:
    """The follow-up is durable before the work, and the work is recorded before the timer."""
    world.pay()
    world.order()
    world.deliver()
    assert world.wire.names() == [
        "secretsmanager.GetSecretValue",
        "dynamodb.UpdateItem",  # the payment record's mark
        "dynamodb.PutItem",
        "lambda.Invoke",
        "dynamodb.UpdateItem",
        "scheduler.CreateSchedule",
        "dynamodb.GetItem",
    ]


def test_recheck_takes_three_calls(world: World) -> None:
    """Recheck claims, runs and records: at most 4 AWS calls."""
    world.deliver()
    world.wait(60)
    world.wire.calls.clear()
    world.recheck()
    assert world.wire.names() == ["dynamodb.UpdateItem", "lambda.Invoke", "dynamodb.UpdateItem"]


def test_saved_record_says_all_that_the_table_is_to_hold(world: World) -> None:
    """CreditCardNotifyTable holds the attributes of the brief, written in the very first write."""
    world.wire.before["lambda.Invoke"] = _crash
    with pytest.raises(Crash):
        world.deliver()
    record = world.record()
    body = sample("authorized")["body"]
    assert {name: record[name] for name in ("chargeId", "notificationId", "orderId", "note", "state")} == {
        "chargeId": CHARGE,
        "notificationId": NOTIFICATION,
        "orderId": ORDER,
        "note": "delayed notify",
        "state": "PENDING",
    }
    assert (record["status"], record["transactionState"], record["currency"]) == ("success", "Authorized", "THB")
    assert str(record["amount"]) == "200.50"
    assert (record["checksumStatus"], record["checksumForm"], record["body"]) == ("valid", "plain", body)
    assert (record["passesDone"], record["passes"], record["attempts"]) == (0, [], 1)
    assert record["receivedAt"] == record["nextPassDue"] == stamp(world.now)
    assert record["leaseUntil"] == stamp(world.now + timedelta(seconds=90))
    assert 0 <= record["sweepShard"] < 16
    assert record["expiresAt"] > world.now.timestamp()
    assert len(record["bodyDigest"]) == 64


def test_process_paid_order_is_told_order_charge_note_and_pass(world: World) -> None:
    """ProcessPaidOrder gets exactly the payload that the README states, synchronously."""
    world.deliver()
    world.wait(60)
    world.recheck()
    common = {"orderId": ORDER, "chargeId": CHARGE, "note": "delayed notify"}
    assert world.passes() == [common | {"pass": 1}, common | {"pass": 2}]
    [first, _] = world.wire.of("lambda.Invoke")
    assert first["FunctionName"] == "payment3-process-paid-order-dev"
    assert first.get("InvocationType", "RequestResponse") == "RequestResponse"


def test_second_pass_is_due_60_s_after_the_first_ended(world: World) -> None:
    """The minute counts from the end of pass 1, however long that took."""
    world.took = timedelta(seconds=7)
    received = world.now
    world.deliver()
    record = world.record()
    assert moment(record["passes"][0]["at"]) == received + timedelta(seconds=7)
    assert moment(record["nextPassDue"]) == received + timedelta(seconds=67)
    assert "leaseUntil" not in record


def test_two_passes_end_the_follow_up(world: World) -> None:
    """After the second pass the record is DONE, out of the sweep's index, and keeps both outcomes."""
    world.deliver()
    world.wait(60)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}
    record = world.record()
    assert (record["state"], record["passesDone"], record["attempts"]) == ("DONE", 2, 2)
    assert not {"nextPassDue", "sweepShard", "leaseUntil"} & set(record)
    assert [(p["number"], json.loads(p["outcome"])["paid"]) for p in record["passes"]] == [(1, True), (2, True)]


def test_longer_plan_arms_every_next_pass(world: World) -> None:
    """The plan is a list: each pass arms the timer of the one after it."""
    world.cold_start(RECHECK_DELAYS="60,300")
    world.deliver()
    world.wait(60)
    world.fire()
    world.recheck(2)
    [name] = world.schedules()
    assert name.endswith("-3")
    world.wait(300)
    assert world.recheck(3) == {"state": "DONE", "passesDone": 3}


def test_repeat_of_a_finished_notification_does_nothing(world: World) -> None:
    """A retry after the end runs no pass and arms no timer; it still answers."""
    world.deliver()
    world.wait(60)
    world.fire()
    world.recheck()
    world.wire.calls.clear()
    answer = world.deliver()
    assert answer["statusCode"] == 200
    assert "lambda.Invoke" not in world.wire.names()
    assert world.schedules() == []


def test_retry_after_pass_1_only_arms_what_is_missing(world: World) -> None:
    """A death between recording pass 1 and arming its timer costs no second pass 1: the retry arms the timer."""
    world.wire.before["scheduler.CreateSchedule"] = _crash
    with pytest.raises(Crash):
        world.deliver()
    del world.wire.before["scheduler.CreateSchedule"]
    world.deliver()
    assert len(world.passes()) == 1
    assert len(world.schedules()) == 1


def test_retry_runs_the_pass_that_is_overdue(world: World) -> None:
    """A retry that comes when pass 2 is due already runs it: a duplicate resumes."""
    world.wire.before["scheduler.CreateSchedule"] = _crash
    with pytest.raises(Crash):
        world.deliver()
    world.wait(61)
    world.deliver()
    assert [p["pass"] for p in world.passes()] == [1, 2]
    assert world.record()["state"] == "DONE"


def test_retry_after_a_death_in_pass_1_waits_for_the_lease_and_runs_it_again(world: World) -> None:
    """Whoever died in a pass keeps others out until its lease ends, which is before Lambda's second retry."""
    world.wire.before["lambda.Invoke"] = _crash
    with pytest.raises(Crash):
        world.deliver()
    del world.wire.before["lambda.Invoke"]
    world.wait(60)
    with pytest.raises(PassInProgress, match="claimed until"):
        world.deliver()
    world.wait(120)
    world.deliver()
    assert world.record()["passesDone"] == 1
    assert world.record()["attempts"] == 2


def test_timer_for_a_done_pass_does_nothing(world: World) -> None:
    """A timer that fires twice runs its pass once."""
    world.deliver()
    world.wait(60)
    world.fire()
    world.recheck()
    before = world.record()
    assert world.recheck() == {"state": "DONE", "passesDone": 2}
    assert world.record() == before
    assert len(world.passes()) == 2
    assert world.schedules() == []


def test_early_timer_runs_nothing_and_is_tried_again(world: World) -> None:
    """No second pass sooner than 60 s after the first ended, whoever asks; its own timer is gone, so Lambda retries."""
    world.deliver()
    world.fire()
    world.wait(59.9)
    with pytest.raises(PassNotDue, match=r"pass 2 is due at 2026-11-22T09:31:17\.550000Z"):
        world.recheck()
    assert len(world.passes()) == 1
    world.wait(60)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize("call", ["dynamodb.PutItem", "dynamodb.UpdateItem"])
def test_claim_whose_answer_was_lost_is_still_ours(world: World, call: str) -> None:
    """Botocore sends a write again whose answer it never saw: the standing claim is our own, and the pass runs."""
    if call == "dynamodb.UpdateItem":
        world.deliver()
        world.wait(60)

    def send_again(sent: Call) -> None:
        del world.wire.after[call]
        operation = {"PutItem": "put_item", "UpdateItem": "update_item"}[sent.operation]
        getattr(world.client("dynamodb"), operation)(**sent.request)

    world.wire.after[call] = send_again
    if call == "dynamodb.UpdateItem":
        assert world.recheck() == {"state": "DONE", "passesDone": 2}
    else:
        world.deliver()
        assert world.record()["passesDone"] == 1


def test_pass_is_recorded_once_though_the_write_was_sent_twice(world: World) -> None:
    """Botocore sends again a write whose answer it never saw: each pass stands in the record once."""
    world.wire.after["dynamodb.UpdateItem"] = _only_on(
        "passes", lambda sent: _ignoring_refusals(world.client("dynamodb").update_item, sent)
    )
    world.deliver()
    world.wait(60)
    world.recheck()
    assert [done["number"] for done in world.record()["passes"]] == [1, 2]


def _ignoring_refusals(call: Callable[..., Any], sent: Call) -> None:
    with contextlib.suppress(ClientError):
        call(**sent.request)


def test_lease_that_ends_while_we_ask_is_still_anothers(world: World) -> None:
    """Who is refused is told that the pass is claimed, not that it is not due: it has long been due."""
    world.deliver()
    world.wait(60)
    world.wire.before["lambda.Invoke"] = _crash
    with pytest.raises(Crash):
        world.recheck()
    world.wait(89)
    world.wire.before["dynamodb.UpdateItem"] = lambda _call: world.wait(1)
    with pytest.raises(PassInProgress):
        world.recheck()


def test_record_holds_what_the_bank_said_not_what_the_shop_expected(world: World) -> None:
    """Amount and currency come from the payment record only where the notification states none."""
    world.pay(amount=Decimal(1), currency="USD")
    world.deliver()
    assert (world.record()["amount"], world.record()["currency"]) == (Decimal("200.50"), "THB")


def test_difference_between_bank_and_shop_is_told(world: World) -> None:
    """A warning names the field that differs; what one of the two does not state is no difference."""
    world.pay(orderId=ORDER)
    world.deliver()
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44", amount=Decimal(1), currency="USD")
    world.deliver(sample("browser-return"))
    assert world.log("differ") == []
    world.pay(amount=Decimal(1))
    world.deliver()
    assert [line["field"] for line in world.log("differ")] == ["amount"]


def test_browser_return_of_an_unknown_charge_is_refused(world: World) -> None:
    """Nobody says which order it is: an error of ours, which tells what is missing."""
    with pytest.raises(InvalidNotification, match="an order id of at most 2048 bytes, here or in the payment record"):
        world.deliver(sample("browser-return"))
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == []


def test_timer_of_a_pass_that_is_not_next_runs_nothing(world: World) -> None:
    """A timer runs the pass it was made for or none."""
    world.deliver()
    world.wait(600)
    assert world.recheck(3) == {"state": "PENDING", "passesDone": 1}
    assert [p["pass"] for p in world.passes()] == [1]


def test_two_rechecks_at_once_run_the_pass_once(world: World) -> None:
    """The claim lets one through; the other is told, in a way that a retry can help."""
    world.deliver()
    world.wait(60)

    def second_recheck(_call: Call) -> None:
        del world.wire.before["lambda.Invoke"]
        with pytest.raises(PassInProgress):
            world.recheck()

    world.wire.before["lambda.Invoke"] = second_recheck
    world.recheck()
    assert [p["pass"] for p in world.passes()] == [1, 2]


def test_stale_run_never_overwrites_a_later_state(world: World) -> None:
    """A run whose lease ended and whose pass another completed records nothing and says so quietly."""
    world.deliver()
    world.wait(60)

    def outlive_the_lease(_call: Call) -> None:
        del world.wire.before["lambda.Invoke"]
        world.wait(91)
        world.recheck()

    world.wire.before["lambda.Invoke"] = outlive_the_lease
    assert world.recheck() == {"state": "DONE", "passesDone": 2}
    record = world.record()
    assert len(record["passes"]) == 2
    assert record["passes"][1]["attempt"] == 3


def test_stale_run_does_not_end_a_later_claim(world: World) -> None:
    """A failed run gives back its own claim, not the one that another process took meanwhile."""
    world.deliver()
    world.wait(60)
    leases = []

    def overtaken(_call: Call) -> None:
        world.wire.before["lambda.Invoke"] = _crash
        world.wait(91)
        with pytest.raises(Crash):
            world.recheck()
        leases.append(world.record()["leaseUntil"])
        raise ReadTimeoutError(endpoint_url="a test")

    world.wire.before["lambda.Invoke"] = overtaken
    with pytest.raises(PassTimedOut):
        world.recheck()
    assert world.record()["leaseUntil"] == leases[0]
    assert "lastError" not in world.record()


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (payload({"errorMessage": "no"}, error="Unhandled"), PassFailed),
        (ReadTimeoutError(endpoint_url="a test"), PassTimedOut),
        (ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow"}}, "Invoke"), PassFailed),
    ],
)
def test_failed_pass_is_not_done_and_may_be_tried_at_once(
    world: World, failure: Answer | Exception, error: type[Exception]
) -> None:
    """A function error, a timeout and a throttle are failed passes: recorded, the claim given back, raised."""

    def fail(_call: Call) -> Answer:
        if isinstance(failure, Exception):
            raise failure
        return failure

    works, world.wire.answers["lambda.Invoke"] = world.wire.answers["lambda.Invoke"], fail
    with pytest.raises(error):
        world.deliver()
    record = world.record()
    assert (record["passesDone"], record["state"]) == (0, "PENDING")
    assert record["lastError"].startswith(f"{error.__name__}: pass 1: ProcessPaidOrder ")
    assert not {"leaseUntil", "claimId"} & set(record)
    world.wire.answers["lambda.Invoke"] = works
    world.deliver()
    assert world.record()["passesDone"] == 1


def test_answer_that_is_no_json_is_an_outcome_too(world: World) -> None:
    """Whatever ProcessPaidOrder answers is kept and logged, cut to size."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(b"paid\xff" + b"!" * 5000)
    world.deliver()
    outcome = world.record()["passes"][0]["outcome"]
    assert [line["outcome"] for line in world.log("process paid order response")] == [outcome]
    assert outcome.startswith("paid")
    assert len(outcome) == 1000


def test_last_allowed_attempt_ends_in_failed_and_leaves_the_index(world: World) -> None:
    """After MAX_ATTEMPTS at one pass the notification is FAILED, and the sweep sees it no more."""
    world.cold_start(MAX_ATTEMPTS="2")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=2)
    states = []
    for _ in range(2):
        with pytest.raises(PassFailed):
            world.deliver()
        states.append(world.record()["state"])
    assert states == ["PENDING", "FAILED"]
    assert not {"nextPassDue", "sweepShard", "leaseUntil", "claimId"} & set(world.record())


def test_attempts_are_counted_for_each_pass(world: World) -> None:
    """What pass 1 cost does not shorten pass 2's allowance."""
    world.cold_start(MAX_ATTEMPTS="2")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver()
    world.deliver()
    world.wait(60)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.recheck()
    assert world.record()["state"] == "PENDING"


def test_failed_notification_can_be_replayed(world: World) -> None:
    """Recheck runs the missing pass of a FAILED notification, and its follow-up goes on from there."""
    world.cold_start(MAX_ATTEMPTS="1")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver()
    assert world.recheck(1) == {"state": "PENDING", "passesDone": 1}
    assert len(world.schedules()) == 1
    assert "sweepShard" in world.record()


def test_claim_that_cannot_be_given_back_does_not_hide_the_pass_error(world: World) -> None:
    """The error that is reported is the pass's own, even if recording it fails too."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    world.wire.before["dynamodb.UpdateItem"] = _only_on("leaseUntil", refuse("InternalServerError", times=9))
    with pytest.raises(PassFailed) as failed:
        world.deliver()
    assert failed.type is PassFailed  # and not that nothing tries again: the record still waits
    assert world.record()["state"] == "PENDING"


def test_failed_write_of_a_pass_is_raised(world: World) -> None:
    """A pass that could not be recorded is not taken as done."""
    world.wire.before["dynamodb.UpdateItem"] = _only_on("passes", refuse("InternalServerError"))
    with pytest.raises(ClientError):
        world.deliver()
    assert world.record()["passesDone"] == 0


def test_recheck_of_a_notification_that_was_never_saved_is_refused(world: World) -> None:
    """A timer without its record is an error of ours."""
    with pytest.raises(NotificationNotFound):
        world.recheck()


def test_same_id_with_another_body_is_refused_loudly(world: World) -> None:
    """One notification id with two bodies is no repeat: neither may stand in for the other."""
    world.deliver()
    event = sample("authorized")
    event["body"] = event["body"].replace("200.50", "200.5")
    saved = world.record()
    with pytest.raises(NotificationConflict):
        world.deliver(event)
    assert world.record() == saved
    assert world.error()["errorType"] == "NotificationConflict"


def test_second_delivery_by_the_bank_has_passes_of_its_own(world: World) -> None:
    """The bank's own repeat has another request id and so is another notification, as today."""
    world.deliver()
    event = sample("authorized")
    event["requestContext"]["requestId"] = "another-delivery"
    world.deliver(event)
    assert len(world.rows("CREDIT_CARD_NOTIFY_TABLE")) == 2
    assert len(world.schedules()) == 2


def test_timer_that_is_armed_already_is_as_good(world: World) -> None:
    """A name conflict means that this very timer exists; it is no error."""
    world.deliver()
    world.deliver()
    assert len(world.schedules()) == 1
    assert world.mails() == []


def test_timer_that_cannot_be_armed_is_an_error_and_loses_nothing(world: World) -> None:
    """A refused timer is raised, so that Lambda tries again; the record says when the pass is due."""
    world.wire.before["scheduler.CreateSchedule"] = refuse("ServiceQuotaExceededException")
    with pytest.raises(ScheduleFailed, match="pass 2"):
        world.deliver()
    assert "nextPassDue" in world.record()
    world.deliver()
    assert len(world.schedules()) == 1


def test_warm_invocations_share_the_merchant_key(world: World) -> None:
    """The secret is asked for once in some minutes, not once in every notification."""
    world.deliver()
    world.deliver()
    assert world.wire.names().count("secretsmanager.GetSecretValue") == 1
    world.wait(301)
    world.deliver()
    assert world.wire.names().count("secretsmanager.GetSecretValue") == 2


class Crash(BaseException):
    """The process dies: nothing of ours may catch this."""


def _crash(_call: Call) -> None:
    raise Crash


def _only_on(attribute: str, hook: Callable[[Call], None]) -> Callable[[Call], None]:
    def chosen(call: Call) -> None:
        if f"#{attribute}" in call.request["UpdateExpression"]:
            hook(call)

    return chosen


def unreachable(_call: Call) -> None:
    """Stand in for a service that cannot be reached."""
    raise EndpointConnectionError(endpoint_url="a test")


def test_stale_run_records_nothing_while_another_holds_the_claim(world: World) -> None:
    """A run that outlived its lease may not record its pass under a later claim: it is told, and a retry helps."""
    world.deliver()
    world.wait(60)

    def overtaken(_call: Call) -> None:
        world.wire.before["lambda.Invoke"] = _crash
        world.wait(91)
        with pytest.raises(Crash):
            world.recheck()
        del world.wire.before["lambda.Invoke"]

    world.wire.before["lambda.Invoke"] = overtaken
    with pytest.raises(PassInProgress):
        world.recheck()
    assert (world.record()["passesDone"], world.record()["attempts"]) == (1, 3)


def test_recheck_claims_for_as_long_as_it_may_live(world: World) -> None:
    """A claim keeps others out for pass limit + margin, in Recheck as in DelayedNotify, and not a moment longer."""
    world.deliver()
    world.wait(60)
    world.wire.before["lambda.Invoke"] = _crash
    with pytest.raises(Crash):
        world.recheck()
    assert world.record()["leaseUntil"] == stamp(world.now + timedelta(seconds=90))
    del world.wire.before["lambda.Invoke"]
    world.wait(90)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}


def test_done_notification_has_no_further_pass(world: World) -> None:
    """A timer beyond the plan finds nothing to claim."""
    world.deliver()
    world.wait(60)
    world.fire()
    world.recheck()
    world.wait(600)
    assert world.recheck(3) == {"state": "DONE", "passesDone": 2}
    assert len(world.passes()) == 2


def test_late_timer_of_a_done_pass_returns_quietly_while_the_next_one_runs(world: World) -> None:
    """A second fire of pass 2 during pass 3 is no error, and arms no timer for a pass that somebody is at."""
    world.cold_start(RECHECK_DELAYS="60,60")
    world.deliver()
    world.wait(60)
    world.recheck(2)
    world.wait(60)
    world.fire()

    def late(_call: Call) -> None:
        del world.wire.before["lambda.Invoke"]
        assert world.recheck(2) == {"state": "PENDING", "passesDone": 2}
        assert world.schedules() == []

    world.wire.before["lambda.Invoke"] = late
    assert world.recheck(3) == {"state": "DONE", "passesDone": 3}


def test_each_delay_of_the_plan_counts_for_its_own_pass(world: World) -> None:
    """The n-th delay is the wait before pass n + 1."""
    world.cold_start(RECHECK_DELAYS="60,300")
    world.deliver()
    world.wait(60)
    world.recheck(2)
    assert moment(world.record()["nextPassDue"]) == world.now + timedelta(seconds=300)


def test_index_is_spread_and_a_record_stays_in_its_shard() -> None:
    """No single partition of `due` takes all writes."""
    assert {_shard(CHARGE, str(number)) for number in range(500)} == set(range(SWEEP_SHARDS))


def test_shard_is_the_same_after_each_write(world: World) -> None:
    """Saving, recording a pass and replaying a failed one leave a notification in one shard."""
    shards = set()
    world.wire.after["dynamodb.PutItem"] = lambda call: shards.add(call.request["Item"]["sweepShard"]["N"])
    world.deliver()
    shards.add(str(world.record()["sweepShard"]))
    assert len(shards) == 1


def test_pass_keeps_how_long_it_took(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run and the operators reckon a pass's begin from `at` and `durationMs`."""
    monkeypatch.setattr("callback.advance.time", SimpleNamespace(monotonic=world.monotonic))
    world.took = timedelta(seconds=7)
    world.deliver()
    assert world.record()["passes"][0]["durationMs"] == 7000


@pytest.mark.parametrize("error", [EndpointConnectionError, ConnectTimeoutError])
def test_unreachable_process_paid_order_is_a_failed_pass(world: World, error: Any) -> None:
    """Botocore's own errors are failed passes too, never a bare library error."""

    def fail(_call: Call) -> None:
        raise error(endpoint_url="a test")

    world.wire.before["lambda.Invoke"] = fail
    with pytest.raises(PassFailed, match="could not be invoked"):
        world.deliver()
    assert "leaseUntil" not in world.record()


def test_unreachable_scheduler_is_an_error_of_ours(world: World) -> None:
    """Botocore's own errors name the pass as well."""
    world.wire.before["scheduler.CreateSchedule"] = unreachable
    with pytest.raises(ScheduleFailed, match="pass 2"):
        world.deliver()


def test_unreachable_table_does_not_hide_the_pass_error(world: World) -> None:
    """Neither giving the claim back nor the report may raise in the place of the pass's own error."""

    def from_now_on(_call: Call) -> None:
        world.wire.before["dynamodb.UpdateItem"] = unreachable
        world.wire.before["ses.SendEmail"] = unreachable
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow"}}, "Invoke")

    world.wire.before["lambda.Invoke"] = from_now_on
    with pytest.raises(PassFailed):
        world.deliver()
    assert len(world.log("failed too")) == 2


def test_last_error_is_cut(world: World) -> None:
    """An endless error text does not fill the record."""
    world.wire.before["lambda.Invoke"] = refuse("X" * 5000)
    with pytest.raises(PassFailed):
        world.deliver()
    assert len(world.record()["lastError"]) == 1000


def test_order_is_read_as_it_is_now(world: World) -> None:
    """A consistent read: the order may have been written a moment ago."""
    world.deliver()
    [request] = world.wire.of("dynamodb.GetItem")
    assert request["ConsistentRead"] is True
