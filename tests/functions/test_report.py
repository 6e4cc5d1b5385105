"""What follows an error: a row, a mail, a count and a re-raise; no fault of the reporter replaces the error."""

import json
import re
from datetime import timedelta
from unittest.mock import Mock

import pytest

from callback import errors, report
from callback.errors import FollowUpError, GaveUp, InvalidNotification, PassFailed, PassTimedOut
from callback.report import kind_of
from callback.table import format_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World, sample
from tests.support.call_purposes import purpose
from tests.support.mails import as_text, failed
from tests.support.recorded_calls import Call, client_error, payload
from tests.support.steps import HOUR, down, ends_mailed, event, fail_pass_1, fails, hangs, signed, throttle

CARD = "4111111111111111"


def counts(world: World) -> dict[str, int]:
    """Return what the reports of the last invocation counted."""
    names = ("Failed", "Refused", "LogFailed", "MailFailed", "MailsHeld", "ReportFailed")
    return {name: world.log()[-1][name] for name in names if name in world.log()[-1]}


def test_error_row_holds_all_that_an_engineer_needs(world: World) -> None:
    """Whose payment, what failed and where, what was sent and answered, since when and how often, and its expiry."""
    answer = {"errorMessage": "no stock of \ud83d\ude00\ud800"}
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    reason = "pass 1: ProcessPaidOrder failed (Unhandled)"
    known = {"orderId": ORDER, "chargeId": CHARGE, "notificationId": NOTIFICATION, "checksumStatus": "valid"}
    known |= {"functionName": "delayednotify", "errorType": "PassFailed", "firstAt": format_utc(world.now)}
    fails(PassFailed, world.deliver)
    row = world.error()
    assert world.record()["lastError"] == f"PassFailed: {reason}"
    assert (known | {"message": reason}).items() <= row.items()
    assert row["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert json.loads(row["responseData"]) == {"errorMessage": "no stock of \N{GRINNING FACE}?"}
    assert json.loads(row["event"])["requestContext"]["requestId"] == NOTIFICATION
    world.wait(61)
    world.wire.before["lambda.Invoke"] = hangs
    fails(PassTimedOut, world.recheck, 1)
    known |= {"functionName": "recheck", "errorType": "PassTimedOut", "responseData": row["responseData"]}
    known |= {"lastAt": format_utc(world.now), "expiresAt": int((world.now + timedelta(days=90)).timestamp())}
    assert (known | {"occurrences": 2}).items() <= world.error().items()
    assert len(world.mails()) == 1


def test_each_end_is_a_row_and_a_mail(world: World) -> None:
    """Given up at pass 1 and, after a replay, at pass 2: each as loud as the first failure."""
    fail_pass_1(world)
    world.wait(72 * HOUR)
    throttle(world)
    fails(GaveUp, world.recheck, 1)
    world.recheck(1)
    world.wait(73 * HOUR)
    throttle(world)
    fails(GaveUp, world.recheck, 2)
    messages = sorted(row["message"][:16] for row in world.errors())
    assert messages == ["pass 1: ProcessP", "pass 1: given up", "pass 2: given up"]
    assert (len(world.mails()), ends_mailed(world)) == (3, 2)


def test_each_event_has_its_own_row(world: World) -> None:
    """No forged id gives a refused event the row of a failed one; an event without an id is known by its content."""
    forged = [NOTIFICATION, f"{NOTIFICATION}\nFAILED 1", f"{NOTIFICATION} failed 1", f'["{NOTIFICATION}", "failed", 1]']
    for anything in (*(event("hello", request_id) for request_id in forged), [1], [1], "text"):
        fails(InvalidNotification, world.deliver, anything)
        world.wait(HOUR)
    assert sorted(row["occurrences"] for row in world.errors()) == [1] * 5 + [2]
    assert not any("orderId" in row for row in world.errors())
    failed(world)
    assert (len(world.errors()), len(world.mails()), ends_mailed(world)) == (8, 8, 1)
    assert as_text(world).endswith("Seen: once, at 2026-11-25 16:30:17 UTC\n")
    fail_pass_1(world, event(signed(id="chrg_test_2")))  # under the same notification id
    assert (len(world.errors()), len(world.mails())) == (9, 9)


def test_secret_in_an_error_of_any_length_is_masked_wherever_it_goes(world: World) -> None:
    """In row, mail, log and Lambda's output, through no cut; a lone surrogate becomes a letter that a table takes."""

    def fail(_call: Call) -> None:
        raise RuntimeError(f"{CARD} of tokn_test_planted \ud800 " * 700) from ValueError("y" * 9000)

    world.wire.before["lambda.Invoke"] = fail
    huge = {"extra": [f"y{CARD[:-1]} " * 900] * 50, "\ud800": "\ud800", "more": "x" * 200_000}
    raised, row = str(fails(RuntimeError, world.deliver, event(signed(description="\ud800")) | huge)), world.error()
    json.dumps([row, world.record()], default=str, ensure_ascii=False).encode()
    assert max(len(row["event"]) / 8, len(row["traceback"])) <= 8000
    assert row["traceback"].endswith("[redacted]\n")
    logged = (world.log()[-1]["error"], world.log()[-1]["traceback"], world.printed.getvalue())
    for text in (raised, row["message"], row["traceback"], json.dumps(world.mails()), *logged):
        assert "[redacted] of [redacted]" in text
        assert not re.search(f"{CARD[:8]}|tokn_test", text)


_LOG = ("log the error", "count the mail", "remember the mail")
# Which calls are refused, and how many mails were tried by then and after the next failure.
_DOWN = {"log": (_LOG, 0, 1), "row": (_LOG[:1], 1, 1), "mark": (_LOG[2:], 1, 2), "mail": (("send the mail",), 1, 2)}


@pytest.mark.parametrize(("refused", "now", "later"), _DOWN.values(), ids=_DOWN)
def test_failing_report_hides_nothing(world: World, refused: tuple[str, ...], now: int, later: int) -> None:
    """If the error log or SES refuses, the error is still raised, with a warning and a count; the next is mailed."""

    def refusing(call: Call) -> None:
        if purpose(call) in refused:
            raise client_error("AccessDeniedException", call)

    world.wire.before = dict.fromkeys(("dynamodb.UpdateItem", "ses.SendEmail"), refusing)
    fail_pass_1(world)
    counted = {"LogFailed": 1} if "log the error" in refused else {}
    counted |= {"MailFailed": 1} if refused != ("log the error",) else {}
    assert (counts(world), len(world.mails()), len(world.log()[-1]["warnings"])) == (counted, now, len(counted))
    assert world.record()["lastError"].startswith("PassFailed: ")
    if refused == ("log the error",):  # the row only records the mail, which does not say how often
        [row] = [row for row in world.rows("CALLBACK_ERROR_LOG_TABLE") if "mailedAt" in row]
        assert (set(row), "Seen" in as_text(world)) == ({"errorId", "mailedAt", "expiresAt"}, False)
    world.wire.before.clear()
    throttle(world)
    world.wait(61)
    fails(PassFailed, world.recheck, 1)
    assert (counts(world), len(world.mails())) == ({}, later)


def test_fault_of_the_reporter_itself_replaces_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in it costs the row and the mail, never the error, which is logged under its own ids alone."""
    world.deliver()
    monkeypatch.setattr(report, "kind_of", Mock(side_effect=KeyError("a bug")))
    fails(InvalidNotification, world.deliver, event("hello"))
    line = world.log()[-1]
    assert (counts(world), line["errorType"]) == ({"ReportFailed": 1}, "InvalidNotification")
    assert (line["level"], line["message"], line["notificationId"]) == ("ERROR", "failed", "delivery-1")
    assert not {"orderId", "chargeId", "pass"} & set(line)


def test_each_error_has_its_kind() -> None:
    """As the tree in errors.py states: what ends the follow-up, what a retry helps, what it does not."""
    kinds = {"ends the follow-up": "failed", "retryable": "retried", "only reported": "contradicted"}
    tree = dict(re.findall(r"─ (\w+) +(.+)", str(errors.__doc__)))
    made = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, FollowUpError)}
    assert made == {"FollowUpError", *tree}
    for name, about in tree.items():
        error = vars(errors)[name]
        assert kind_of(error.__new__(error)) == kinds.get(re.split("  +", about)[-1], "refused"), name
    assert kind_of(KeyError("a bug")) == "retried"


def test_many_warnings_stay_one_line_of_bounded_length(world: World) -> None:
    """A sweep in which everything fails warns 20 times."""
    for number in range(25):
        world.deliver(event(signed(), f"n-{number}"))
    world.wait(600)
    throttle(world, times=99)
    assert world.sweep()["errors"] == 25
    assert len(world.log()[-1]["warnings"]) == 20
    assert len(json.dumps(world.log()[-1])) < 8000


@pytest.mark.parametrize(("sent", "mails"), [("authorized", 1), ("wrong-checksum", 0)])
def test_failed_is_mailed_even_while_the_error_log_is_down(world: World, sent: str, mails: int) -> None:
    """Nothing would report a proved payment later; any other mail is sent only if it can be counted."""
    down(world, "CallbackErrorLogTable")
    fail_pass_1(world, sample(sent))
    assert world.mails() == []
    world.wait(72 * HOUR)
    world.wire.before["lambda.Invoke"] = hangs
    [record] = world.rows("CREDIT_CARD_NOTIFY_TABLE")
    fails(GaveUp, world.recheck, 1, **{name: record[name] for name in ("chargeId", "notificationId", "orderId")})
    assert ends_mailed(world) == mails
