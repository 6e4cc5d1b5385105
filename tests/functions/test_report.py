"""What happens to an error: a row, a mail, a count, a re-raise; and no fault in that replaces the error."""

import json
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from callback import errors, report
from callback.errors import FollowUpError, GaveUp, InvalidNotification, PassFailed, PassTimedOut
from callback.report import kind_of
from tests.functions.test_notification import event, message, signed
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World, sample
from tests.support.mails import as_text, failed
from tests.support.recorded_calls import Call, payload, refuse

CARD = "4111111111111111"


def failing(world: World, times: int = 1) -> None:
    """Let ProcessPaidOrder be throttled."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times)


def on_error_log(code: str, only: str = "") -> Any:
    """Let the error log refuse the writes of what an expression contains."""
    hook = refuse(code, times=99)

    def chosen(call: Call) -> None:
        if "error-log" in call.request["TableName"] and only in call.request["UpdateExpression"]:
            hook(call)

    return chosen


def counts(world: World) -> dict[str, int]:
    """What the reports of the last invocation counted."""
    names = ("Failed", "Refused", "LogFailed", "MailFailed", "MailsHeld", "ReportFailed")
    return {name: world.log()[-1][name] for name in names if name in world.log()[-1]}


# --- the row ---


def test_error_row_holds_all_that_an_engineer_needs(world: World) -> None:
    """Whose it is, what failed and where, what was sent and answered, since when, and until when it is kept."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload({"errorMessage": "no stock"}, error="Unhandled")
    with pytest.raises(PassFailed):
        world.deliver()
    row = world.error()
    assert (row["functionName"], row["errorType"], row["checksumStatus"]) == ("delayednotify", "PassFailed", "valid")
    assert (row["orderId"], row["chargeId"], row["notificationId"]) == (ORDER, CHARGE, NOTIFICATION)
    assert row["message"] == "pass 1: ProcessPaidOrder failed (Unhandled)"
    assert row["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert json.loads(row["responseData"]) == {"errorMessage": "no stock"}
    assert json.loads(row["event"])["requestContext"]["requestId"] == NOTIFICATION
    assert (row["occurrences"], row["firstAt"]) == (1, row["lastAt"])
    assert world.record()["expiresAt"] == int((world.now + timedelta(days=400)).timestamp())
    assert row["expiresAt"] == int((world.now + timedelta(days=90)).timestamp())


def test_what_is_tried_again_is_one_row_and_one_mail_and_each_end_another(world: World) -> None:
    """Whichever function fails and how; given up at pass 1, and after a replay at pass 2: as loud as the first time."""

    def late(_call: Call) -> None:
        raise ReadTimeoutError(endpoint_url="a test")

    failing(world)
    with pytest.raises(PassFailed):
        world.deliver()
    world.wait(61)
    world.wire.before["lambda.Invoke"] = late
    with pytest.raises(PassTimedOut):
        world.recheck(1)
    row = world.error()
    assert (row["occurrences"], row["functionName"], row["errorType"]) == (2, "recheck", "PassTimedOut")
    assert row["firstAt"] < row["lastAt"]
    assert row["expiresAt"] == int((world.now + timedelta(days=90)).timestamp())
    assert len(world.mails()) == 1
    world.wait(72 * 3600)
    with pytest.raises(GaveUp):
        world.recheck(1)
    world.wire.before.clear()
    world.recheck(1)
    world.wait(73 * 3600)
    failing(world)
    with pytest.raises(GaveUp):
        world.recheck(2)
    messages = sorted(row["message"][:16] for row in world.errors())
    assert messages == ["pass 1: ProcessP", "pass 1: given up", "pass 2: given up"]
    assert len(world.mails()) == 3


def test_refused_event_cannot_take_the_place_of_a_failed_ones_row(world: World) -> None:
    """Neither as the same delivery nor by an id that looks like a row's key: FAILED has its row and its mail."""
    forged = [NOTIFICATION, f"{NOTIFICATION}\nFAILED 1", f"{NOTIFICATION} failed 1", f'["{NOTIFICATION}", "failed", 1]']
    for request_id in forged:
        with pytest.raises(InvalidNotification):
            world.deliver(event("hello", requestContext={"requestId": request_id}))
        world.wait(3600)
    failed(world)
    assert len(world.errors()) == len(forged) + 2
    assert "GaveUp, FAILED" in world.mails()[-1]["Message"]["Subject"]["Data"]
    assert as_text(world).endswith("Seen: 1 times since 2026-11-25 13:30:17 UTC\n")


def test_event_that_shows_no_id_is_known_by_its_content(world: World) -> None:
    """Its retries count up one row; another event has another."""
    for anything in ([1], [1], "text"):
        with pytest.raises(InvalidNotification):
            world.deliver(anything)
    assert sorted(row["occurrences"] for row in world.errors()) == [1, 2]
    assert not any("orderId" in row or "notificationId" in row for row in world.errors())
    assert len(world.mails()) == 2


def test_error_in_recheck_and_in_the_sweep_says_whose_it_is(world: World) -> None:
    """Recheck's by its timer; the sweep's by the record that it ends."""
    world.deliver()
    world.wait(62)
    failing(world)
    with pytest.raises(PassFailed):
        world.recheck()
    world.wait(74 * 3600)
    world.sweep()
    for function, row in zip(("recheck", "sweep"), sorted(world.errors(), key=lambda row: row["lastAt"]), strict=True):
        about = (row["functionName"], row["orderId"], row["chargeId"], row["notificationId"], row["checksumStatus"])
        assert about == (function, ORDER, CHARGE, NOTIFICATION, "valid")
    assert counts(world) == {"Failed": 1}


def test_huge_event_and_long_traceback_fit_the_row_by_their_ends(world: World) -> None:
    """What was raised is at the end of a traceback; nothing is cut through a card number."""

    def fail(_call: Call) -> None:
        raise RuntimeError(f"{CARD} " * 1200) from ValueError("y" * 9000)

    world.wire.before["lambda.Invoke"] = fail
    with pytest.raises(RuntimeError):
        world.deliver(sample("authorized") | {"extra": [f"y{CARD[:-1]} " * 900] * 50, "more": "x" * 200_000})
    row = world.error()
    assert len(row["event"]) <= 64_000
    assert len(row["traceback"]) <= 8000
    assert row["traceback"].endswith("[redacted]\n")
    assert "1111" not in row["traceback"] + row["message"] + world.log()[-1]["error"]


# --- nothing in a report replaces the error ---


@pytest.mark.parametrize(
    ("log", "mail", "counted", "sent"),
    [
        (on_error_log("InternalServerError"), None, {"LogFailed": 1, "MailFailed": 1}, 0),
        (on_error_log("AccessDeniedException", only="occurrences"), None, {"LogFailed": 1}, 1),
        (on_error_log("ThrottlingException", only="mailedAt"), None, {"MailFailed": 1}, 1),
        (None, refuse("Throttling"), {"MailFailed": 1}, 1),
        (on_error_log("ThrottlingException"), refuse("Throttling"), {"LogFailed": 1, "MailFailed": 1}, 0),
    ],
    ids=["log", "row", "mark", "mail", "both"],
)
def test_failing_report_is_counted_and_hides_nothing(
    world: World, log: Any, mail: Any, counted: dict[str, int], sent: int
) -> None:
    """Error log or SES down or denied: the first error goes on, with a warning and a count for the alarm."""
    failing(world)
    hooks = {"dynamodb.UpdateItem": log, "ses.SendEmail": mail}
    world.wire.before |= {name: hook for name, hook in hooks.items() if hook}
    with pytest.raises(PassFailed):
        world.deliver()
    assert (counts(world), len(world.mails())) == (counted, sent)
    assert len(world.log()[-1]["warnings"]) == len(counted)
    assert world.record()["lastError"].startswith("PassFailed: ")


def test_mail_that_could_not_be_sent_is_sent_by_the_next_failure(world: World) -> None:
    """The row says whether its mail went out."""
    failing(world, times=2)
    world.wire.before["ses.SendEmail"] = refuse("Throttling")
    with pytest.raises(PassFailed):
        world.deliver()
    assert "mailedAt" not in world.error()
    world.wait(61)
    with pytest.raises(PassFailed):
        world.recheck(1)
    assert "mailedAt" in world.error()
    assert "Seen: 2 times since" in world.mails()[-1]["Message"]["Body"]["Text"]["Data"]


def test_mail_without_a_row_leaves_one_that_expires(world: World) -> None:
    """It only remembers the mail, and the mail does not claim to know how often."""
    failing(world)
    world.wire.before["dynamodb.UpdateItem"] = on_error_log("InternalServerError", only="occurrences")
    with pytest.raises(PassFailed):
        world.deliver()
    [row] = [row for row in world.rows("CALLBACK_ERROR_LOG_TABLE") if "mailedAt" in row]
    assert set(row) == {"errorId", "mailedAt", "expiresAt"}
    assert "Seen" not in world.mails()[0]["Message"]["Body"]["Text"]["Data"]


def test_fault_of_the_reporter_itself_replaces_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in here costs the row and the mail, never what is reported."""
    monkeypatch.setattr(report, "kind_of", Mock(side_effect=KeyError("a bug")))
    with pytest.raises(InvalidNotification):
        world.deliver(event("hello"))
    assert (counts(world), world.log()[-1]["errorType"]) == ({"ReportFailed": 1}, "InvalidNotification")


def test_secret_in_an_error_text_is_masked_wherever_the_error_goes(world: World) -> None:
    """What a service quotes back: masked in row, mail, log, and in what Lambda prints of a foreign error."""
    planted = f"card {CARD} of tokn_test_planted"

    def quoting(call: Call) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": planted}}, call.operation)

    world.wire.before |= {"dynamodb.PutItem": quoting, "dynamodb.GetItem": quoting}
    with pytest.raises(ClientError) as raised:
        world.deliver()
    row = world.error()
    mails = json.dumps(world.mails())
    for text in (str(raised.value), row["message"], row["traceback"], mails, world.printed.getvalue()):
        assert "card [redacted] of [redacted]" in text
        assert not any(secret in text for secret in (CARD, "tokn_test"))


# --- what each error is, and the line ---


def test_each_error_has_its_kind() -> None:
    """As the tree of errors.py says: what ends, what a retry helps, what none does."""
    kinds = {
        "failed": {"SpoiltRecord", "GaveUp", "OrderUnsettled", "RetriesExhausted"},
        "retried": {"UnverifiableRejected", "PaymentUnreadable", "PassFailed", "PassTimedOut"},
        "contradicted": {"OrderContradicted"},
    }
    shown = {"FollowUpError", "SettingsError", "BadInput", "PassError"}
    found = {
        name: made for name, made in vars(errors).items() if isinstance(made, type) and issubclass(made, FollowUpError)
    }
    assert all(f" {name} " in f"{errors.__doc__}".replace("\n", " ") for name in found)
    for name, made in found.items():
        known = [kind for kind, names in kinds.items() if name in names]
        assert shown & {name} or kind_of(made.__new__(made)) == (known or ["refused"])[0], name
    assert kind_of(KeyError("foreign")) == "retried"


def test_line_forgets_the_invocation_before(world: World) -> None:
    """A refused event is not logged under the order before it."""
    world.deliver()
    with pytest.raises(InvalidNotification):
        world.deliver(event("hello"))
    line = world.log()[-1]
    assert (line["level"], line["message"], line["notificationId"]) == ("ERROR", "failed", "delivery-1")
    assert not {"orderId", "chargeId", "pass", "warnings"} & set(line)


def test_many_warnings_stay_one_line_of_bounded_length(world: World) -> None:
    """A sweep in which everything fails says so 20 times."""
    for number in range(25):
        world.deliver(event(message(), requestContext={"requestId": f"n-{number}"}))
    world.wait(600)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=99)
    assert world.sweep()["errors"] == 25
    assert len(world.log()[-1]["warnings"]) == 20
    assert len(json.dumps(world.log()[-1])) < 8000


def test_error_log_takes_any_letters(world: World) -> None:
    """Half a surrogate pair in an event or an answer is no text that a table takes: it is written as another letter."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(b'{"a": "\\ud800"}', error="Unhandled")
    with pytest.raises(PassFailed):
        world.deliver(event(signed(description="\ud800")) | {"\ud800": "\ud800"})
    json.dumps([world.rows("CALLBACK_ERROR_LOG_TABLE"), world.record()], default=str, ensure_ascii=False).encode()
