"""The retry queue: what could not be saved is delivered again, what no retry can help is refused, by itself."""

import json
from typing import Any

import pytest

from delayednotify import retry_handler
from tests.support.aws import ORDER, World, sample
from tests.support.steps import HOUR, down, ends_mailed, once, quiet_line, throttle, unreachable

CONSUMED: dict[str, list[Any]] = {"batchItemFailures": []}


def again(*ids: str) -> dict[str, Any]:
    """The answer that brings these messages back."""
    return {"batchItemFailures": [{"itemIdentifier": name} for name in ids]}


def letter(event: object) -> dict[str, Any]:
    """What Lambda sends to the queue once it has given up an event."""
    about = {"requestId": "r", "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    return {"version": "1.0", "requestContext": about, "requestPayload": event}


def other_body() -> dict[str, Any]:
    """The sample's id with another body."""
    return sample("authorized") | {"body": sample("authorized")["body"].replace("200.50", "200.5")}


@pytest.mark.parametrize("failures", [0, 1])
def test_letter_is_delivered_as_its_event_would_have_been(world: World, failures: int) -> None:
    """Saved, its pass run or failed, even at the last try; another letter finds the record, and is consumed quietly."""
    throttle(world, failures)
    assert world.retry(letter(sample("authorized")), SentTimestamp="0") == CONSUMED
    assert (world.record()["passesDone"], len(world.schedules())) == (1 - failures, 1 - failures)
    assert [row["errorType"] for row in world.errors()] == ["PassFailed"] * failures
    assert [(line["message"], line["Saved"]) for line in world.log()] == [("failed" if failures else "retried", 1)]
    with quiet_line(world, "repeat"):
        assert world.retry(letter(sample("authorized"))) == CONSUMED


def test_timer_that_scheduler_could_not_hand_over_is_dropped(world: World) -> None:
    """The record knows about the pass and the sweep runs it: no AWS call is made."""
    with quiet_line(world, "known"):
        assert world.retry(sample("recheck")) == CONSUMED
    assert world.wire.calls == []


_REFUSED: dict[str, tuple[object, str, str, str]] = {
    "no event": (5, "warn", "InvalidNotification", "RefusedUnproved"),
    "no notification": (sample("authorized") | {"body": "hello"}, "warn", "InvalidNotification", "RefusedUnproved"),
    "checksum refused": (sample("wrong-checksum"), "reject", "ChecksumRejected", "RefusedUnproved"),
    "another body": (other_body(), "warn", "NotificationConflict", "Refused"),
}


@pytest.mark.parametrize(("event", "policy", "error", "metric"), _REFUSED.values(), ids=_REFUSED)
def test_what_no_retry_can_help_moves_to_the_refused_queue(
    world: World, event: object, policy: str, error: str, metric: str
) -> None:
    """Its body as it came, with error and reason as attributes; reported once, and consumed."""
    world.wire.answers["sqs.SendMessage"] = lambda _call: {"MessageId": "1"}
    world.deliver()
    world.cold_start(CHECKSUM_POLICY=policy)
    saved = world.record()
    assert world.retry(letter(event)) == CONSUMED
    assert world.record() == saved
    [sent] = world.wire.of("sqs.SendMessage")
    assert sent["QueueUrl"] == world.environment["REFUSED_QUEUE_URL"]
    assert json.loads(sent["MessageBody"]) == letter(event)
    said = {"errorType": error, "reason": world.error()["message"]}
    assert sent["MessageAttributes"] == {n: {"DataType": "String", "StringValue": text} for n, text in said.items()}
    assert (world.error()["errorType"], len(world.mails()), world.log()[-1][metric]) == (error, 1, 1)


def test_body_that_is_no_json_is_refused_as_it_is(world: World) -> None:
    """A message that somebody typed into the queue."""
    world.wire.answers["sqs.SendMessage"] = lambda _call: {"MessageId": "1"}
    with world.wire:
        assert retry_handler({"Records": [{"messageId": "typed", "body": "{", "attributes": {}}]}, None) == CONSUMED
    assert [sent["MessageBody"] for sent in world.wire.of("sqs.SendMessage")] == ["{"]
    assert world.error()["event"] == '"{"'


@pytest.mark.parametrize(
    ("name", "event", "policy"),
    [
        ("CreditCardNotifyTable", "authorized", "warn"),
        ("CardPaymentRecordTable", "browser-return", "warn"),
        ("Secrets Manager", "authorized", "reject"),
    ],
)
def test_what_cannot_be_saved_now_comes_again(world: World, name: str, event: str, policy: str) -> None:
    """It is kept in the queue with at most one mail, and is saved once the outage is over."""
    world.cold_start(CHECKSUM_POLICY=policy)
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44")
    down(world, name)
    for _ in range(3):
        assert world.retry(letter(sample(event))) == again("0")
        world.wait(720)
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == []
    assert (len(world.mails()), world.wire.of("sqs.SendMessage")) == (1, [])
    metric = "Unsaved" if (event, policy) == ("authorized", "warn") else "UnsavedUnproved"
    assert [line[metric] for line in world.metrics(metric)] == [1, 1, 1]
    world.wire.around = None
    assert world.retry(letter(sample(event))) == CONSUMED
    assert world.record()["passesDone"] == 1


def test_last_try_reports_that_the_event_goes_to_the_failure_queue(world: World) -> None:
    """RetriesExhausted, counted as Failed and mailed once; SQS moves the letter, since it was received so often."""
    down(world, "CreditCardNotifyTable")
    sent = str(round(world.now.timestamp() * 1000))
    world.wait(72 * HOUR - 721)
    assert world.retry(letter(sample("authorized")), SentTimestamp=sent) == again("0")
    assert world.metrics("Failed") == []
    for _ in range(2):
        world.wait(1)
        assert world.retry(letter(sample("authorized")), SentTimestamp=sent) == again("0")
    [exhausted] = [row for row in world.errors() if row["errorType"] == "RetriesExhausted"]
    assert "followups dead-letters redrive --stack" in str(world.mails()[-1])
    assert (exhausted["orderId"], exhausted["occurrences"], exhausted["functionName"]) == (ORDER, 2, "retry")
    assert ends_mailed(world) == 1
    assert [line["Failed"] for line in world.metrics("Failed")] == [1, 1]


def test_batch_brings_back_only_what_failed(world: World) -> None:
    """One that is saved, one that is refused but could not be moved, one that fails of a fault: each by itself."""
    world.wire.before["sqs.SendMessage"] = unreachable
    once(world, "dynamodb.PutItem", lambda _: once(world, "dynamodb.PutItem", lambda _: 1 // 0))
    events = [sample("authorized"), "nonsense", sample("declined")]
    assert world.retry(*map(letter, events)) == again("1", "2")
    assert world.record()["passesDone"] == 1


def test_spoilt_record_is_no_reason_to_come_again(world: World) -> None:
    """The notification is saved, and the sweep ends what another hand spoilt."""
    world.deliver()
    record = world.record() | {"passesDone": "one"}
    world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=record)
    assert world.retry(letter(sample("authorized"))) == CONSUMED
    assert world.error()["errorType"] == "SpoiltRecord"
