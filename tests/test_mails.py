"""What an error mail says, to whom it is of use, and that none is lost silently when they are many."""

import json
import re
import shlex
from datetime import timedelta
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from callback.clock import stamp
from callback.errors import FollowUpError, PassFailed, SweepIncomplete
from callback.mail_limit import MAILS_AN_HOUR
from local.emulator import ROOT
from tests.cloud import Died
from tests.mails import SAMPLES, refused, summary
from tests.wire import Call, refuse
from tests.world import ORDER, World, sample

FORM_CHARGE = "chrg_test_22500005aa11bb22cc33dd44"
CARD = "4111111111111111"


def text(mail: dict[str, Any]) -> str:
    """What a mail says."""
    told: str = mail["Message"]["Body"]["Text"]["Data"]
    return told


def html(mail: dict[str, Any]) -> str:
    """What a mail program shows."""
    told: str = mail["Message"]["Body"]["Html"]["Data"]
    return told


def words(shown: str) -> list[str]:
    """The words of an HTML page, which must be well-formed."""
    return " ".join(ET.fromstring(shown).itertext()).split()  # noqa: S314 - it is our own


def commands(mail: dict[str, Any]) -> list[list[str]]:
    """The commands of a mail, as a shell reads them."""
    return [shlex.split(line) for line in re.findall(r"^    (followups .*)$", text(mail), re.MULTILINE)]


def test_an_outage_sends_a_set_number_of_mails_an_hour(world: World) -> None:
    """Hundreds of failing notifications fill no mailbox; each still has its row in the error log."""
    for number in range(MAILS_AN_HOUR + 5):
        refused(world, number)
    assert len(world.mails()) == MAILS_AN_HOUR
    assert len(world.errors()) == MAILS_AN_HOUR + 5
    assert len(world.log("held back")) == 5
    assert [line["MailsHeld"] for line in world.metrics("MailsHeld")] == [1] * 5


def test_next_hours_first_mail_counts_and_names_what_was_held_back(world: World) -> None:
    """None is lost silently: the next mail says which were not sent, once."""
    for number in range(MAILS_AN_HOUR + 2):
        refused(world, number)
    world.wait(3600)
    refused(world, 100)
    refused(world, 101)
    told, plain = map(text, world.mails()[-2:])
    names = [f"notification n-{number}: InvalidNotification in delayednotify\n" for number in (20, 21)]
    assert told.endswith("\nHeld back before this one: 2 error mails\n" + "".join(names))
    assert "eld back" not in plain


def test_mail_that_could_not_tell_leaves_it_to_the_next(world: World) -> None:
    """What was held back is forgotten only when a mail has told it: one that SES refuses has told nothing."""
    world.held_back(3)
    world.wire.before["ses.SendEmail"] = refuse("Throttling")
    refused(world, 1)
    refused(world, 2)
    refused(world, 3)
    _, told, plain = map(text, world.mails())
    assert "3 error mails" in told
    assert "eld back" not in plain


def test_mail_held_back_while_another_tells_is_told_too(world: World) -> None:
    """A count that has grown meanwhile is not forgotten: all is told again, rather than one never."""
    world.held_back(3)

    def meanwhile(_call: Call) -> None:
        world.wire.before.clear()
        with world.wire.aside():
            key, values = {"errorId": "mail-limit"}, {":one": 1}
            world.table("CALLBACK_ERROR_LOG_TABLE").update_item(
                Key=key, UpdateExpression="ADD held :one", ExpressionAttributeValues=values
            )

    world.wire.before["ses.SendEmail"] = meanwhile
    refused(world, 1)
    refused(world, 2)
    refused(world, 3)
    first, second, third = map(text, world.mails())
    assert "3 error mails" in first
    assert "4 error mails" in second
    assert "eld back" not in third


def test_held_back_notification_is_mailed_when_it_fails_again(world: World) -> None:
    """Held back is not forgotten: a later failure of the same notification is mailed if there is room by then."""
    for number in range(MAILS_AN_HOUR + 1):
        refused(world, number)
    world.wait(3600)
    refused(world, MAILS_AN_HOUR)
    assert f"n-{MAILS_AN_HOUR}" in text(world.mails()[-1])


def test_hours_do_not_add_up(world: World) -> None:
    """Each hour has its whole number, whether or not the one before used its own."""
    refused(world, 0)
    world.wait(3600)
    for number in range(1, MAILS_AN_HOUR + 2):
        refused(world, number)
    assert len(world.mails()) == 1 + MAILS_AN_HOUR


def test_two_first_mails_of_an_hour_are_two(world: World) -> None:
    """Functions that fail at the same time each take one of the hour's mails."""
    refused(world, 0)
    world.wait(3600)

    def another(call: Call) -> None:
        if "SET #hour" in call.request["UpdateExpression"]:
            world.wire.before.clear()
            refused(world, 1)

    world.wire.before["dynamodb.UpdateItem"] = another
    refused(world, 2)
    assert world.mail_limit()["sent"] == 2
    assert len(world.mails()) == 3


def test_unreachable_limit_lets_one_mail_an_hour_through(world: World) -> None:
    """With the error log down nobody can count: each warm function mails once an hour, not once a failure."""
    world.cold_start(CALLBACK_ERROR_LOG_TABLE="no-such-table")
    for number in range(3):
        refused(world, number)
    assert len(world.mails()) == 1
    world.wait(3600)
    refused(world, 4)
    assert len(world.mails()) == 2
    assert not any("held back" in text(mail) for mail in world.mails())


def test_unreachable_limit_is_no_second_error(world: World) -> None:
    """Botocore's own errors count as "nobody can count", too."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="a test")

    world.wire.before["dynamodb.UpdateItem"] = unreachable
    refused(world, 1)
    assert len(world.mails()) == 1


# --- what was held back, and no later mail tells ---


def test_sweep_tells_what_no_later_mail_told_and_only_once(world: World) -> None:
    """After the night's last failures nobody mails any more: the sweep does, when their hour has ended."""
    for number in range(MAILS_AN_HOUR + 5):
        refused(world, number)
    world.sweep()
    assert len(world.mails()) == MAILS_AN_HOUR
    world.wait(3600)
    for _ in range(3):
        world.sweep()
    [told] = world.mails()[MAILS_AN_HOUR:]
    assert told["Message"]["Subject"]["Data"] == "[payment3 dev] 5 error mails were held back"


def test_sweep_is_silent_when_a_mail_has_told_it(world: World) -> None:
    """One telling is enough."""
    world.held_back(3)
    refused(world, 1)
    world.sweep()
    world.wait(3600)
    world.sweep()
    assert len(world.mails()) == 1


def test_summary_names_the_first_20(world: World) -> None:
    """The row that counts stays small, however many are held back; the rest is a number."""
    for number in range(MAILS_AN_HOUR + 25):
        refused(world, number)
    assert len(world.mail_limit()["first"]) == 20
    world.wait(3600)
    world.sweep()
    told = text(world.mails()[-1])
    assert re.findall(r"^notification n-(\d+): InvalidNotification", told, re.MULTILINE) == [
        str(number) for number in range(20, 40)
    ]
    assert "\nand 5 more\n" in told


def test_summary_of_20_names_them_all(world: World) -> None:
    """No "and 0 more"."""
    for number in range(MAILS_AN_HOUR + 20):
        refused(world, number)
    world.wait(3600)
    world.sweep()
    assert "more\n" not in text(world.mails()[-1])


def test_summary_counts_anew_after_it_was_told(world: World) -> None:
    """The next bad hour is told by itself: its own number, names and beginning."""
    summary(world)
    for number in range(100, 100 + MAILS_AN_HOUR + 1):
        refused(world, number)
    world.wait(3600)
    world.sweep()
    told = text(world.mails()[-1])
    assert "Held back: 1 error mails\nnotification n-120: " in told
    assert "held back from 2026-11-22 10:30:17 UTC on" in told


def test_sweep_that_dies_after_telling_tells_again(world: World) -> None:
    """Told first, forgotten then: a death in between makes a second summary, and never none."""
    world.held_back(3)
    world.wire.before["dynamodb.UpdateItem"] = _dies
    with pytest.raises(Died):
        world.sweep()
    world.wire.before.clear()
    for _ in range(3):
        world.sweep()
    assert len(world.mails()) == 2


def test_two_sweeps_at_once_tell_it_both_at_most(world: World) -> None:
    """Neither waits for the other, and after them nobody tells it again."""
    world.held_back(3)

    def another(_call: Call) -> None:
        world.wire.after.clear()
        world.sweep()

    world.wire.after["dynamodb.GetItem"] = another
    world.sweep()
    world.sweep()
    assert len(world.mails()) == 2


def test_late_sweep_forgets_nothing_that_came_after_it_looked(world: World) -> None:
    """Another tells what it saw, and as much again is held back, before it writes: that is still told."""
    world.held_back(1)

    def meanwhile(_call: Call) -> None:
        world.wire.before.clear()
        for number in range(MAILS_AN_HOUR + 1):
            refused(world, number)

    world.wire.before["ses.SendEmail"] = meanwhile
    world.sweep()
    world.wait(3600)
    world.sweep()
    assert "1 error mails were held back" in world.mails()[-1]["Message"]["Subject"]["Data"]
    assert f"notification n-{MAILS_AN_HOUR}: " in text(world.mails()[-1])


@pytest.mark.parametrize("down", ["dynamodb.GetItem", "ses.SendEmail"])
def test_sweep_does_its_work_whatever_becomes_of_the_summary(world: World, down: str) -> None:
    """Error log or SES down: what is overdue is handed over all the same, and the next sweep tells what was held."""
    world.deliver()
    world.wait(600)
    world.held_back(3)
    works = world.wire.answers["lambda.Invoke"]
    world.wire.answers["lambda.Invoke"] = lambda _call: {"StatusCode": 202}
    world.wire.before[down] = refuse("InternalServerError")
    assert world.sweep()["handedOver"] == 1
    assert world.log("the summary of held mails failed too")[0]["errorType"] in {"ClientError", "InternalServerError"}
    assert world.sweep()["handedOver"] == 1
    world.wire.answers["lambda.Invoke"] = works
    assert "3 error mails" in text(world.mails()[-1])


def test_failing_summary_hides_no_error_of_the_sweep(world: World) -> None:
    """A shard that cannot be read still fails the sweep; and a sweep that fails still tells what was held."""
    world.held_back(3)
    for down in ({"dynamodb.GetItem": refuse("InternalServerError")}, {}):
        world.wire.before |= {"dynamodb.Query": refuse("InternalServerError")} | down
        with pytest.raises(SweepIncomplete):
            world.sweep()
    assert "3 error mails" in " ".join(map(text, world.mails()))


def test_sweep_before_any_mail_misses_nothing(world: World) -> None:
    """A new stack has no row that counts mails: its sweep neither mails nor complains."""
    world.sweep()
    assert world.mails() == []
    assert world.log("failed too") == []


def test_looking_costs_a_sweep_one_read(world: World) -> None:
    """Nothing held back: one consistent read of a row below 4 KB (one read unit), no write and no mail."""
    refused(world, 1)
    world.wait(3600)
    before = len(world.wire.calls)
    world.sweep()
    beside = [call for call in world.wire.calls[before:] if call.name != "dynamodb.Query"]
    assert [call.name for call in beside] == ["dynamodb.GetItem"]
    assert beside[0].request["ConsistentRead"] is True


def _dies(_call: Call) -> None:
    raise Died


# --- what a mail says ---

RETRIED = """[payment3 dev] order ORDER-1001: pass 2 failed, will be tried again

Nothing to do yet: it is tried again by itself.

What happened: PassFailed: pass 2: ProcessPaidOrder could not be invoked: An error occurred \
(TooManyRequestsException) when calling the Invoke operation: TooManyRequestsException for a test
By itself: Lambda tries again in about 1 minute, and once more about 2 minutes later. What fails all three times is \
kept in the failure queue of recheck; what is saved, the sweep takes up every 5 minutes, up to attempt 30 of a pass.

To look:

    followups show ORDER-1001 --stack payment3-follow-up-dev

To send it back, should it end in the queue:

    followups dead-letters redrive --stack payment3-follow-up-dev

Order: ORDER-1001
Notification: 08a997fd-fa27-5a9f-997e-9d94c1e742f8
Charge: chrg_test_22500001aa11bb22cc33dd44
Pass: 2
Attempt: 1 of 30
Function: recheck, branch dev
Seen: once, at 2026-11-22 09:31:32 UTC
Error log: table payment3-callback-error-log-dev, errorId ERROR_ID
"""
FAILED = """[payment3 dev] order ORDER-1001: FAILED, waits for you (pass 1 was given up)

It waits for you: mend the cause, then replay it.

What happened: AttemptsExhausted: pass 1 is given up after its last allowed attempt: pass 1: ProcessPaidOrder failed \
(Unhandled)
Answer: {"errorType": "OutOfStock", "errorMessage": "no stock of SKU-17"}
By itself: nothing tries again: the notification is FAILED.

To look:

    followups show ORDER-1001 --stack payment3-follow-up-dev

To repair, once the cause is mended:

    followups replay ORDER-1001 --stack payment3-follow-up-dev

Order: ORDER-1001
Notification: 08a997fd-fa27-5a9f-997e-9d94c1e742f8
Charge: chrg_test_22500001aa11bb22cc33dd44
Pass: 1
Attempt: 1 of 1
Function: delayednotify, branch dev
Seen: once, at 2026-11-22 09:30:17 UTC
Error log: table payment3-callback-error-log-dev, errorId ERROR_ID
"""
UNSETTLED = """[payment3 dev] order ORDER-1001: FAILED, waits for you (not settled after pass 2)

It waits for you: mend the cause, then replay it.

What happened: OrderUnsettled: unsettled: after pass 2, the last of the plan, the order's status is PENDING_PAYMENT
By itself: nothing tries again: the notification is FAILED.

To look:

    followups show ORDER-1001 --stack payment3-follow-up-dev

To repair, once the cause is mended:

    followups replay ORDER-1001 --stack payment3-follow-up-dev

Order: ORDER-1001
Notification: 08a997fd-fa27-5a9f-997e-9d94c1e742f8
Charge: chrg_test_22500001aa11bb22cc33dd44
Pass: 2
Attempt: 1 of 30
Function: recheck, branch dev
Seen: once, at 2026-11-22 09:31:32 UTC
Error log: table payment3-callback-error-log-dev, errorId ERROR_ID
"""
HOPELESS = """[payment3 dev] order ORDER-1001: delayednotify refused its event, no retry will help

It waits for you: no retry can help. Mend the cause, then send it back.

What happened: InvalidNotification: object: expected 'charge'
By itself: nothing that helps: Lambda's two retries will meet the same. From then on it lies in the failure queue of \
delayednotify, for 14 days.

To look:

    followups show ORDER-1001 --stack payment3-follow-up-dev

To send it back, once the cause is mended:

    followups dead-letters redrive --stack payment3-follow-up-dev

Order: ORDER-1001
Notification: 08a997fd-fa27-5a9f-997e-9d94c1e742f8
Charge: chrg_test_22500001aa11bb22cc33dd44
Function: delayednotify, branch dev
Seen: once, at 2026-11-22 09:30:17 UTC
Error log: table payment3-callback-error-log-dev, errorId ERROR_ID
"""
SUMMARY = f"""[payment3 dev] 25 error mails were held back

Look at what failed: 25 error mails were held back.

What happened: more than 20 were due in an hour; held back from 2026-11-22 09:30:17 UTC on

To see what is FAILED:

    followups list --state failed --since 2026-11-22T09:00Z --stack payment3-follow-up-dev

To see what lies in the failure queues:

    followups dead-letters list --stack payment3-follow-up-dev

Held back: 25 error mails
{"".join(f"notification n-{number}: InvalidNotification in delayednotify{chr(10)}" for number in range(20, 40))}\
and 5 more
Error log: table payment3-callback-error-log-dev has a row for each
"""
EXPECTED = {"retried": RETRIED, "failed": FAILED, "unsettled": UNSETTLED, "hopeless": HOPELESS, "summary": SUMMARY}


@pytest.mark.parametrize("kind", SAMPLES)
def test_mail_of_each_kind_reads_like_this(world: World, kind: str) -> None:
    """The whole mail: the first line says what to do, and the commands stand before the details."""
    SAMPLES[kind](world)
    mail, ids = world.mails()[-1], {row["errorId"] for row in world.errors()}
    told = re.sub(r"errorId (\w+)", lambda found: "errorId ERROR_ID" if found[1] in ids else found[0], text(mail))
    assert f"{mail['Message']['Subject']['Data']}\n\n{told}" == EXPECTED[kind]


def test_readme_shows_a_mail_as_it_is() -> None:
    """The sample there is the beginning of one that is sent."""
    beginning, _, _ = FAILED.partition("Notification: ")
    assert f"```\n{beginning}…\n```" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("kind", SAMPLES)
def test_html_says_what_the_text_says(world: World, kind: str) -> None:
    """Word for word, so that who sees only one of them misses nothing."""
    SAMPLES[kind](world)
    mail = world.mails()[-1]
    assert words(html(mail)) == text(mail).split()


def test_html_boxes_the_commands_and_breaks_the_lines(world: World) -> None:
    """Each command stands apart, to be copied; what was held back is a list there, too."""
    summary(world)
    mail = world.mails()[-1]
    boxes = re.findall(r"<pre[^>]*>(.*?)</pre>", html(mail), re.DOTALL)
    assert [shlex.split(unescape(box)) for box in boxes] == commands(mail)
    [held] = re.findall(r"Held back:</b> (.*?)</p>", html(mail))
    assert held.split("<br/>") == SUMMARY.partition("Held back: ")[2].split("\n")[:22]


@pytest.mark.parametrize("kind", SAMPLES)
def test_html_brings_nothing_from_elsewhere_and_no_colours_of_letters(world: World, kind: str) -> None:
    """No script, image, link or style sheet; dark or light is the mail program's own, which it is asked to bring."""
    SAMPLES[kind](world)
    page = html(world.mails()[-1])
    assert re.findall(r"<(?:script|style|img|a|link|iframe)\b|https?:|src=|href=|url\(|[;\"]color:", page) == []
    assert '<meta name="color-scheme" content="light dark"/>' in page


@pytest.mark.parametrize("kind", SAMPLES)
def test_colour_tells_what_waits_for_a_person(world: World, kind: str) -> None:
    """Red where nothing goes on by itself, else amber."""
    SAMPLES[kind](world)
    colour = "#d1242f" if kind in {"failed", "unsettled", "hopeless"} else "#bf8700"
    assert f"border-left:5px solid {colour}" in html(world.mails()[-1])


def with_order(world: World, order: str) -> dict[str, Any]:
    """Let an order's notification have its last attempt, and return the mail about it."""
    world.cold_start(MAX_ATTEMPTS="1")
    world.pay(chargeId=FORM_CHARGE, orderId=order)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(PassFailed):
        world.deliver(sample("browser-return"))
    return world.mails()[0]


@pytest.mark.parametrize(
    "order",
    [
        "O$(reboot)'1",
        '<img src=x onerror=alert(1)>&amp;"',
        "{branch}{0}",
        "`id` \\",
        "ใบสั่ง-1",
        "; rm /",
        "--help",
        "-x y",
    ],
)
def test_order_id_of_any_form_is_shown_as_it_is_and_safe_to_paste(world: World, order: str) -> None:
    """It is the bank's or the shop's text: escaped in HTML, quoted for the shell, and no option of the command."""
    mail = with_order(world, order)
    assert f"\nOrder: {order}\n" in text(mail)
    assert words(html(mail)) == text(mail).split()
    assert "<img" not in html(mail)
    stack = ["--stack", "payment3-follow-up-dev"]
    told = [*stack, "--", order] if order.startswith("-") else [order, *stack]
    assert commands(mail) == [["followups", "show", *told], ["followups", "replay", *told]]


@pytest.mark.parametrize(
    ("order", "mended"),
    [
        ("O\n\nTo look:\n\n    followups rm", "O To look: followups rm"),
        ("O\x1b[2J", "O [2J"),
        ("O\u202e1", "O 1"),
        (f"card {CARD}", "card [redacted]"),
        (" O", "O"),
    ],
    ids=ascii,
)
def test_order_id_that_cannot_be_shown_is_mended_and_not_asked_for(world: World, order: str, mended: str) -> None:
    """No line of its own, no terminal's code and no card number; the commands name the notification instead."""
    mail = with_order(world, order)
    assert f"\nOrder: {mended}\n" in text(mail)
    look, repair = commands(mail)
    assert look[1:3] == ["show", world.record()["notificationId"]]
    assert repair[1:5] == ["replay", "--state", "failed", "--dry-run"]  # it takes an order, or what failed
    assert all(letter.isprintable() or letter == "\n" for letter in text(mail))
    assert CARD not in str(mail)
    assert "\nTo look:\n\n    followups show" in text(mail)


def test_error_without_any_id_leads_to_the_queue(world: World) -> None:
    """An event that shows nothing is looked for among the dead letters."""
    with pytest.raises(FollowUpError):
        world.deliver([1])
    [mail] = world.mails()
    stack = ["--stack", "payment3-follow-up-dev"]
    assert commands(mail) == [
        ["followups", "dead-letters", "list", *stack],
        ["followups", "dead-letters", "redrive", *stack],
    ]
    assert mail["Message"]["Subject"]["Data"].startswith("[payment3 dev] order unknown: delayednotify refused")


def test_failed_notification_whose_ids_are_masked_leads_to_the_list(world: World) -> None:
    """Ids that look like card numbers are shown nowhere; the list of what is FAILED has them."""
    row = {
        "chargeId": CARD,
        "notificationId": CARD,
        "sweepShard": 1,
        "nextPassDue": stamp(world.now - timedelta(days=1)),
    }
    world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    world.sweep()
    [mail] = world.mails()
    failed, stack = ["--state", "failed"], ["--stack", "payment3-follow-up-dev"]
    look, repair = commands(mail)
    assert look == ["followups", "list", *failed, *stack]
    assert repair == ["followups", "replay", *failed, "--dry-run", *stack]
    assert CARD not in str(mail)
    assert "FAILED, waits for you (its record cannot be read)" in mail["Message"]["Subject"]["Data"]


def test_long_order_id_is_cut_in_the_subject_alone(world: World) -> None:
    """What happened and what to do still stand in the subject."""
    order = "ใบสั่ง" * 40
    message = with_order(world, order)["Message"]
    assert (
        message["Subject"]["Data"] == f"[payment3 dev] order {order[:60]}: FAILED, waits for you (pass 1 was given up)"
    )
    assert f"Order: {order}\n" in message["Body"]["Text"]["Data"]
    assert {message["Subject"]["Charset"], *(part["Charset"] for part in message["Body"].values())} == {"UTF-8"}


def test_mail_about_what_has_failed_before_says_how_often(world: World) -> None:
    """The first mail was held back or refused: the next one tells since when."""
    world.wire.before |= {"lambda.Invoke": refuse("TooManyRequestsException", 2), "ses.SendEmail": refuse("Throttling")}
    for _ in range(2):
        with pytest.raises(PassFailed):
            world.deliver()
        world.wait(60)
    told = text(world.mails()[-1])
    assert "\nSeen: 2 times from 2026-11-22 09:30:17 UTC to 2026-11-22 09:31:17 UTC\n" in told
    assert "\nAttempt: 2 of 30\n" in told


def test_mail_says_that_the_error_log_could_not_be_written(world: World) -> None:
    """Who looks for the row there would find none."""
    world.cold_start(CALLBACK_ERROR_LOG_TABLE="no-such-table")
    refused(world, 1)
    assert "\nSeen: now; the error log could not be written\n" in text(world.mails()[0])


def test_given_up_by_the_sweep_names_the_pass(world: World) -> None:
    """Nobody reported the attempt that died; the sweep knows which pass it was of."""
    world.deliver()
    world.cold_start(MAX_ATTEMPTS="1")
    row = world.record() | {"attempts": 2, "nextPassDue": stamp(world.now - timedelta(days=1))}
    world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    world.sweep()
    [mail] = world.mails()
    assert (
        mail["Message"]["Subject"]["Data"]
        == f"[payment3 dev] order {ORDER}: FAILED, waits for you (pass 2 was given up)"
    )
    assert "\nPass: 2\nFunction: sweep" in text(mail)


@pytest.mark.parametrize(
    ("happened", "says"),
    [
        ("conflict", "one notification id, two bodies, no retry will help"),
        ("not found", "a timer without its notification, no retry will help"),
        ("refused timer", "recheck refused its event, no retry will help"),
        ("checksum", "its checksum is refused, no retry will help"),
        ("secret", "its checksum is refused, will be tried again"),
        ("early", "pass 2 is not due yet, will be tried again"),
        ("claimed", "pass 2 is claimed by another, will be tried again"),
        ("schedule", "a timer could not be armed, will be tried again"),
        ("foreign", "delayednotify failed, will be tried again"),
    ],
)
def test_subject_says_in_words_what_happened_and_whether_a_retry_helps(world: World, happened: str, says: str) -> None:
    """The tree of errors.py, as the people on call read it."""
    with pytest.raises((FollowUpError, ClientError)):
        _let(world, happened)
    assert world.mails()[0]["Message"]["Subject"]["Data"].endswith(f": {says}")


def _let(world: World, happened: str) -> None:
    event = sample("authorized")
    match happened:
        case "conflict":
            world.deliver()
            world.deliver(event | {"body": event["body"] + " "})
        case "not found":
            world.recheck()
        case "refused timer":
            world.recheck(version=2)
        case "checksum" | "secret":
            world.cold_start(CHECKSUM_POLICY="reject")
            if happened == "secret":
                world.wire.before["secretsmanager.GetSecretValue"] = refuse("InternalServiceError")
            else:
                event["body"] = json.dumps(json.loads(event["body"]) | {"checksum": "forged"})
            world.deliver(event)
        case "early" | "claimed":
            world.deliver()
            if happened == "claimed":
                world.wait(75)
                row = world.record() | {"leaseUntil": stamp(world.now + timedelta(seconds=30)), "claimId": "another"}
                world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
            world.recheck()
        case _:
            calls = {"schedule": "scheduler.CreateSchedule", "foreign": "dynamodb.PutItem"}
            world.wire.before[calls[happened]] = refuse("InternalServerError")
            world.deliver()
