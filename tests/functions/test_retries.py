"""The retry queue: what could not be saved is delivered again; what no retry can help is refused."""

import json
from typing import Any

import pytest

from callback.redact import redacted_event
from delayednotify import retry_handler
from tests.support.aws import ORDER, World, sample
from tests.support.steps import FORM_CHARGE, HOUR, down, ends_mailed, once, quiet_line, throttle, unreachable

CONSUMED: dict[str, list[Any]] = {"batchItemFailures": []}
AGAIN = {"batchItemFailures": [{"itemIdentifier": "0"}]}


def letter(event: object = None) -> dict[str, Any]:
    """Return what Lambda sends to the queue once it gives up on an event."""
    about = {"requestId": "r", "condition": "RetriesExhausted", "approximateInvokeCount": 3}
    return {"version": "1.0", "requestContext": about, "requestPayload": event or sample("authorized")}


@pytest.mark.parametrize("failures", [0, 1])
def test_letter_is_delivered_as_its_event_would_have_been(world: World, failures: int) -> None:
    """It is saved and its pass run, even at the last try; another letter finds the record, and is quietly consumed."""
    throttle(world, failures)
    assert world.retry(letter(), SentTimestamp="0") == CONSUMED
    assert (world.record()["passesDone"], len(world.schedules())) == (1 - failures, 1 - failures)
    assert [row["errorType"] for row in world.errors()] == ["PassFailed"] * failures
    assert [(line["message"], line["Saved"]) for line in world.log()] == [("failed" if failures else "retried", 1)]
    with quiet_line(world, "repeat"):
        assert world.retry(letter()) == CONSUMED
    # The notification is saved, and the sweep ends a record that is spoilt.
    world.put("CREDIT_CARD_NOTIFY_TABLE", world.record() | {"passesDone": "one"})
    assert (world.retry(letter()), world.log()[-1]["errorType"]) == (CONSUMED, "SpoiltRecord")


def test_letter_whose_pass_failed_comes_once_more_to_mark_the_payment(world: World) -> None:
    """At the next delivery, which finds the record, the payment gets its mark; a contradiction is reported."""
    world.pay(orderId="ORDER-OTHER")
    once(world, "dynamodb.GetItem", unreachable)  # so the notification's order is saved
    throttle(world)
    assert world.retry(letter()) == AGAIN
    assert world.retry(letter()) == CONSUMED
    assert (world.record()["passesDone"], world.payment()["checksumStatus"], len(world.passes())) == (0, "valid", 1)
    assert {row["errorType"]: row["orderId"] for row in world.errors()} == {
        "PassFailed": ORDER,
        "OrderContradicted": ORDER,
    }


def test_timer_that_scheduler_could_not_hand_over_is_dropped(world: World) -> None:
    """The record holds when the pass is due and the sweep runs it: no AWS call is made."""
    with quiet_line(world, "known"):
        assert world.retry(sample("recheck")) == CONSUMED
    assert world.wire.calls == []


OTHER_BODY = letter(sample("authorized") | {"body": sample("authorized")["body"].replace("200.50", "200.5")})
_REFUSED = {
    "no JSON": ("{", "InvalidNotification"),
    "too deep": ("[" * 60_000, "InvalidNotification"),
    "no event": (json.dumps(letter(5)), "InvalidNotification"),
    "no notification": (json.dumps(letter({"body": "hello"})), "InvalidNotification"),
    "checksum refused": (json.dumps(letter(sample("wrong-checksum"))), "ChecksumRejected"),
    "another body": (json.dumps(OTHER_BODY), "NotificationConflict"),
}


@pytest.mark.parametrize(("body", "error"), _REFUSED.values(), ids=_REFUSED)
def test_what_no_retry_can_help_moves_to_the_refused_queue(world: World, body: str, error: str) -> None:
    """With its body as it came, even if typed by hand, and error and reason as attributes; reported once, consumed."""
    world.wire.answers["sqs.SendMessage"] = lambda _call: {"MessageId": "1"}
    world.deliver()
    world.cold_start(CHECKSUM_POLICY="reject")
    saved = world.record()
    with world.wire:
        assert retry_handler({"Records": [{"messageId": "1", "body": body, "attributes": {}}]}, None) == CONSUMED
    assert world.record() == saved
    [sent], row = world.wire.of("sqs.SendMessage"), world.error()
    assert (sent["QueueUrl"], sent["MessageBody"]) == (world.environment["REFUSED_QUEUE_URL"], body)
    about = {"errorType": error, "reason": row["message"]}
    assert sent["MessageAttributes"] == {n: {"DataType": "String", "StringValue": text} for n, text in about.items()}
    metric = "Refused" if error == "NotificationConflict" else "RefusedUnproved"
    assert (row["errorType"], len(world.mails()), world.log()[-1][metric]) == (error, 1, 1)
    assert row["event"] == redacted_event(json.loads(body)["requestPayload"] if body.endswith("}") else body)


_UNSAVED = [("CreditCardNotifyTable", "authorized", "warn"), ("CardPaymentRecordTable", "browser-return", "warn")]


@pytest.mark.parametrize(("name", "event", "policy"), [*_UNSAVED, ("Secrets Manager", "authorized", "reject")])
def test_what_cannot_be_saved_now_comes_again(world: World, name: str, event: str, policy: str) -> None:
    """It stays in the queue, with one mail, and is saved once the outage is over."""
    world.cold_start(CHECKSUM_POLICY=policy)
    world.pay(chargeId=FORM_CHARGE)
    down(world, name)
    for _ in range(3):
        assert world.retry(letter(sample(event))) == AGAIN
        world.wait(720)
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == []
    assert (len(world.mails()), world.wire.of("sqs.SendMessage")) == (1, [])
    metric = "Unsaved" if (event, policy) == ("authorized", "warn") else "UnsavedUnproved"
    assert [line[metric] for line in world.metrics(metric)] == [1, 1, 1]
    world.wire.around = None
    assert world.retry(letter(sample(event))) == CONSUMED
    assert world.record()["passesDone"] == 1


def test_last_try_reports_that_the_event_goes_to_the_failure_queue(world: World) -> None:
    """RetriesExhausted is counted as Failed and mailed once; SQS moves the letter after so many receives."""
    down(world, "CreditCardNotifyTable")
    sent = str(round(world.now.timestamp() * 1000))
    world.wait(72 * HOUR - 721)
    assert world.retry(letter(), SentTimestamp=sent) == AGAIN
    assert world.metrics("Failed") == []
    for _ in range(2):
        world.wait(1)
        assert world.retry(letter(), SentTimestamp=sent) == AGAIN
    [exhausted] = [row for row in world.errors() if row["errorType"] == "RetriesExhausted"]
    assert "followups dead-letters redrive --stack" in str(world.mails()[-1])
    assert (exhausted["orderId"], exhausted["occurrences"], exhausted["functionName"]) == (ORDER, 2, "retry")
    assert ends_mailed(world) == 1
    assert [line["Failed"] for line in world.metrics("Failed")] == [1, 1]


def test_batch_brings_back_only_what_failed(world: World) -> None:
    """One letter is saved, one is refused but cannot be moved, one fails of a bug: none affects another."""
    world.wire.before["sqs.SendMessage"] = unreachable
    once(world, "dynamodb.PutItem", lambda _: once(world, "dynamodb.PutItem", lambda _: 1 // 0))
    events = [sample("authorized"), "nonsense", sample("declined")]
    failed = [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]
    assert world.retry(*map(letter, events)) == {"batchItemFailures": failed}
    assert world.record()["passesDone"] == 1
