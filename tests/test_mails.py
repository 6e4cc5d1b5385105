"""Mails have a limit an hour; what is held back is counted, and nothing depends on it."""

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from callback.errors import InvalidNotification, PassFailed
from callback.mail_limit import MAILS_AN_HOUR
from tests.wire import Call, refuse
from tests.world import ORDER, World, sample


def failing(world: World, number: int) -> None:
    """Let a notification of its own be refused."""
    with pytest.raises(InvalidNotification):
        world.deliver({"body": "hello", "requestContext": {"requestId": f"n-{number}"}})


def text(mail: dict[str, Any]) -> str:
    """What a mail says."""
    told: str = mail["Message"]["Body"]["Text"]["Data"]
    return told


def test_an_outage_sends_a_set_number_of_mails_an_hour(world: World) -> None:
    """Hundreds of failing notifications fill no mailbox; each still has its row in the error log."""
    for number in range(MAILS_AN_HOUR + 5):
        failing(world, number)
    assert len(world.mails()) == MAILS_AN_HOUR
    assert len(world.errors()) == MAILS_AN_HOUR + 5
    assert len(world.log("held back")) == 5


def test_next_hours_first_mail_counts_what_was_held_back(world: World) -> None:
    """None is lost silently: the next mail says how many were not sent, once."""
    for number in range(MAILS_AN_HOUR + 5):
        failing(world, number)
    world.wait(3600)
    failing(world, 100)
    failing(world, 101)
    counted, plain = map(text, world.mails()[-2:])
    assert counted.endswith("\n\n5 mails about other failures were held back before this one.\n")
    assert "held back" not in plain


def test_held_back_notification_is_mailed_when_it_fails_again(world: World) -> None:
    """Held back is not forgotten: a later failure of the same notification is mailed if there is room by then."""
    for number in range(MAILS_AN_HOUR + 1):
        failing(world, number)
    world.wait(3600)
    failing(world, MAILS_AN_HOUR)
    assert f"n-{MAILS_AN_HOUR}" in text(world.mails()[-1])


def test_hours_do_not_add_up(world: World) -> None:
    """Each hour has its whole number, whether or not the one before used its own."""
    failing(world, 0)
    world.wait(3600)
    for number in range(1, MAILS_AN_HOUR + 2):
        failing(world, number)
    assert len(world.mails()) == 1 + MAILS_AN_HOUR


def test_two_first_mails_of_an_hour_are_two(world: World) -> None:
    """Functions that fail at the same time each take one of the hour's mails."""
    failing(world, 0)
    world.wait(3600)

    def another(call: Call) -> None:
        if "#held = :none" in call.request["UpdateExpression"]:
            world.wire.before.clear()
            failing(world, 1)

    world.wire.before["dynamodb.UpdateItem"] = another
    failing(world, 2)
    [row] = [row for row in world.rows("CALLBACK_ERROR_LOG_TABLE") if row["errorId"] == "mail-limit"]
    assert (row["sent"], row["held"]) == (2, 0)
    assert len(world.mails()) == 3


def test_unreachable_limit_lets_one_mail_an_hour_through(world: World) -> None:
    """With the error log down nobody can count: each warm function mails once an hour, not once a failure."""
    world.cold_start(CALLBACK_ERROR_LOG_TABLE="no-such-table")
    for number in range(3):
        failing(world, number)
    assert len(world.mails()) == 1
    world.wait(3600)
    failing(world, 4)
    assert len(world.mails()) == 2
    assert not any("held back" in text(mail) for mail in world.mails())


def test_unreachable_limit_is_no_second_error(world: World) -> None:
    """Botocore's own errors count as "nobody can count", too."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="a test")

    world.wire.before["dynamodb.UpdateItem"] = unreachable
    failing(world, 1)
    assert len(world.mails()) == 1


def test_mail_reads_like_this(world: World) -> None:
    """The whole text, as the people on call get it, of a failure that is tried again."""
    failing(world, 1)
    [mail] = world.mails()
    error, table = world.error(), world.environment["CALLBACK_ERROR_LOG_TABLE"]
    told = f"""InvalidNotification: {error["message"]}

Order:         unknown
Charge:        unknown
Notification:  n-1
Function:      delayednotify, branch dev

Lambda tries again after about one minute and, if need be, two minutes later; the sweep looks for what was
saved and did not move on. What fails in all tries is kept in the function's OnFailure queue.
Further failures are counted in the error log, table {table}, errorId {error["errorId"]}
"""
    assert text(mail) == told
    assert mail["Message"]["Subject"]["Data"] == "[payment3 dev] delayednotify failed for order unknown"


def test_mail_may_hold_any_letters(world: World) -> None:
    """An order id of the shop's in Thai arrives as it is; a long one is cut in the subject only."""
    order = "ใบสั่ง" * 40
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44", orderId=order)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver(sample("browser-return"))
    message = world.mails()[0]["Message"]
    assert (message["Subject"]["Charset"], message["Body"]["Text"]["Charset"]) == ("UTF-8", "UTF-8")
    assert len(message["Subject"]["Data"]) == 200
    assert f"Order:         {order}\n" in message["Body"]["Text"]["Data"]


def mail_of_a_failed(world: World, order: str) -> str:
    """Let an order's notification have its last attempt, and return the mail about it."""
    world.cold_start(MAX_ATTEMPTS="1")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    event = sample("authorized")
    event["body"] = event["body"].replace(ORDER, order)
    with pytest.raises(PassFailed):
        world.deliver(event)
    return text(world.mails()[0])


def test_mail_about_a_failed_notification_gives_a_command_that_is_safe_to_paste(world: World) -> None:
    """The order id is the bank's or the shop's text: it is quoted for the shell."""
    told = mail_of_a_failed(world, "O$(reboot)'1")
    assert "replay --stack payment3-follow-up-dev -- 'O$(reboot)'\"'\"'1'\n\nFurther failures" in told


def test_mail_with_braces_in_its_fields_is_sent_as_it_is(world: World) -> None:
    """An order id that looks like a template is only text."""
    assert "Order:         {branch}{0}" in mail_of_a_failed(world, "{branch}{0}")
