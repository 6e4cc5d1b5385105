"""What happens to an error: a row, one mail, a re-raise; and nothing secret in any of them."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from callback.errors import AttemptsExhausted, InvalidNotification, PassFailed, PassTimedOut
from callback.redact import MASK, redacted_event, redacted_text, scrub
from tests.wire import Call, payload, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER, World, sample

CARD = "4111111111111111"
TOKEN = "tokn_test_planted"
PLANTED = (CARD, TOKEN, "412345xxxxxx0019", "skey_planted", "planted-authorization", "planted-cavv")


def failing(world: World, times: int = 1) -> None:
    """Let ProcessPaidOrder be throttled."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times)


def test_error_row_holds_all_that_an_engineer_needs(world: World) -> None:
    """CallbackErrorLogTable gets the attributes of the brief."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload({"errorMessage": "no stock"}, error="Unhandled")
    with pytest.raises(PassFailed):
        world.deliver()
    row = world.error()
    assert (row["functionName"], row["errorType"]) == ("delayednotify", "PassFailed")
    assert (row["orderId"], row["chargeId"], row["notificationId"]) == (ORDER, CHARGE, NOTIFICATION)
    assert row["message"] == "pass 1: ProcessPaidOrder failed (Unhandled)"
    assert row["traceback"].startswith("Traceback (most recent call last):\n  File ")
    assert json.loads(row["responseData"]) == {"errorMessage": "no stock"}
    assert json.loads(row["event"])["requestContext"]["requestId"] == NOTIFICATION
    assert (row["occurrences"], row["firstAt"]) == (1, row["lastAt"])
    assert row["expiresAt"] > world.now.timestamp()


def test_one_mail_for_a_notification_that_fails_again_and_again(world: World) -> None:
    """Retries count up the row and send no second mail."""
    failing(world, times=3)
    for _ in range(3):
        with pytest.raises(PassFailed):
            world.deliver()
        world.wait(60)
    row = world.error()
    assert row["occurrences"] == 3
    assert row["firstAt"] < row["lastAt"]
    assert len(world.mails()) == 1


def test_mail_says_whom_it_is_about_and_what_happens_next(world: World) -> None:
    """The people on call read order, charge and error in the mail, and need not open a console to begin."""
    failing(world)
    with pytest.raises(PassFailed):
        world.deliver()
    [mail] = world.mails()
    text = mail["Message"]["Body"]["Text"]["Data"]
    assert mail["Message"]["Subject"]["Data"] == f"[payment3 dev] order {ORDER}: pass 1 failed, will be tried again"
    assert (mail["Source"], mail["Destination"]) == (
        "payment3@local.example",
        {"ToAddresses": ["on-call@local.example"]},
    )
    for told in (ORDER, CHARGE, NOTIFICATION, "PassFailed", "TooManyRequestsException", world.error()["errorId"]):
        assert told in text


def test_failing_log_table_does_not_hide_the_error_nor_the_mail(world: World) -> None:
    """The first error goes on, the mail goes out, and the log says that the table failed too."""
    failing(world)
    world.cold_start(CALLBACK_ERROR_LOG_TABLE="no-such-table")
    with pytest.raises(PassFailed):
        world.deliver()
    assert len(world.mails()) == 1
    assert world.log("the error log failed too")[0]["errorType"] == "ResourceNotFoundException"


def test_failing_mail_does_not_hide_the_error_and_is_sent_by_the_retry(world: World) -> None:
    """SES down: the first error goes on; the mail is not lost, the next retry sends it."""
    failing(world, times=2)
    world.wire.before["ses.SendEmail"] = refuse("Throttling")
    with pytest.raises(PassFailed):
        world.deliver()
    assert world.log("the error mail failed too")[0]["errorType"] == "ClientError"
    assert "mailedAt" not in world.error()
    with pytest.raises(PassFailed):
        world.deliver()
    assert "mailedAt" in world.error()


def test_mail_sent_while_the_log_table_fails_leaves_no_lasting_row(world: World) -> None:
    """A row that only remembers a mail expires like any other."""
    failing(world)
    world.wire.before["dynamodb.UpdateItem"] = _on_error_log(refuse("InternalServerError"))
    with pytest.raises(PassFailed):
        world.deliver()
    assert set(world.error()) == {"errorId", "mailedAt", "expiresAt"}


def test_end_of_a_long_traceback_is_kept(world: World) -> None:
    """What was raised stands at the end of a traceback, so a long one loses its beginning."""

    def fail(_call: Call) -> None:
        raise RuntimeError("x" * 9000) from ValueError("y" * 9000)

    world.wire.before["lambda.Invoke"] = fail
    with pytest.raises(RuntimeError):
        world.deliver()
    assert world.error()["traceback"].endswith("xxx\n")


def test_long_traceback_begins_with_a_whole_line(world: World) -> None:
    """A card number where a long traceback is cut does not stay by half."""

    def fail(_call: Call) -> None:
        raise RuntimeError("\n".join(["card 4111111111111111"] * 600))

    world.wire.before["lambda.Invoke"] = fail
    with pytest.raises(RuntimeError):
        world.deliver()
    assert "111" not in world.error()["traceback"]
    assert world.error()["traceback"].startswith("card [redacted]")


def test_debug_mode_logs_each_write(world: World) -> None:
    """DEBUG_MODE shows which table is written and how."""
    world.deliver()
    assert world.log("write") == []
    world.cold_start(DEBUG_MODE="true")
    world.deliver()
    assert {line["table"] for line in world.log("write")} >= {"payment3-credit-card-notify-dev"}


def test_error_in_recheck_is_reported_under_its_name(world: World) -> None:
    """The row and the mail tell which function failed."""
    world.deliver()
    world.wait(60)
    failing(world)
    with pytest.raises(PassFailed):
        world.recheck()
    assert world.error()["functionName"] == "recheck"
    assert "Function: recheck, branch dev" in world.mails()[0]["Message"]["Body"]["Text"]["Data"]


def test_error_without_a_notification_has_one_row_for_its_retries(world: World) -> None:
    """An event that shows no ids is told by its content: retries count up one row."""
    for _ in range(2):
        with pytest.raises(InvalidNotification):
            world.deliver({"body": "hello"})
    assert world.error()["occurrences"] == 2
    assert "orderId" not in world.error()
    assert "notification" in world.mails()[0]["Message"]["Subject"]["Data"]


def test_errors_without_a_notification_are_told_apart(world: World) -> None:
    """Two events that show no id and are not the same are two rows and two mails."""
    for event in ([1], "text"):
        with pytest.raises(InvalidNotification):
            world.deliver(event)
    assert len(world.errors()) == len(world.mails()) == 2


def test_row_that_is_counted_up_is_kept_from_then_on(world: World) -> None:
    """90 days after the last failure, not after the mail about the first."""
    failing(world, times=2)
    for _ in range(2):
        world.wait(3600)
        with pytest.raises(PassFailed):
            world.deliver()
    assert world.error()["expiresAt"] == int((world.now + timedelta(days=90)).timestamp())


def test_notification_that_fails_for_good_again_is_mailed_again(world: World) -> None:
    """Replayed after pass 1 was given up, and given up at pass 2: the second end is as loud as the first."""
    world.cold_start(MAX_ATTEMPTS="1")
    failing(world)
    with pytest.raises(AttemptsExhausted):
        world.deliver()
    world.recheck(1)
    world.wait(60)
    failing(world)
    with pytest.raises(AttemptsExhausted):
        world.recheck(2)
    assert len(world.errors()) == len(world.mails()) == 2


def test_huge_event_still_fits_the_error_log(world: World) -> None:
    """What is too large to process is not too large to be reported."""
    with pytest.raises(InvalidNotification):
        world.deliver(sample("authorized") | {"body": "x" * 900_000, "extra": ["y" * 9_000] * 50})
    assert len(world.error()["event"]) <= 64_000


def test_nothing_secret_is_written_anywhere(world: World) -> None:
    """Planted card data, tokens and secrets are in no log line, error row, mail or schedule; the raw body is kept."""
    event = sample("authorized")
    body = json.loads(event["body"])
    body["source"] |= {"id": TOKEN, "number": CARD}
    body["mpi"]["cavv"] = "planted-cavv"
    body["description"] = f"card {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]} and skey_planted"
    event |= {"body": json.dumps(body)}
    event["headers"]["Authorization"] = "planted-authorization"
    answer = {"errorMessage": f"card {CARD} token {TOKEN} skey_planted", "cardNumber": CARD}
    works = world.wire.answers["lambda.Invoke"]
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    with pytest.raises(PassFailed):
        world.deliver(event)
    world.wire.answers["lambda.Invoke"] = lambda call: works(call) | payload(answer)
    world.deliver(event)
    world.wait(60)
    world.recheck()
    written = {
        "log": world.printed.getvalue(),
        "errors": json.dumps(world.rows("CALLBACK_ERROR_LOG_TABLE"), default=str),
        "mails": json.dumps(world.mails()),
        "schedules": json.dumps(world.wire.of("scheduler.CreateSchedule")),
        "passes": json.dumps(world.record()["passes"], default=str) + world.record()["lastError"],
    }
    found = [(where, secret) for where, text in written.items() for secret in (*PLANTED, "4111 1111") if secret in text]
    assert found == []
    assert all(text for text in written.values())
    assert CARD in world.record()["body"]


@pytest.mark.parametrize(
    "body",
    [
        f"objectId=chrg_test_1&token={TOKEN}&status=true",
        base64.b64encode(json.dumps({"token": TOKEN, "card": {"number": CARD}}).encode()).decode(),
        f"not json, but {TOKEN} and {CARD} and 412345xxxxxx0019",
    ],
)
def test_body_of_any_kind_is_redacted(body: str) -> None:
    """A form, a base64 body, plain nonsense: what is secret in it is masked."""
    for encoded in (True, False):
        text = redacted_event({"body": body, "isBase64Encoded": encoded})
        assert not any(secret in text for secret in PLANTED)


def test_ids_and_ordinary_numbers_survive_redaction() -> None:
    """What an operator searches for stays readable: ids, order numbers, amounts, times."""
    kept = {"id": CHARGE, "reference_order": "202611220930151", "amount": 200.5, "created": "20180322121944000"}
    assert json.loads(redacted_text(json.dumps(kept))) == kept


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111 12/27",
        "card 1 4111111111111111",
        "4111 1111 1111 1111 123",
        "4111.1111.1111.1111",
        "3782 822463 10005",
        json.dumps({"statusCode": 200, "body": json.dumps({"cvv": "987", "token": "tok-secret"})}),
        "cvv=987&expiry=1227&cardNumber=4111+1111+1111+1111&a=b",
        "Authorization: Bearer tok-secret",
        '{"token": "tok-secret", "cut of',
    ],
)
def test_secret_is_masked_in_any_company(text: str) -> None:
    """Next to other numbers, in JSON within JSON, in a query string, in JSON that was cut."""
    clean = redacted_text(text)
    assert not any(secret in clean for secret in ("1111", "10005", "987", "tok-secret", "1227"))
    assert MASK in clean


@pytest.mark.parametrize("secret", ["4111111111111111", "4111 1111 1111 1111", "skey_planted_and_long", "cvv=98712345"])
def test_secret_across_the_cut_leaves_no_part(secret: str) -> None:
    """A text is cut after it is masked: no first digits of a card number stay at its end."""
    for ahead in range(len(secret)):
        clean = scrub("." * (8000 - ahead - 1) + " " + secret + " more")
        assert not any(part in clean for part in ("4111", "skey_p", "987"))
        assert len(clean) <= 8000


def test_deep_events_are_cut_not_followed() -> None:
    """An event nested without end cannot break the report."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"deeper": deep}
    assert "[deeper]" in redacted_event(deep)


@given(st.text(), st.from_regex(r"\A4[0-9]{3}( |-|)[0-9]{4}( |-|)[0-9]{4}( |-|)[0-9]{3}\Z"), st.text())
def test_card_number_never_survives_in_free_text(before: str, start: str, after: str) -> None:
    """Any card number between spaces is masked, however its groups are parted."""
    digits = [int(d) for d in start if d.isdigit()][::-1]
    total = sum(digits[1::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[::2])
    card = f"{start}{-total % 10}"
    text = scrub(f"{before} | {card} | {after}"[:4000])
    assert card not in text or card in before + after
    assert MASK in text


@pytest.mark.parametrize(
    "unit",
    [
        "card[",
        "card%5B",
        'token\\"',
        'token="\\',
        "token='a",
        "exp_month",
        "Cookie: ",
        "x",
        "4",
        "4 ",
        "card",
        "card ",
        "-",
        "=",
        "4111 ",
        '"',
        "{",
        "tokn_",
        "Bearer ",
    ],
)
def test_redaction_takes_time_in_proportion(unit: str) -> None:
    """No text that an attacker may send keeps the report busy: a quadratic pattern would hang this test for minutes."""
    for _ in range(100):
        assert len(scrub(unit * 8000)) <= 8 * 8000


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_redaction_takes_any_event(event: object) -> None:
    """The report never fails on what it reports."""
    assert isinstance(redacted_event(event), str)


def _on_error_log(hook: Callable[[Call], None]) -> Callable[[Call], None]:
    def chosen(call: Call) -> None:
        if "error-log" in call.request["TableName"]:
            hook(call)

    return chosen


def test_records_and_errors_expire_when_the_readme_says(world: World) -> None:
    """400 days for a notification, 90 for an error, in the seconds that DynamoDB's TTL reads."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver()
    assert world.record()["expiresAt"] == int((world.now + timedelta(days=400)).timestamp())
    assert world.error()["expiresAt"] == int((world.now + timedelta(days=90)).timestamp())


def test_every_log_line_says_whom_it_is_about(world: World) -> None:
    """orderId, chargeId, notificationId and the pass are in every line of both functions (brief: decision 5)."""
    world.pay()
    world.deliver()
    world.wait(60)
    world.recheck()
    assert len(world.log()) > 5
    for line in world.log():
        assert (line["orderId"], line["chargeId"], line["notificationId"]) == (ORDER, CHARGE, NOTIFICATION), line
    assert {line["pass"] for line in world.log()} == {1, 2}


def test_warm_invocation_forgets_whom_the_last_one_was_about(world: World) -> None:
    """A refused event is not logged under the order of the invocation before it."""
    world.deliver()
    with pytest.raises(InvalidNotification):
        world.deliver({"body": "hello"})
    [line] = [line for line in world.log() if line["level"] == "ERROR"]
    assert not {"orderId", "chargeId", "pass"} & set(line)
    assert line["notificationId"] != NOTIFICATION


def test_one_mail_for_a_notification_whichever_function_fails_and_how(world: World) -> None:
    """DelayedNotify's failure and Recheck's, of whatever kind, are one row and one mail: the notification's."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver()
    world.deliver()
    world.wait(60)

    def late(_call: Call) -> None:
        raise ReadTimeoutError(endpoint_url="a test")

    world.wire.before["lambda.Invoke"] = late
    with pytest.raises(PassTimedOut):
        world.recheck()
    assert world.error()["occurrences"] == 2
    assert len(world.mails()) == 1


def test_secret_in_an_error_text_is_masked_wherever_the_error_goes(world: World) -> None:
    """What AWS or a library quotes back may hold card data: masked in record, row, mail and log."""
    planted = "card 4111111111111111 of tokn_test_planted"

    def quoting(call: Call) -> None:
        raise ClientError({"Error": {"Code": "InvalidRequestContentException", "Message": planted}}, call.operation)

    world.wire.before["lambda.Invoke"] = quoting
    world.wire.before["ses.SendEmail"] = quoting
    with pytest.raises(PassFailed):
        world.deliver()
    row, mails = world.error(), json.dumps(world.mails())
    for text in (world.record()["lastError"], row["message"], row["traceback"], mails, world.printed.getvalue()):
        assert "ClientError" in text or "InvalidRequestContentException" in text
        assert "4111111111111111" not in text
        assert "tokn_test_planted" not in text


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "clientSecret",
        "password",
        "Authorization",
        "Set-Cookie",
        "x-api-key",
        "apiKey",
        "card",
        "card_masking",
        "last4",
        "pan",
        "number",
        "cvv",
        "cvc",
        "expiry",
        "mpi",
        "cavv",
        "xid",
        "approval_code",
    ],
)
def test_field_that_holds_a_secret_is_masked_by_its_name(name: str) -> None:
    """Whatever its value looks like."""
    assert "harmless" not in redacted_event({"headers": {name: "harmless"}})
    assert "harmless" not in redacted_event({"body": json.dumps({"deep": [{name: "harmless"}]})})


def test_error_in_recheck_names_order_and_charge(world: World) -> None:
    """Who asks where an order is finds Recheck's failures by it too."""
    world.deliver()
    world.wait(60)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.recheck()
    row = world.error()
    assert (row["orderId"], row["chargeId"], row["notificationId"]) == (ORDER, CHARGE, NOTIFICATION)


def test_error_names_the_order_that_only_the_payment_record_knew(world: World) -> None:
    """A browser return that fails is found by its order as well."""
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver(sample("browser-return"))
    assert world.error()["orderId"] == ORDER
