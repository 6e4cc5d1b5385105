"""Redrive: every dead letter goes back through the real flow, and none is ever lost."""

import json
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoRegionError, ReadTimeoutError

from callback.errors import PassFailed, SweepIncomplete
from followups.stack import Stack
from local.emulator import ACCOUNT, REGION
from tests.deployed import (
    NOTIFY_QUEUE,
    RECHECK_QUEUE,
    SCHEDULER_QUEUE,
    STACK,
    SWEEP_QUEUE,
    Deployed,
    arn,
    notification,
    notify_letter,
    recheck_letter,
    timer,
    timer_letter,
)
from tests.letters import function_error, on_failure
from tests.template import source
from tests.wire import Answer, Call, Interrupt, interrupting, payload, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER

CARD, KEY = "4111111111111111", "skey_test_planted"
PROCESS_PAID_ORDER = "payment3-process-paid-order-dev"
Print = pytest.CaptureFixture[str]


def test_each_kind_of_letter_goes_back_through_the_flow(deployed: Deployed, capsys: Print) -> None:
    """A record of DelayedNotify's, one of Recheck's and a letter of Scheduler's: each pass done, each queue empty."""
    deployed.put_each_kind()
    assert deployed.run("dead-letters", "redrive") == 0
    assert deployed.left() == {}
    records = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    assert sorted((r["notificationId"], r["state"], r["passesDone"]) for r in records) == [
        (NOTIFICATION, "PENDING", 1),
        (f"{NOTIFICATION}-2", "DONE", 2),
        (f"{NOTIFICATION}-3", "DONE", 2),
    ]
    assert capsys.readouterr().out == (
        f"DelayedNotifyFailureQueue  on-failure  chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
        "  1 min 1 s old  went back to payment3-delayed-notify-dev\n"
        f"RecheckFailureQueue  on-failure  chargeId={CHARGE} notificationId={NOTIFICATION}-2 orderId={ORDER} pass=2"
        "  1 min 1 s old  went back to payment3-recheck-dev\n"
        f"SchedulerDeadLetterQueue  scheduler  chargeId={CHARGE} notificationId={NOTIFICATION}-3 orderId={ORDER} pass=2"
        "  1 min 1 s old  went back to payment3-recheck-dev\n"
        "Dead letters: 3, staying: 0.\n"
    )


def test_function_gets_the_very_payload_that_failed(deployed: Deployed) -> None:
    """What goes back is what was sent, else a notification without an id would be taken for another one."""
    event = notification() | {"aNumber": 200.50, "text": "คำสั่ง"}
    deployed.put(NOTIFY_QUEUE, notify_letter(event))
    deployed.put(SCHEDULER_QUEUE, timer_letter(timer()))
    deployed.run("dead-letters", "redrive")
    assert deployed.invoked("delayed-notify-dev") == [event]
    assert deployed.invoked("recheck-dev") == [timer()]


def test_event_that_grew_too_old_goes_back(deployed: Deployed) -> None:
    """A record without an answer (EventAgeExceeded) is as good as one of three failed tries."""
    letter = notify_letter(error=None)
    assert "responseContext" not in letter["MessageBody"]
    deployed.put(NOTIFY_QUEUE, letter)
    assert deployed.run("dead-letters", "redrive") == 0
    assert deployed.world.record()["passesDone"] == 1


def test_failed_run_of_the_sweep_goes_back(deployed: Deployed, capsys: Print) -> None:
    """Its queue is emptied by the same command: the sweep sweeps once more, and finds what is overdue."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(3600)
    event = {"id": "a-tick", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    deployed.put(SWEEP_QUEUE, on_failure(arn("payment3-sweep-dev"), "a-request", event, SweepIncomplete("1 part")))
    assert deployed.run("dead-letters", "redrive") == 0
    assert (deployed.left(), deployed.world.record()["state"]) == ({}, "DONE")
    assert "SweepFailureQueue  on-failure  0 s old  went back to payment3-sweep-dev\n" in capsys.readouterr().out


def test_letter_that_fails_again_stays_and_says_why(deployed: Deployed, capsys: Print) -> None:
    """It is tried once, its error is printed, it can be received at once afterwards, and the exit code is 1."""
    deployed.functions[PROCESS_PAID_ORDER] = lambda _call: payload(function_error(OSError("no")), error="Unhandled")
    deployed.put(NOTIFY_QUEUE, notify_letter())
    assert deployed.run("dead-letters", "redrive") == 1
    assert len(deployed.invoked("delayed-notify-dev")) == 1
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1}, 0)
    said = capsys.readouterr().out
    assert "stays: PassFailed: pass 1: ProcessPaidOrder failed (Unhandled)\n" in said
    assert said.endswith("Dead letters: 1, staying: 1.  Mend what the lines above say, then redrive again.\n")


def test_letter_that_shows_again_in_a_long_run_is_not_tried_again(deployed: Deployed) -> None:
    """Each letter is tried once in a run, also when the time passes for which it was hidden."""
    first = [deployed.show_again]
    deployed.functions[arn("payment3-recheck-dev")] = _fail_and(lambda: first.pop()() if first else None)
    deployed.put(RECHECK_QUEUE, recheck_letter(timer(1)))
    deployed.put(RECHECK_QUEUE, recheck_letter(timer(2)))
    assert deployed.run("dead-letters", "redrive") == 1
    assert len(deployed.invoked("recheck-dev")) == 2
    assert (deployed.left(), deployed.hidden()) == ({RECHECK_QUEUE: 2}, 0)
    released = {request["ReceiptHandle"] for request in deployed.world.wire.of("sqs.ChangeMessageVisibility")}
    assert released == {message.receipt_handle for message in deployed.messages(RECHECK_QUEUE)}, "not the newest"


def test_one_that_fails_does_not_hold_up_the_others(deployed: Deployed, capsys: Print) -> None:
    """Every letter gets its try: what can go back does."""
    deployed.put(RECHECK_QUEUE, recheck_letter({"version": 2}))
    deployed.put(RECHECK_QUEUE, recheck_letter(timer()))
    deployed.world.deliver()
    deployed.world.wait(60)
    assert deployed.run("dead-letters", "redrive") == 1
    assert deployed.left() == {RECHECK_QUEUE: 1}
    assert deployed.world.record()["state"] == "DONE"
    assert (
        "RecheckFailureQueue  on-failure  1 min old  stays: InvalidRecheck: version: expected 1\n"
        in capsys.readouterr().out
    )


def test_more_letters_than_one_answer_holds(deployed: Deployed) -> None:
    """SQS hands out ten messages at most; redrive goes on until the queue is empty."""
    for number in range(1, 13):
        deployed.put(NOTIFY_QUEUE, notify_letter(notification(number)))
    assert deployed.run("dead-letters", "redrive") == 0
    assert deployed.left() == {}
    assert len(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")) == 12


def test_letter_is_deleted_only_after_its_function_succeeded(deployed: Deployed) -> None:
    """Resubmit, then delete; the invocation is synchronous, so that its end is known."""
    deployed.put(NOTIFY_QUEUE, notify_letter())
    deployed.world.wire.before["lambda.Invoke"] = lambda _call: _same(deployed.left(), {NOTIFY_QUEUE: 1})
    deployed.run("dead-letters", "redrive")
    assert deployed.left() == {}
    requests = deployed.world.wire.of("lambda.Invoke")
    assert {request.get("InvocationType", "RequestResponse") for request in requests} == {"RequestResponse"}


def test_letter_that_cannot_be_deleted_stays_and_goes_back_once_more_without_harm(
    deployed: Deployed, capsys: Print
) -> None:
    """The record knows which passes are done: the second redrive runs none."""
    deployed.put(NOTIFY_QUEUE, notify_letter())
    deployed.world.wire.before["sqs.DeleteMessage"] = refuse("InternalError")
    assert deployed.run("dead-letters", "redrive") == 1
    assert "succeeded, but the letter could not be deleted" in capsys.readouterr().out
    before = deployed.world.record()
    assert deployed.run("dead-letters", "redrive") == 0
    assert (deployed.world.record(), deployed.left()) == (before, {})
    assert len(deployed.invoked("process-paid-order-dev")) == 1


def test_letter_whose_release_fails_is_not_lost(deployed: Deployed) -> None:
    """A letter that cannot be shown again at once does so by itself."""
    deployed.functions[arn("payment3-delayed-notify-dev")] = _fail_and()
    deployed.put(NOTIFY_QUEUE, notify_letter())
    deployed.world.wire.before["sqs.ChangeMessageVisibility"] = refuse("InternalError")
    assert deployed.run("dead-letters", "redrive") == 1
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1}, 1)


@pytest.mark.parametrize("error", [ReadTimeoutError, EndpointConnectionError])
def test_invocation_whose_end_is_unknown_leaves_the_letter(
    deployed: Deployed, capsys: Print, error: Callable[..., Exception]
) -> None:
    """A function that did not answer may have finished or not: its letter stays."""

    def fail(_call: Call) -> None:
        raise error(endpoint_url="a test")

    deployed.world.wire.before["lambda.Invoke"] = fail
    deployed.put(NOTIFY_QUEUE, notify_letter())
    assert deployed.run("dead-letters", "redrive") == 1
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1}, 0)
    assert f"stays: {error.__name__}: " in capsys.readouterr().out


def test_dry_run_changes_nothing(deployed: Deployed, capsys: Print) -> None:
    """--dry-run says what would go where and why it is there; no function is invoked, no letter moved or hidden."""
    deployed.put_each_kind()
    before = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    deployed.world.wire.calls.clear()
    assert deployed.run("dead-letters", "redrive", "--dry-run") == 0
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1, RECHECK_QUEUE: 1, SCHEDULER_QUEUE: 1}, 0)
    assert deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE") == before
    assert set(deployed.world.wire.names()) == {
        "cloudformation.DescribeStacks",
        "sqs.ReceiveMessage",
        "sqs.ChangeMessageVisibility",
    }
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first.endswith("would go back to payment3-delayed-notify-dev; it failed with EventAgeExceeded")
    assert second.endswith("would go back to payment3-recheck-dev; it failed with TimeoutError: the table is asleep")
    assert third.endswith("it failed with AWSLambda.TooManyRequestsException: Rate Exceeded.")
    assert last == "Dead letters: 3, staying: 0.  Nothing was changed; without --dry-run they go back."


FOREIGN = {
    "no JSON": "{",
    "endless brackets": "[" * 100_000,
    "no object": "[1]",
    "something else": '{"version": "1.0", "requestContext": {}}',
    "a raw event": json.dumps(notification()),
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_foreign_message_stays(deployed: Deployed, capsys: Print, body: str) -> None:
    """What neither Lambda nor Scheduler wrote is said, left, and makes the exit code 1."""
    deployed.put(NOTIFY_QUEUE, {"MessageBody": body})
    assert deployed.run("dead-letters", "redrive") == 1
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1}, 0)
    text = "stays: neither a record of Lambda's nor a dead letter of Scheduler's\n"
    assert capsys.readouterr().out.startswith(f"DelayedNotifyFailureQueue  unknown  0 s old  {text}")


ELSEWHERE = {
    "another branch": arn("payment3-recheck-prod"),
    "another account": arn("payment3-recheck-dev").replace(ACCOUNT, "999999999999"),
    "another region": arn("payment3-recheck-dev").replace(REGION, "eu-west-1"),
    "no ARN": "payment3-recheck-dev",
}


@pytest.mark.parametrize("function", ELSEWHERE.values(), ids=ELSEWHERE)
def test_letter_of_another_function_is_refused(deployed: Deployed, capsys: Print, function: str) -> None:
    """A record goes only to the stack's own functions, whatever queue it was put into."""
    deployed.put(RECHECK_QUEUE, on_failure(function, "a-request", timer(), PassFailed("no")))
    assert deployed.run("dead-letters", "redrive") == 1
    assert (deployed.left(), deployed.world.passes()) == ({RECHECK_QUEUE: 1}, [])
    assert f"is no function of stack {STACK}" in capsys.readouterr().out


def test_letter_of_another_schedule_group_is_refused(deployed: Deployed, capsys: Print) -> None:
    """Another branch's timer is not for this branch's Recheck."""
    group = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/payment3-recheck-prod"
    deployed.put(SCHEDULER_QUEUE, timer_letter(timer(), group))
    assert deployed.run("dead-letters", "redrive") == 1
    assert deployed.left() == {SCHEDULER_QUEUE: 1}
    assert f"stays: its schedule is of no group of stack {STACK}" in capsys.readouterr().out


def test_letter_that_was_put_in_by_hand_goes_back(deployed: Deployed) -> None:
    """A timer's input without Scheduler's attributes is still the timer's input."""
    deployed.world.deliver()
    deployed.world.wait(60)
    deployed.put(SCHEDULER_QUEUE, {"MessageBody": json.dumps(timer())})
    assert deployed.run("dead-letters", "redrive") == 0
    assert deployed.world.record()["state"] == "DONE"


def test_nothing_secret_is_printed(deployed: Deployed, capsys: Print) -> None:
    """Neither the payload, nor the card number or key that an error repeats, nor a terminal's control characters."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    deployed.functions[arn("payment3-delayed-notify-dev")] = _fail_and(text=f"card {CARD}\n\x1b[2J {KEY} refused")
    deployed.put(NOTIFY_QUEUE, notify_letter(event, error=ValueError(f"{CARD} {KEY}")))
    deployed.put(NOTIFY_QUEUE, notify_letter({"body": event["body"][:-1]}))
    deployed.put(SCHEDULER_QUEUE, timer_letter(timer(orderId="O\x1b[2J\n1")))
    deployed.run("dead-letters", "redrive", "--dry-run")
    deployed.run("dead-letters", "redrive")
    said = capsys.readouterr()
    for secret in (CARD, KEY, "transaction_state", "\x1b"):
        assert secret not in said.out + said.err
    assert "stays: ValueError: card [redacted] [2J [redacted] refused\n" in said.out
    assert "orderId=O?[2J?1 " in said.out
    assert len(said.out.splitlines()) == 2 * (3 + 1)


def test_error_without_a_text_is_named_too(deployed: Deployed, capsys: Print) -> None:
    """A function that died without an answer has failed all the same."""
    deployed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(b"\xff", error="Unhandled")
    deployed.put(RECHECK_QUEUE, recheck_letter(timer()))
    assert deployed.run("dead-letters", "redrive") == 1
    assert "stays: an error: without a text\n" in capsys.readouterr().out


# --- interrupted anywhere ---

# A redrive of one letter of each kind; where a function dies in it is the flow's own matter (test_flow.py).
CALLS = ["cloudformation.DescribeStacks"]
CALLS += 3 * ["sqs.ReceiveMessage", "lambda.Invoke", "sqs.DeleteMessage", "sqs.ReceiveMessage"]
CALLS += ["sqs.ReceiveMessage"]  # the sweep's queue


def test_redrive_of_each_kind_makes_these_calls(deployed: Deployed) -> None:
    """The test below interrupts at every one of them."""
    deployed.put_each_kind()
    deployed.world.wire.calls.clear()
    deployed.run("dead-letters", "redrive")
    assert [call.name for call in deployed.world.wire.calls if _own(call)] == CALLS


@pytest.mark.no_cover  # measuring doubles its time, and what it goes through is measured elsewhere
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_interrupt_at_any_call_loses_nothing(deployed: Deployed, when: str, number: int) -> None:
    """Each letter is still in its queue or its pass is done, and a second redrive does the rest."""
    deployed.put_each_kind()
    deployed.world.wire.around = interrupting(_own, number, when)
    with pytest.raises(Interrupt):
        deployed.run("dead-letters", "redrive")
    left = deployed.left()
    done = [passes >= expected for passes, expected in zip(_passes(deployed), (1, 2, 2), strict=True)]
    assert all(
        went or lies
        for went, lies in zip(done, (q in left for q in (NOTIFY_QUEUE, RECHECK_QUEUE, SCHEDULER_QUEUE)), strict=True)
    )
    deployed.show_again()
    assert deployed.run("dead-letters", "redrive") == 0
    assert (_passes(deployed), deployed.left()) == ([1, 2, 2], {})


def _own(call: Call) -> bool:
    return call.name in CALLS and call.request.get("FunctionName") != PROCESS_PAID_ORDER


def _passes(deployed: Deployed) -> list[int]:
    rows = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    found = {row["notificationId"]: int(row["passesDone"]) for row in rows}
    return [found.get(timer(number)["notificationId"], 0) for number in (1, 2, 3)]


def test_ctrl_c_shows_the_letter_again_and_says_so(deployed: Deployed, capsys: Print) -> None:
    """Whoever stops a redrive is told what it means; nobody has to wait for the letter."""

    def press(_call: Call) -> Answer:
        raise KeyboardInterrupt

    deployed.functions[arn("payment3-delayed-notify-dev")] = press
    deployed.put(NOTIFY_QUEUE, notify_letter())
    assert deployed.run("dead-letters", "redrive") == 130
    assert (deployed.left(), deployed.hidden()) == ({NOTIFY_QUEUE: 1}, 0)
    assert "What is not said to have gone back is where it was" in capsys.readouterr().err


# --- the stack and the clients ---


def test_unknown_stack_is_named(deployed: Deployed, capsys: Print) -> None:
    """A wrong name, profile or region: exit 2, and what to set."""
    deployed.world.wire.before["cloudformation.DescribeStacks"] = refuse("ValidationError")
    assert deployed.run("dead-letters", "redrive", "--stack", "payment4") == 2
    assert capsys.readouterr().err == (
        f"no stack payment4 in {REGION}: name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION\n"
    )


def test_stack_of_something_else_is_named(deployed: Deployed, capsys: Print) -> None:
    """A stack without our outputs: exit 2, and nothing is invoked."""
    deployed.world.wire.answers["cloudformation.DescribeStacks"] = lambda _call: {"Stacks": [{}]}
    assert deployed.run("dead-letters", "redrive") == 2
    assert f"stack {STACK} has no output DelayedNotifyFailureQueue" in capsys.readouterr().err


@pytest.mark.parametrize("call", ["cloudformation.DescribeStacks", "sqs.ReceiveMessage"])
def test_missing_permission_is_named(deployed: Deployed, capsys: Print, call: str) -> None:
    """What the caller may not do: exit 2, AWS's own words, and where to look."""
    deployed.world.wire.before[call] = refuse("AccessDenied")
    assert deployed.run("dead-letters", "redrive") == 2
    assert re.fullmatch(r"ClientError: .*AccessDenied.*\nCheck profile.*\n", capsys.readouterr().err)


def test_missing_region_is_named(deployed: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no region: exit 2 without a traceback."""

    def session() -> Any:
        raise NoRegionError

    monkeypatch.setattr(boto3, "Session", session)
    assert deployed.run("dead-letters", "redrive") == 2
    assert "NoRegionError: You must specify a region." in capsys.readouterr().err


def test_invocation_is_never_sent_twice_and_waits_for_the_longest_function(deployed: Deployed) -> None:
    """Botocore's own retry would run the function again; its default patience of 60 s is shorter than ours."""
    config = Stack(STACK).functions.meta.config
    limits = source()["Mappings"]["PassLimit"].values()
    assert config.retries["total_max_attempts"] == 1  # type: ignore[attr-defined]
    assert config.read_timeout > max(int(limit["FunctionTimeout"]) for limit in limits)  # type: ignore[attr-defined]
    deployed.put(NOTIFY_QUEUE, notify_letter())
    deployed.run("dead-letters", "redrive")
    for request in deployed.world.wire.of("sqs.ReceiveMessage"):
        assert request["VisibilityTimeout"] > config.read_timeout  # type: ignore[attr-defined]


def _fail_and(then: Callable[[], None] = lambda: None, text: str = "no") -> Callable[[Call], Answer]:
    def answer(_call: Call) -> Answer:
        then()
        return payload(function_error(ValueError(text)), error="Unhandled")

    return answer


def _same(found: object, expected: object) -> None:
    assert found == expected
