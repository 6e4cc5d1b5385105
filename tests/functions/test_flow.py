"""The flow: save, pass 1, timer, pass 2; and the faults around it that nobody has to notice."""

import hashlib
import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from unittest import mock

import pytest
from botocore import exceptions as aws
from botocore.client import BaseClient

from callback import errors
from callback.table import format_utc, parse_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, RETURN_URL, START, World, sample
from tests.support.call_purposes import purpose
from tests.support.recorded_calls import Answer, Call, directly, refuse
from tests.support.steps import WAITING, die_in_pass, down, fail_pass_1, fails, hangs, once, only, quiet_line


def due(world: World) -> None:
    """Deliver a notification, and wait until its pass 2 is due."""
    world.deliver()
    world.wait(61)


def done(world: World) -> None:
    """Run both passes of a notification."""
    due(world)
    assert world.recheck() == {"state": "DONE", "passesDone": 2}


def die_in_pass_2(world: World) -> None:
    """End the process of pass 2 while it runs."""
    due(world)
    die_in_pass(world, World.recheck)


def test_first_write_is_the_whole_notification_with_pass_1_claimed_and_due(world: World) -> None:
    """Whatever happens after the first write, the record shows what is missing, since when, and who claimed it."""
    die_in_pass(world)
    now, record = format_utc(world.now), world.record()
    expected = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "note": "delayed notify"}
    expected |= {"status": "success", "transactionState": "Authorized", "amount": Decimal("200.50"), "currency": "THB"}
    expected |= {"checksumStatus": "valid", "checksumForm": "plain", "state": "PENDING", "passesDone": 0, "passes": []}
    expected |= {"attempts": 1, "receivedAt": now, "nextPassDue": now, "firstDue": now}
    expected |= {"leaseUntil": format_utc(world.now + timedelta(seconds=90))}
    expected |= {"expiresAt": int((world.now + timedelta(days=400)).timestamp())}
    expected |= {"bodyDigest": hashlib.sha256(sample("authorized")["body"].encode()).hexdigest()}
    assert expected.items() <= record.items()
    assert json.loads(record["body"])["reference_order"] == ORDER


@pytest.mark.parametrize(("seconds", "moves"), [(0.3, False), (15, False), (16, True)])
def test_second_pass_is_due_a_minute_after_the_first_ended(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float, *, moves: bool
) -> None:
    """Plus a second for clock skew. A few seconds are not worth a move in the index `due`, which costs two writes."""
    before: list[dict[str, Any]] = []
    monkeypatch.setattr("callback.passes.time", world)
    world.took = timedelta(seconds=seconds)
    once(world, "lambda.Invoke", lambda _: before.append(world.record()))
    world.deliver()
    record, [line] = world.record(), world.log()
    [first] = record["passes"]
    assert first["at"] == format_utc(world.now)
    assert first["durationMs"] == line["durationMs"] == 1000 * seconds
    assert record["nextPassDue"] == record["firstDue"] == format_utc(world.now + timedelta(seconds=61))
    assert [record[name] != before[0][name] for name in ("sweepAt", "sweepShard")] == [moves, False]
    late = parse_utc(record["sweepAt"]) - parse_utc(record["nextPassDue"])
    assert timedelta(seconds=105) <= late <= timedelta(seconds=120)


def test_two_passes_end_the_follow_up(world: World) -> None:
    """ProcessPaidOrder gets what is documented; the record and the log have both outcomes."""
    world.pay()
    world.order()
    done(world)
    about: dict[str, Any] = {"orderId": ORDER, "chargeId": CHARGE, "checksumStatus": "valid"}
    assert world.passes() == [about | {"note": "delayed notify", "pass": number} for number in (1, 2)]
    request, record, [delivered, rechecked] = world.wire.of("lambda.Invoke")[0], world.record(), world.log()
    assert request["FunctionName"] == "payment3-process-paid-order-dev"
    assert request.get("InvocationType", "RequestResponse") == "RequestResponse"
    assert (record["state"], record["passesDone"], record["attempts"]) == ("DONE", 2, 2)
    assert not WAITING & set(record)
    passes = [(p["number"], p["attempt"], json.loads(p["outcome"])["paid"]) for p in record["passes"]]
    assert passes == [(1, 1, True), (2, 2, True)]
    about |= {"message": "rechecked", "notificationId": NOTIFICATION, "outcome": "completed", "PassesCompleted": 1}
    about |= {"pass": 2, "attempt": 1, "passesDone": 2, "state": "DONE", "answer": record["passes"][1]["outcome"]}
    assert about.items() <= rechecked.items()
    assert (delivered["message"], [delivered["schedule"]]) == ("delivered", world.schedules())
    # What matters comes first: the record is saved before the work, and the work is done before the timer.
    called = [purpose(call) for call in world.wire.calls][2:8]
    important = ["save the notification", "run the pass", "record the pass", "create the timer"]
    assert called == [*important, "mark the payment record", "read the order"]
    assert all(request["ConsistentRead"] for request in world.wire.of("dynamodb.GetItem"))


# --- repeats, early timers and lost races ---


def close(world: World, **changes: str) -> None:
    """End a notification as `followups resolve` does, or let a replay run."""
    fail_pass_1(world)
    kept = {name: value for name, value in world.record().items() if name not in WAITING}
    world.put("CREDIT_CARD_NOTIFY_TABLE", kept | {"state": "FAILED"} | changes)


# What happened before and how long ago, what arrives, its outcome, and how many timers there are then.
RECHECK_1 = partial(World.recheck, number=1)
_QUIET: dict[str, tuple[Callable[[World], Any], float, Callable[[World], Any], str, int]] = {
    "repeat after pass 1": (World.deliver, 1, World.deliver, "repeat", 1),
    "repeat, pass 2 is late": (World.deliver, 100, World.deliver, "repeat", 0),
    "repeat, all is done": (done, 1, World.deliver, "repeat", 0),
    "repeat, pass 1 failed and is due again later": (fail_pass_1, 1, World.deliver, "repeat", 0),
    "repeat, pass 1 is claimed": (die_in_pass, 1, World.deliver, "repeat", 0),
    "repeat, pass 1 died": (die_in_pass, 180, World.deliver, "repeat", 0),
    "timer at once": (World.deliver, 0, World.recheck, "early", 1),
    "timer by a clock that is a second fast": (World.deliver, 60.9, World.recheck, "early", 1),
    "timer that fires twice": (done, 600, World.recheck, "done", 0),
    "timer beyond the plan": (done, 600, partial(World.recheck, number=3), "done", 0),
    "timer for another pass": (World.deliver, 600, partial(World.recheck, number=3), "done", 0),
    "timer after it was settled by hand": (partial(close, resolvedAt="2026"), 600, RECHECK_1, "done", 0),
    "timer beside a replay": (partial(close, leaseUntil="2027-01-01T00:00:00Z"), 600, RECHECK_1, "claimed", 0),
    "timer beside a running pass": (die_in_pass_2, 89.9, World.recheck, "claimed", 0),
}


@pytest.mark.parametrize("case", _QUIET)
def test_nothing_to_run_is_one_quiet_line(world: World, case: str) -> None:
    """A repeat or a timer that finds no pass to run gets an answer, creates a missing timer, and changes nothing."""
    before, seconds, arrives, outcome, timers = _QUIET[case]
    before(world)
    world.fire()
    world.wait(seconds)
    found = world.record()
    with quiet_line(world, outcome):
        answer = arrives(world)
    assert answer.get("statusCode", 200) == 200
    assert answer.get("passesDone", found["passesDone"]) == found["passesDone"]
    assert (world.record(), len(world.schedules())) == (found, timers)


@pytest.mark.parametrize("wanted", ["save the notification", "claim the pass", "record the pass"])
def test_write_that_is_sent_twice_is_done_once(world: World, wanted: str) -> None:
    """Botocore resends a write whose answer was lost: the claim is still this run's, and the pass is recorded once."""

    def again(call: Call) -> None:
        with suppress(aws.ClientError):
            directly(world.client("dynamodb"), call.operation, call.request)

    world.wire.after = dict.fromkeys(("dynamodb.PutItem", "dynamodb.UpdateItem"), only(wanted, again))
    done(world)
    assert [each["number"] for each in world.record()["passes"]] == [1, 2]
    assert [line["outcome"] for line in world.log()] == ["completed", "completed"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("other", [World.recheck, partial(die_in_pass, run=World.recheck)], ids=["ran", "runs"])
def test_run_that_lost_its_claim_changes_nothing(world: World, other: Callable[[World], Any], *, late: bool) -> None:
    """A run that outlives its lease overwrites another run's record neither with its pass nor with its failure."""
    due(world)
    found: list[dict[str, Any]] = []

    def overtaken(call: Call) -> None:
        world.wait(90)
        other(world)
        found.append(world.record())
        if late:
            hangs(call)

    once(world, "lambda.Invoke", overtaken)
    with pytest.raises(errors.PassTimedOut) if late else nullcontext():
        world.recheck()
    assert found == [world.record()]


# --- a pass that fails ---


@pytest.mark.parametrize("error", [errors.PassTimedOut, errors.PassFailed])
def test_failed_pass_is_recorded_raised_and_due_again(world: World, error: type[Exception]) -> None:
    """A timeout and a throttle are failed passes, too; the record holds when each is tried again."""
    once(world, "lambda.Invoke", hangs if error is errors.PassTimedOut else refuse("TooManyRequestsException"))
    assert type(fails(error, world.deliver)) is error
    record, [line] = world.record(), world.log()
    due_again = {"passesDone": 0, "state": "PENDING", "nextPassDue": format_utc(world.now + timedelta(minutes=1))}
    assert due_again.items() <= record.items()
    assert record["lastError"].startswith(f"{error.__name__}: pass 1: ProcessPaidOrder ")
    assert not {"leaseUntil", "claimId"} & set(record)
    assert (line["level"], line["outcome"], line["PassesFailed"]) == ("ERROR", "failed", 1)
    assert world.schedules() == []


_TRIES: list[tuple[Any, float, int]] = [(aws.ConnectionClosedError, 0, 2), (aws.EndpointConnectionError, 0, 2)]
_TRIES += [(aws.ConnectTimeoutError, 1, 2), (aws.ReadTimeoutError, 1, 1)]
_TRIES += [(aws.ConnectionClosedError, 2, 2), (aws.ConnectionClosedError, 2.1, 1), (aws.SSLError, 0, 2)]


@pytest.mark.parametrize(("error", "seconds", "tries"), _TRIES)
def test_only_a_dead_connection_is_retried_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Any, seconds: float, tries: int
) -> None:
    """Once and silently, if nothing was sent; never if ProcessPaidOrder may have begun."""
    left = [tries]

    def die(_call: Call) -> None:
        world.wait(seconds)
        left[0] -= 1
        if left[0] >= 0:
            raise error(endpoint_url="a test", error="EOF")

    monkeypatch.setattr("callback.passes.time", world)
    world.wire.before["lambda.Invoke"] = die
    assert "ProcessPaidOrder" in str(fails(errors.PassFailed, world.deliver))
    assert len(world.passes()) == tries
    left[0] = tries - 1
    world.deliver(sample("declined"))
    assert (len(world.passes()), world.log()[-1]["level"]) == (2 * tries, "INFO")


@pytest.mark.parametrize("answer", [b"[1, " * 9999, b"paid\xff" + b"!" * 5000, f"paid!{'อ' * 1000}".encode()], ids=len)
def test_answer_and_error_of_any_form_are_cut_to_size(world: World, answer: bytes) -> None:
    """Of an answer of up to six megabytes 64 KB are read, and 1,000 bytes are kept and logged; an error has as many."""
    world.wire.before["lambda.Invoke"] = refuse("X" * 5000)
    fails(errors.PassFailed, world.deliver)
    assert len(world.record()["lastError"]) == 1000
    stream = mock.Mock(**{"read.return_value": answer})
    world.wire.answers["lambda.Invoke"] = lambda _call: {"StatusCode": 200, "Payload": stream}
    world.wait(60)
    world.recheck(1)
    assert stream.method_calls == [mock.call.read(64 * 1024), mock.call.close()]
    outcome = world.record()["passes"][0]["outcome"]
    assert world.log()[-1]["answer"] == outcome
    assert outcome.startswith(answer[:4].decode())
    assert 990 < len(outcome.encode()) <= 1000


def test_stuck_calls_leave_time_to_record_the_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If each call takes its longest and the pass its limit, the failure is recorded before the function's timeout."""
    send, recorded = world.wire.send, list[float]()
    dead = [aws.ConnectTimeoutError(endpoint_url="a test")]

    def slowly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        config: Any = client.meta.config
        if operation == "Invoke" and dead:
            assert (config.read_timeout, config.tcp_keepalive) == (world.app.settings.pass_timeout_seconds, True)
            world.wait(config.connect_timeout)
            raise dead.pop()
        attempts = config.retries["total_max_attempts"]
        # Botocore waits for up to a second before its second attempt.
        world.wait((config.connect_timeout + config.read_timeout) * attempts + attempts - 1)
        if operation in {"GetSecretValue", "GetItem", "Invoke"}:
            raise aws.ReadTimeoutError(endpoint_url="a test")
        answer = send(client, operation, request)
        if "#lastError" in request.get("UpdateExpression", ""):
            recorded.append((world.now - START).total_seconds())
        return answer

    monkeypatch.setattr(world.wire, "send", slowly)
    fails(errors.PassTimedOut, world.deliver)
    assert recorded[0] <= world.resources["DelayedNotifyFunction"]["Properties"]["Timeout"]


# What decides nothing, and what is counted if it fails.
UNIMPORTANT = {
    "CardPaymentRecordTable": {"PaymentFailed", "MarkFailed"},
    "order table": {"OrderFailed"},
    "Scheduler": {"TimerFailed"},
    "Secrets Manager": {"SecretFailed", "ChecksumsUnverifiable"},
}


@pytest.mark.parametrize("names", [*([name] for name in UNIMPORTANT), list(UNIMPORTANT)], ids=len)
def test_what_decides_nothing_costs_a_warning_and_a_count(world: World, names: list[str]) -> None:
    """The order is processed and the page answered, without an error, a row or a mail."""
    world.order()
    down(world, *names)
    page = world.deliver()
    [line] = world.log()
    counted = {name for name in line if name.endswith(("Failed", "Unverifiable"))}
    assert (line["level"], counted) == ("WARNING", set.union(*(UNIMPORTANT[name] for name in names)))
    assert len(line["warnings"]) >= len(names)
    assert world.record()["passesDone"] == 1
    assert (f"https://shop.local.example/orders/{ORDER}" if "order table" in names else RETURN_URL) in page["body"]
    assert world.errors() == world.mails() == []
