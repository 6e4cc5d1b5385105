"""The flow: save, pass 1, timer, pass 2; and what goes wrong around it without anybody noticing."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import exceptions as aws
from botocore.client import BaseClient
from botocore.response import StreamingBody

from callback import errors
from callback.table import format_utc, parse_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, RETURN_URL, World, sample
from tests.support.call_purposes import dependency, purpose
from tests.support.lambda_model import Died
from tests.support.recorded_calls import Answer, Call, payload, refuse

WAITING = {"nextPassDue", "firstDue", "sweepShard", "sweepAt", "leaseUntil", "claimId", "failedAt", "failedShard"}


def dies(_call: Call) -> None:
    """End the process in the middle of a call."""
    raise Died


def unreachable(_call: Call) -> None:
    """Fail as a service that cannot be reached."""
    raise aws.EndpointConnectionError(endpoint_url="a test")


def down(world: World, *names: str) -> None:
    """Take these dependencies away."""

    def around(call: Call, effect: Callable[[], Answer]) -> Answer:
        if dependency(call) in names:
            unreachable(call)
        return effect()

    world.wire.around = around


def once(world: World, name: str, hook: Callable[[Call], object]) -> None:
    """Let something happen just before the next call of this name, and only then."""

    def before(call: Call) -> None:
        del world.wire.before[name]
        hook(call)

    world.wire.before[name] = before


def only(wanted: str, hook: Callable[[Call], object]) -> Callable[[Call], None]:
    """Apply a hook to calls for this purpose alone."""

    def chosen(call: Call) -> None:
        if purpose(call) == wanted:
            hook(call)

    return chosen


def fail_with(*errors: Exception | Answer) -> Callable[[Call], Answer]:
    """Answer one call after the other with these, the last of them for ever."""
    left = list(errors)

    def answer(_call: Call) -> Answer:
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        return given

    return answer


def dies_in_its_pass(world: World, run: Callable[[World], object] = World.deliver) -> None:
    """Let the process of a function end while its pass runs."""
    once(world, "lambda.Invoke", dies)
    with pytest.raises(Died):
        run(world)


@contextmanager
def one_quiet_line(world: World, outcome: str) -> Iterator[None]:
    """Expect one line at INFO, and no pass, error row or mail."""
    world.printed.truncate(world.printed.seek(0))
    before = (len(world.passes()), world.errors(), world.mails())
    yield
    [line] = world.log()
    assert (line["level"], line["outcome"]) == ("INFO", outcome)
    assert (len(world.passes()), world.errors(), world.mails()) == before


# --- as it should be ---


def test_delivery_does_the_important_first(world: World) -> None:
    """The follow-up is durable before the work, the work before the timer, that before what decides nothing."""
    world.pay()
    world.order()
    world.deliver()
    important = ["save the notification", "run the pass", "record the pass", "create the timer"]
    called = [purpose(call) for call in world.wire.calls]
    assert called[2:] == [*important, "mark the payment record", "read the order"]
    assert all(request["ConsistentRead"] for request in world.wire.of("dynamodb.GetItem"))


def test_first_write_is_the_whole_notification_with_pass_1_claimed_and_due(world: World) -> None:
    """Whatever happens after the first write, the record says what is missing, since when, and who claimed it."""
    dies_in_its_pass(world)
    now, record = format_utc(world.now), world.record()
    expected = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "note": "delayed notify"}
    expected |= {"status": "success", "transactionState": "Authorized", "amount": Decimal("200.50"), "currency": "THB"}
    expected |= {"checksumStatus": "valid", "checksumForm": "plain", "state": "PENDING", "passesDone": 0, "passes": []}
    expected |= {"attempts": 1, "receivedAt": now, "nextPassDue": now, "firstDue": now}
    expected |= {"leaseUntil": format_utc(world.now + timedelta(seconds=90))}
    assert expected.items() <= record.items()
    assert json.loads(record["body"])["reference_order"] == ORDER
    assert len(record["bodyDigest"]) == 64
    assert record["expiresAt"] == int((world.now + timedelta(days=400)).timestamp())


def test_second_pass_is_due_a_minute_after_the_first_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute counts from the end of pass 1, which the record keeps with its length, and a second more for skew."""
    monkeypatch.setattr("callback.passes.time", SimpleNamespace(monotonic=world.monotonic))
    world.took = timedelta(seconds=7)
    world.deliver()
    record, [line] = world.record(), world.log()
    assert (record["passes"][0]["at"], record["passes"][0]["durationMs"]) == (format_utc(world.now), line["durationMs"])
    assert line["durationMs"] == 7000
    assert record["nextPassDue"] == record["firstDue"] == format_utc(world.now + timedelta(seconds=61))


@pytest.mark.parametrize(("seconds", "moves"), [(0.3, False), (15, False), (16, True)])
def test_recording_a_quick_pass_moves_nothing_in_the_index(world: World, seconds: float, *, moves: bool) -> None:
    """Each move in the index `due` is two writes, which a few seconds are not worth."""
    before: list[dict[str, Any]] = []
    world.took = timedelta(seconds=seconds)
    once(world, "lambda.Invoke", lambda _: before.append(world.record()))
    world.deliver()
    record = world.record()
    assert [record[name] != before[0][name] for name in ("sweepAt", "sweepShard")] == [moves, False]
    late = parse_utc(record["sweepAt"]) - parse_utc(record["nextPassDue"])
    assert timedelta(seconds=105) <= late <= timedelta(seconds=120)


def test_two_passes_end_the_follow_up(world: World) -> None:
    """ProcessPaidOrder gets what is documented; the record keeps both outcomes, in the index `order` alone."""
    world.deliver()
    world.wait(61)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}
    about = {"orderId": ORDER, "chargeId": CHARGE, "note": "delayed notify", "checksumStatus": "valid"}
    assert world.passes() == [about | {"pass": 1}, about | {"pass": 2}]
    request, record = world.wire.of("lambda.Invoke")[0], world.record()
    assert request["FunctionName"] == "payment3-process-paid-order-dev"
    assert request.get("InvocationType", "RequestResponse") == "RequestResponse"
    assert (record["state"], record["passesDone"], record["attempts"]) == ("DONE", 2, 2)
    assert not WAITING & set(record)
    assert [(p["number"], json.loads(p["outcome"])["paid"]) for p in record["passes"]] == [(1, True), (2, True)]


def test_each_delay_of_a_longer_plan_counts_for_its_own_pass(world: World) -> None:
    """The n-th delay is the wait before pass n + 1, and each pass creates the timer of the one after it."""
    world.cold_start(RECHECK_DELAYS="60,300")
    world.deliver()
    world.wait(61)
    world.fire()
    world.recheck(2)
    assert [name[-2:] for name in world.schedules()] == ["-3"]
    assert parse_utc(world.record()["nextPassDue"]) == world.now + timedelta(seconds=301)
    world.wait(301)
    assert world.recheck(3) == {"state": "DONE", "passesDone": 3}


def test_second_delivery_by_the_bank_has_passes_of_its_own(world: World) -> None:
    """The bank's own repeat has another request id and so is another notification."""
    world.deliver()
    event = sample("authorized")
    event["requestContext"]["requestId"] = "another-delivery"
    world.deliver(event)
    assert len(world.rows("CREDIT_CARD_NOTIFY_TABLE")) == len(world.schedules()) == len(world.passes()) == 2


def test_an_invocation_is_one_line_with_its_metrics(world: World) -> None:
    """Operators query one line an invocation, and every metric in it has the branch as its only dimension."""
    world.deliver()
    world.wait(61)
    world.recheck()
    world.sweep()
    world.retry({"requestPayload": sample("declined")})
    lines = world.log()
    assert [line["message"] for line in lines] == ["delivered", "rechecked", "swept", "retried"]
    for line in lines:
        [about] = line["_aws"]["CloudWatchMetrics"]
        assert (about["Namespace"], about["Dimensions"], line["Branch"]) == ("payment3/follow-up", [["Branch"]], "dev")
        assert all(isinstance(line[metric["Name"]], int) for metric in about["Metrics"])
    known = {"orderId": ORDER, "chargeId": CHARGE, "notificationId": NOTIFICATION, "checksumStatus": "valid"}
    known |= {"pass": 2, "attempt": 1, "outcome": "completed", "passesDone": 2, "state": "DONE"}
    assert known.items() <= lines[1].items()
    assert json.loads(lines[1]["answer"]) == {"paid": True, "pass": 2}


# --- repeats, early timers and lost races ---


def _finished(world: World) -> None:
    world.deliver()
    world.wait(61)
    world.recheck()


def _failed_once(world: World) -> None:
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(errors.PassFailed):
        world.deliver()


_REPEATS = {
    "after pass 1": (World.deliver, 1, 1),
    "pass 2 is late": (World.deliver, 100, 0),
    "done": (_finished, 1, 0),
    "pass 1 failed": (_failed_once, 61, 0),
    "pass 1 is claimed": (dies_in_its_pass, 1, 0),
    "pass 1 died": (dies_in_its_pass, 180, 0),
}


@pytest.mark.parametrize(("before", "seconds", "timers"), _REPEATS.values(), ids=_REPEATS)
def test_repeat_runs_no_pass_and_answers(
    world: World, before: Callable[[World], Any], seconds: float, timers: int
) -> None:
    """A delivery that finds its record answers from it, creates a missing timer, and leaves the rest to the sweep."""
    before(world)
    world.fire()
    world.wait(seconds)
    with one_quiet_line(world, "repeat"):
        assert world.deliver()["statusCode"] == 200
    assert len(world.schedules()) == timers


@pytest.mark.parametrize("seconds", [0, 59.9, 60.9])
def test_early_timer_runs_nothing_and_is_created_again(world: World, seconds: float) -> None:
    """No second pass sooner than 60 s after the first ended, even by a clock that is a second fast."""
    world.deliver()
    world.fire()
    world.wait(seconds)
    with one_quiet_line(world, "early"):
        assert world.recheck() == {"state": "PENDING", "passesDone": 1}
    assert len(world.schedules()) == 1
    world.wait(61 - seconds)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize(("before", "number"), [(_finished, 2), (_finished, 3), (World.deliver, 3)])
def test_timer_for_a_pass_that_is_not_next_runs_nothing(
    world: World, before: Callable[[World], Any], number: int
) -> None:
    """A timer runs the pass it was made for or none: when it fires twice, beyond the plan, or for another pass."""
    before(world)
    world.fire()
    world.wait(600)
    found = world.record()
    with one_quiet_line(world, "done"):
        assert world.recheck(number) == {"state": found["state"], "passesDone": found["passesDone"]}
    assert (world.record(), world.schedules()) == (found, [])


def test_two_rechecks_at_once_run_the_pass_once(world: World) -> None:
    """The claim lets one through; to the other that is normal."""
    world.deliver()
    world.wait(61)

    def meanwhile(_call: Call) -> None:
        with one_quiet_line(world, "claimed"):
            assert world.recheck() == {"state": "PENDING", "passesDone": 1}

    once(world, "lambda.Invoke", meanwhile)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}
    assert [p["pass"] for p in world.passes()] == [1, 2]


def test_late_timer_creates_none_for_a_pass_that_is_running(world: World) -> None:
    """A second timer of pass 2 during pass 3 changes nothing."""
    world.cold_start(RECHECK_DELAYS="60,60")
    world.deliver()
    world.wait(61)
    world.recheck(2)
    world.wait(61)
    world.fire()
    once(world, "lambda.Invoke", lambda _: world.recheck(2))
    assert world.recheck(3) == {"state": "DONE", "passesDone": 3}
    assert world.schedules() == []


def test_claim_keeps_others_out_for_as_long_as_its_holder_may_live(world: World) -> None:
    """A claim lasts for the pass limit and the margin, and not a moment longer."""
    world.deliver()
    world.wait(61)
    dies_in_its_pass(world, World.recheck)
    world.wait(89.9)
    with one_quiet_line(world, "claimed"):
        world.recheck()
    world.wait(0.1)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize("wanted", ["save the notification", "claim the pass", "record the pass"])
def test_write_that_was_sent_twice_is_done_once(world: World, wanted: str) -> None:
    """Botocore sends a write again whose answer was lost: the claim is still this run's, the pass recorded once."""

    def again(call: Call) -> None:
        with suppress(aws.ClientError):
            send = {"PutItem": "put_item", "UpdateItem": "update_item"}[call.operation]
            getattr(world.client("dynamodb"), send)(**call.request)

    world.wire.after = dict.fromkeys(("dynamodb.PutItem", "dynamodb.UpdateItem"), only(wanted, again))
    _finished(world)
    record = world.record()
    assert [done["number"] for done in record["passes"]] == [1, 2]
    assert [line["outcome"] for line in world.log()] == ["completed", "completed"]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("other", ["completes", "holds the claim"])
def test_run_that_lost_its_claim_changes_nothing(world: World, other: str, *, fails: bool) -> None:
    """A run that outlived its lease records neither its pass nor its failure over another's."""
    world.deliver()
    world.wait(61)
    found: list[dict[str, Any]] = []

    def overtaken(_call: Call) -> None:
        world.wait(91)
        if other == "completes":
            world.recheck()
        else:
            dies_in_its_pass(world, World.recheck)
        found.append(world.record())
        if fails:
            raise aws.ReadTimeoutError(endpoint_url="a test")

    once(world, "lambda.Invoke", overtaken)
    with pytest.raises(errors.PassTimedOut) if fails else nullcontext():
        world.recheck()
    assert found == [world.record()]


# --- a pass that fails ---


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (payload({"errorMessage": "no"}, error="Unhandled"), errors.PassFailed),
        (aws.ReadTimeoutError(endpoint_url="a test"), errors.PassTimedOut),
        (aws.ClientError({"Error": {"Code": "TooManyRequests"}}, "Invoke"), errors.PassFailed),
        (aws.EndpointConnectionError(endpoint_url="a test"), errors.PassFailed),
    ],
    ids=["function error", "timeout", "throttled", "unreachable"],
)
def test_failed_pass_is_recorded_raised_and_due_again(
    world: World, failure: Answer | Exception, error: type[Exception]
) -> None:
    """A function error, a timeout and a throttle are failed passes, and each waits for its next try in the record."""
    works, world.wire.answers["lambda.Invoke"] = world.wire.answers["lambda.Invoke"], fail_with(failure)
    with pytest.raises(error) as raised:
        world.deliver()
    assert raised.type is error
    record, [line] = world.record(), world.log()
    assert (record["passesDone"], record["state"]) == (0, "PENDING")
    assert record["lastError"].startswith(f"{error.__name__}: pass 1: ProcessPaidOrder ")
    assert not {"leaseUntil", "claimId"} & set(record)
    assert record["nextPassDue"] == format_utc(world.now + timedelta(minutes=1))
    assert (line["level"], line["outcome"], line["PassesFailed"]) == ("ERROR", "failed", 1)
    assert world.schedules() == []
    world.wire.answers["lambda.Invoke"] = works
    world.wait(60)
    assert world.recheck(1) == {"state": "PENDING", "passesDone": 1}
    assert len(world.schedules()) == 1


@pytest.mark.parametrize("error", [aws.ConnectionClosedError, aws.ConnectTimeoutError, aws.EndpointConnectionError])
def test_dead_connection_is_tried_once_more(world: World, error: Any) -> None:
    """A connection that died while the function was frozen sent nothing: one silent second try, and no third."""
    dead = error(endpoint_url="a test")
    world.wire.answers["lambda.Invoke"] = fail_with(dead, payload({"paid": True}))
    world.deliver()
    assert [line["level"] for line in world.log()] == ["INFO"]
    world.wire.answers["lambda.Invoke"] = fail_with(dead)
    with pytest.raises(errors.PassFailed, match="could not be invoked"):
        world.deliver(sample("declined"))
    assert len(world.passes()) == 4


@pytest.mark.parametrize(
    ("seconds", "error"), [(60, aws.ReadTimeoutError), (1, aws.ReadTimeoutError), (3, aws.ConnectionClosedError)]
)
def test_pass_that_may_be_running_is_not_tried_again_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float, error: Any
) -> None:
    """After a read timeout, or where the connection closed in the middle, ProcessPaidOrder may have begun."""
    monkeypatch.setattr("callback.passes.time", SimpleNamespace(monotonic=world.monotonic))
    world.wire.before["lambda.Invoke"] = lambda _call: world.wait(seconds)
    world.wire.answers["lambda.Invoke"] = fail_with(error(endpoint_url="a test"), payload({}))
    with pytest.raises(errors.PassFailed):
        world.deliver()
    assert len(world.passes()) == 1


def test_at_most_64_kb_of_an_answer_are_read(world: World) -> None:
    """Six megabytes of answer cost no memory and no time before the pass is recorded."""
    answer = io.BytesIO(b"[" + b"1," * 3_000_000 + b"1]")
    body = StreamingBody(answer, len(answer.getvalue()))
    read: list[int] = []
    answer.close = lambda: read.append(answer.tell())  # type: ignore[method-assign]
    world.wire.answers["lambda.Invoke"] = lambda _call: {"StatusCode": 200, "Payload": body}
    world.deliver()
    assert read == [64 * 1024]
    assert world.record()["passes"][0]["outcome"] == "1,".join(["[", *[""] * 600])[:1000]


def test_answer_and_error_of_any_form_are_kept_cut_to_size(world: World) -> None:
    """Whatever ProcessPaidOrder answers, or how it fails, is kept and logged, but not all of it."""
    world.wire.before["lambda.Invoke"] = refuse("X" * 5000)
    with pytest.raises(errors.PassFailed):
        world.deliver()
    assert len(world.record()["lastError"]) == 1000
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(b"paid\xff" + b"!" * 5000)
    world.wait(60)
    world.recheck(1)
    outcome = world.record()["passes"][0]["outcome"]
    assert world.log()[-1]["answer"] == outcome
    assert outcome.startswith("paid")
    assert 990 < len(outcome.encode()) <= 1000


@pytest.mark.parametrize(
    ("wanted", "failures", "error"),
    [("record the failed pass", 1, errors.PassFailed), ("record the pass", 0, aws.ClientError)],
)
def test_pass_that_cannot_be_recorded_runs_again_after_its_claim(
    world: World, wanted: str, failures: int, error: type[Exception]
) -> None:
    """The pass's own error is raised, or that it was not recorded; it is not taken as done."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", failures)
    world.wire.before["dynamodb.UpdateItem"] = only(wanted, refuse("InternalServerError"))
    with pytest.raises(error):
        world.deliver()
    assert world.record()["passesDone"] == 0
    assert world.log()[0].get("RecordFailed", 0) == failures
    world.wait(91)
    assert world.recheck(1)["passesDone"] == 1


def test_stuck_calls_leave_time_to_record_the_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call takes its longest, the pass hangs: the failure is recorded before Lambda ends the function."""
    began, send, recorded = world.now, world.wire.send, list[float]()
    dead = [aws.ConnectTimeoutError(endpoint_url="a test")]

    def slowly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        config: Any = client.meta.config
        if operation == "Invoke" and dead:
            world.wait(config.connect_timeout)
            raise dead.pop()
        attempts = config.retries["total_max_attempts"]
        # Botocore waits for up to a second before its second attempt.
        world.wait((config.connect_timeout + config.read_timeout) * attempts + attempts - 1)
        if operation in {"GetSecretValue", "GetItem", "Invoke"}:
            raise aws.ReadTimeoutError(endpoint_url="a test")
        answer = send(client, operation, request)
        if "#lastError" in request.get("UpdateExpression", ""):
            recorded.append((world.now - began).total_seconds())
        return answer

    monkeypatch.setattr(world.wire, "send", slowly)
    with pytest.raises(errors.PassTimedOut):
        world.deliver()
    timeout = world.resources["DelayedNotifyFunction"]["Properties"]["Timeout"]
    assert recorded[0] <= timeout


# --- what decides nothing fails ---

PAGE_OF_THE_ORDER = f"https://shop.local.example/orders/{ORDER}"
UNIMPORTANT = {
    "CardPaymentRecordTable": {"PaymentFailed", "MarkFailed"},
    "order table": {"OrderFailed"},
    "Scheduler": {"TimerFailed"},
    "Secrets Manager": {"SecretFailed", "ChecksumsUnverifiable"},
    "CallbackErrorLogTable": set[str](),
    "SES": set[str](),
}


@pytest.mark.parametrize("names", [*([name] for name in list(UNIMPORTANT)[:4]), list(UNIMPORTANT)], ids=len)
def test_what_decides_nothing_costs_a_warning_and_a_count(world: World, names: list[str]) -> None:
    """The order is processed and answered; no error, no row, no mail."""
    world.order()
    down(world, *names)
    page = world.deliver()
    [line] = world.log()
    assert line["level"] == "WARNING"
    counted = {name for name in line if name.endswith(("Failed", "Unverifiable"))}
    assert counted == set.union(*(UNIMPORTANT[name] for name in names))
    assert len(line["warnings"]) >= len(names) - 2
    assert world.record()["passesDone"] == 1
    assert (PAGE_OF_THE_ORDER if "order table" in names else RETURN_URL) in page["body"]
    assert world.errors() == world.mails() == []


def test_own_error_is_raised_whatever_fails_with_it(world: World) -> None:
    """The error log, the mail, the mark and the page are down: Lambda sees the pass's error, and the record has it."""
    down(world, "CallbackErrorLogTable", "SES", "CardPaymentRecordTable", "order table", "ProcessPaidOrder")
    with pytest.raises(errors.PassFailed):
        world.deliver()
    [line] = world.log()
    assert line["level"] == "ERROR"
    assert (line["errorType"], line["LogFailed"], line["MailFailed"]) == ("PassFailed", 1, 1)
    assert world.record()["lastError"].startswith("PassFailed")


# --- whose word counts ---


def test_browser_return_of_an_unknown_charge_is_refused_or_retried(world: World) -> None:
    """Nobody says which order it is: while the payment record cannot be read, a retry helps, and else none."""
    down(world, "CardPaymentRecordTable")
    with pytest.raises(errors.PaymentUnreadable) as raised:
        world.deliver(sample("browser-return"))
    assert raised.value.retryable
    world.wire.around = None
    with pytest.raises(errors.InvalidNotification, match="reference_order: expected an order id"):
        world.deliver(sample("browser-return"))
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == []


def test_same_id_with_another_body_is_refused_loudly(world: World) -> None:
    """One notification id with two bodies is no repeat: neither may stand in for the other."""
    world.deliver()
    event = sample("authorized")
    event["body"] = event["body"].replace("200.50", "200.5")
    saved = world.record()
    with pytest.raises(errors.NotificationConflict):
        world.deliver(event)
    assert world.record() == saved
    assert world.error()["errorType"] == "NotificationConflict"


def test_recheck_of_a_notification_that_was_never_saved_is_refused(world: World) -> None:
    """A timer without its record is an error."""
    with pytest.raises(errors.NotificationNotFound):
        world.recheck()
