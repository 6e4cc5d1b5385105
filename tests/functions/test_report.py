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
from callback.table import format_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World, sample
from tests.support.mails import as_text, failed
from tests.support.recorded_calls import Call, payload, refuse
from tests.support.steps import HOUR, ends_mailed, event, fail_pass_1, fails, signed, throttle

UPDATE = "dynamodb.UpdateItem"
CARD = "4111111111111111"


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
    fails(PassFailed, world.deliver)
    row, now = world.error(), format_utc(world.now)
    known = {"functionName": "delayednotify", "errorType": "PassFailed", "checksumStatus": "valid", "occurrences": 1}
    known |= {"orderId": ORDER, "chargeId": CHARGE, "notificationId": NOTIFICATION, "firstAt": now, "lastAt": now}
    known |= {"message": "pass 1: ProcessPaidOrder failed (Unhandled)"}
    known |= {"expiresAt": int((world.now + timedelta(days=90)).timestamp())}
    assert known.items() <= row.items()
    assert row["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert json.loads(row["responseData"]) == {"errorMessage": "no stock"}
    assert json.loads(row["event"])["requestContext"]["requestId"] == NOTIFICATION


def test_what_is_tried_again_is_one_row_and_one_mail_and_each_end_another(world: World) -> None:
    """Whichever function fails and how; given up at pass 1, and after a replay at pass 2: as loud as the first time."""

    def late(_call: Call) -> None:
        raise ReadTimeoutError(endpoint_url="a test")

    fail_pass_1(world)
    world.wait(61)
    world.wire.before["lambda.Invoke"] = late
    fails(PassTimedOut, world.recheck, 1)
    row = world.error()
    known = {"occurrences": 2, "functionName": "recheck", "errorType": "PassTimedOut", "checksumStatus": "valid"}
    assert (known | {"orderId": ORDER, "chargeId": CHARGE, "notificationId": NOTIFICATION}).items() <= row.items()
    assert row["firstAt"] < row["lastAt"] == format_utc(world.now)
    assert row["expiresAt"] == int((world.now + timedelta(days=90)).timestamp())
    assert len(world.mails()) == 1
    world.wait(72 * HOUR)
    fails(GaveUp, world.recheck, 1)
    world.wire.before.clear()
    world.recheck(1)
    world.wait(73 * HOUR)
    throttle(world)
    fails(GaveUp, world.recheck, 2)
    messages = sorted(row["message"][:16] for row in world.errors())
    assert messages == ["pass 1: ProcessP", "pass 1: given up", "pass 2: given up"]
    assert (len(world.mails()), ends_mailed(world)) == (3, 2)


def test_refused_event_cannot_take_the_place_of_a_failed_ones_row(world: World) -> None:
    """Neither as the same delivery nor by an id that looks like a row's key: FAILED has its row and its mail."""
    forged = [NOTIFICATION, f"{NOTIFICATION}\nFAILED 1", f"{NOTIFICATION} failed 1", f'["{NOTIFICATION}", "failed", 1]']
    for request_id in forged:
        fails(InvalidNotification, world.deliver, event("hello", request_id))
        world.wait(HOUR)
    failed(world)
    assert (len(world.errors()), ends_mailed(world)) == (len(forged) + 2, 1)
    assert as_text(world).endswith("Seen: once, at 2026-11-25 13:30:17 UTC\n")


def test_event_that_shows_no_id_is_known_by_its_content(world: World) -> None:
    """Its retries count up one row; another event has another."""
    for anything in ([1], [1], "text"):
        fails(InvalidNotification, world.deliver, anything)
    assert sorted(row["occurrences"] for row in world.errors()) == [1, 2]
    assert not any("orderId" in row or "notificationId" in row for row in world.errors())
    assert len(world.mails()) == 2


def test_huge_event_and_long_traceback_fit_the_row_by_their_ends(world: World) -> None:
    """What was raised is at the end of a traceback; nothing is cut through a card number."""

    def fail(_call: Call) -> None:
        raise RuntimeError(f"{CARD} " * 1200) from ValueError("y" * 9000)

    world.wire.before["lambda.Invoke"] = fail
    huge = {"extra": [f"y{CARD[:-1]} " * 900] * 50, "more": "x" * 200_000}
    fails(RuntimeError, world.deliver, sample("authorized") | huge)
    row = world.error()
    assert len(row["event"]) <= 64_000
    assert len(row["traceback"]) <= 8000
    assert row["traceback"].endswith("[redacted]\n")
    assert "1111" not in row["traceback"] + row["message"] + world.log()[-1]["error"]


# --- nothing in a report replaces the error ---


# What is down, what is counted, and how many mails were tried then and after the next failure.
_DOWN: dict[str, tuple[dict[str, Any], dict[str, int], tuple[int, int]]] = {
    "log": ({UPDATE: on_error_log("InternalServerError")}, {"LogFailed": 1, "MailFailed": 1}, (0, 1)),
    "row": ({UPDATE: on_error_log("AccessDeniedException", only="occurrences")}, {"LogFailed": 1}, (1, 1)),
    "mark": ({UPDATE: on_error_log("ThrottlingException", only="mailedAt")}, {"MailFailed": 1}, (1, 2)),
    "mail": ({"ses.SendEmail": refuse("Throttling", times=99)}, {"MailFailed": 1}, (1, 2)),
}
_DOWN["both"] = (_DOWN["log"][0] | _DOWN["mail"][0], *_DOWN["log"][1:])


@pytest.mark.parametrize(("hooks", "counted", "mails"), _DOWN.values(), ids=_DOWN)
def test_failing_report_hides_nothing(
    world: World, hooks: dict[str, Any], counted: dict[str, int], mails: tuple[int, int]
) -> None:
    """Error log or SES down or denied: the error goes on, warned of and counted; the next failure sends the mail."""
    world.wire.before |= hooks
    fail_pass_1(world)
    assert (counts(world), len(world.mails())) == (counted, mails[0])
    assert len(world.log()[-1]["warnings"]) == len(counted)
    assert world.record()["lastError"].startswith("PassFailed: ")
    world.wire.before.clear()
    throttle(world)
    world.wait(61)
    fails(PassFailed, world.recheck, 1)
    assert (counts(world), len(world.mails())) == ({}, mails[1])


def test_mail_without_a_row_leaves_one_that_expires(world: World) -> None:
    """It only remembers the mail, and the mail does not claim to know how often."""
    world.wire.before[UPDATE] = on_error_log("InternalServerError", only="occurrences")
    fail_pass_1(world)
    [row] = [row for row in world.rows("CALLBACK_ERROR_LOG_TABLE") if "mailedAt" in row]
    assert set(row) == {"errorId", "mailedAt", "expiresAt"}
    assert "Seen" not in as_text(world)


def test_fault_of_the_reporter_itself_replaces_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in here costs the row and the mail, never what is reported."""
    monkeypatch.setattr(report, "kind_of", Mock(side_effect=KeyError("a bug")))
    fails(InvalidNotification, world.deliver, event("hello"))
    assert (counts(world), world.log()[-1]["errorType"]) == ({"ReportFailed": 1}, "InvalidNotification")


def test_secret_in_an_error_text_is_masked_wherever_the_error_goes(world: World) -> None:
    """What a service quotes back: masked in row, mail, log, and in what Lambda prints of a foreign error."""
    planted = f"card {CARD} of tokn_test_planted"

    def quoting(call: Call) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": planted}}, call.operation)

    world.wire.before |= {"dynamodb.PutItem": quoting, "dynamodb.GetItem": quoting}
    raised, row = str(fails(ClientError, world.deliver)), world.error()
    for text in (raised, row["message"], row["traceback"], json.dumps(world.mails()), world.printed.getvalue()):
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
    # What is never raised itself.
    roots = {"FollowUpError", "SettingsError", "BadInput", "PassError"}
    made = {name: each for name, each in vars(errors).items() if isinstance(each, type)}
    found = {name: each for name, each in made.items() if issubclass(each, FollowUpError)}
    assert all(f" {name} " in f"{errors.__doc__}".replace("\n", " ") for name in found)
    for name in found.keys() - roots:
        known = [kind for kind, names in kinds.items() if name in names]
        assert kind_of(found[name].__new__(found[name])) == (known or ["refused"])[0], name
    assert kind_of(KeyError("foreign")) == "retried"


def test_line_forgets_the_invocation_before(world: World) -> None:
    """A refused event is not logged under the order before it."""
    world.deliver()
    fails(InvalidNotification, world.deliver, event("hello"))
    line = world.log()[-1]
    assert (line["level"], line["message"], line["notificationId"]) == ("ERROR", "failed", "delivery-1")
    assert not {"orderId", "chargeId", "pass", "warnings"} & set(line)


def test_many_warnings_stay_one_line_of_bounded_length(world: World) -> None:
    """A sweep in which everything fails says so 20 times."""
    for number in range(25):
        world.deliver(event(signed(), f"n-{number}"))
    world.wait(600)
    throttle(world, times=99)
    assert world.sweep()["errors"] == 25
    assert len(world.log()[-1]["warnings"]) == 20
    assert len(json.dumps(world.log()[-1])) < 8000


def test_error_log_takes_any_letters(world: World) -> None:
    """Half a surrogate pair in an event or an answer is no text that a table takes: it is written as another letter."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(b'{"a": "\\ud800"}', error="Unhandled")
    fails(PassFailed, world.deliver, event(signed(description="\ud800")) | {"\ud800": "\ud800"})
    json.dumps([world.rows("CALLBACK_ERROR_LOG_TABLE"), world.record()], default=str, ensure_ascii=False).encode()
