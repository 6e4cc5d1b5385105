"""What an error mail says, and that nothing a stranger sends keeps one about a proved payment from being sent."""

import json
import re
import shlex
from typing import Any

import click
import pytest

from callback.errors import FollowUpError, PassFailed
from callback.report import MAILS_AN_HOUR
from followups.cli import cli
from local.emulator import ROOT
from tests.functions.test_notification import event, message, signed
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World
from tests.support.mails import SAMPLES, as_text, contradicted, failed, refused, retried
from tests.support.recorded_calls import refuse

CARD = "4111111111111111"
STACK = ["--stack", "payment3-follow-up-dev"]


def subjects(world: World) -> list[str]:
    """The subjects of all mails."""
    return [mail["Message"]["Subject"]["Data"] for mail in world.mails()]


def commands(world: World) -> list[list[str]]:
    """The commands of the last mail, as a shell reads them."""
    return [shlex.split(line) for line in re.findall(r"^    (\S.*)$", as_text(world), re.MULTILINE)]


def about(request_id: str, **changes: object) -> dict[str, Any]:
    """A changed message, signed, as a notification of its own."""
    return event(signed(**changes), requestContext={"requestId": request_id})


# --- what a mail says ---

_ABOUT = f"""Order: {ORDER}
Notification: {NOTIFICATION}
Charge: {CHARGE}
"""
EXPECTED = {
    "retried": f"""[payment3 dev] order {ORDER}: PassFailed, tried again

Nothing to do: it is tried again. To look at it:

    followups show --stack payment3-follow-up-dev -- {ORDER}

What happened: PassFailed: pass 2: ProcessPaidOrder could not be invoked: An error occurred \
(TooManyRequestsException) when calling the Invoke operation: TooManyRequestsException for a test
{_ABOUT}Checksum: valid
Function: recheck
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-22 09:31:32 UTC
""",
    "failed": f"""[payment3 dev] order {ORDER}: GaveUp, FAILED

Nothing tries again. Remove the cause, then run:

    followups replay --stack payment3-follow-up-dev -- {ORDER}

What happened: GaveUp: pass 1: given up after pass 1: ProcessPaidOrder failed (Unhandled)
{_ABOUT}Answer: {{"errorType": "OutOfStock", "errorMessage": "no stock of SKU-17"}}
Checksum: valid
Function: recheck
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-25 09:30:17 UTC
""",
    "unsettled": f"""[payment3 dev] order {ORDER}: OrderUnsettled, FAILED

Nothing tries again. Remove the cause, then run:

    followups replay --stack payment3-follow-up-dev -- {ORDER}

What happened: OrderUnsettled: pass 2: the plan is over, and the order's status is PENDING_PAYMENT
{_ABOUT}Checksum: valid
Function: recheck
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-22 09:31:32 UTC
""",
    "unsaved": f"""[payment3 dev] order {ORDER}: RetriesExhausted, FAILED

The failure queue keeps it. Remove the cause, then run:

    followups dead-letters redrive --stack payment3-follow-up-dev

What happened: RetriesExhausted: not saved within 72 hours: An error occurred (InternalServerError) when calling the \
PutItem operation: InternalServerError for a test
{_ABOUT}Checksum: valid
Function: retry
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-22 09:30:17 UTC
""",
    "contradicted": f"""[payment3 dev] order ORDER-OF-THE-SHOP: OrderContradicted, contradicted

The payment record's order was processed. Look at it:

    followups show --stack payment3-follow-up-dev -- ORDER-OF-THE-SHOP

What happened: OrderContradicted: notification and payment record differ in orderId
{_ABOUT.replace(ORDER, "ORDER-OF-THE-SHOP")}Checksum: valid
Function: delayednotify
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-22 09:30:17 UTC
""",
    "refused": """[payment3 dev] notification n-0: InvalidNotification, refused

No retry helps. Look at what was refused:

    followups dead-letters list --stack payment3-follow-up-dev

What happened: InvalidNotification: body: expected a JSON object, or a form that says so
Notification: n-0
Checksum: unknown
Function: delayednotify
Error log: errorId ERROR_ID
Seen: 1 times since 2026-11-22 09:30:17 UTC
""",
}
EXPECTED["last_of_the_hour"] = f"""{EXPECTED["refused"].replace("n-0", "n-2")}
This is the last such mail this hour. To see the others:

    followups dead-letters list --stack payment3-follow-up-dev
"""


@pytest.mark.parametrize("kind", SAMPLES)
def test_mail_of_each_kind_reads_like_this(world: World, kind: str) -> None:
    """The whole mail, plain text: what to do comes first, and its command is one that `followups` knows."""
    SAMPLES[kind](world)
    text, ids = as_text(world), {row["errorId"] for row in world.errors()}
    assert re.sub(r"errorId (\w+)", lambda m: "errorId ERROR_ID" if m[1] in ids else m[0], text) == EXPECTED[kind]
    mail = world.mails()[-1]
    assert (mail["Source"], *mail["Destination"]["ToAddresses"]) == ("payment3@local.example", "on-call@local.example")
    assert set(mail["Message"]["Body"]) == {"Text"}
    assert {mail["Message"]["Subject"]["Charset"], mail["Message"]["Body"]["Text"]["Charset"]} == {"UTF-8"}
    for name, *words in commands(world):
        assert name == "followups"
        _parse(cli, words)


def _parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    only_names = isinstance(command, click.Group)
    context = command.make_context(command.name, words, parent=parent, resilient_parsing=only_names)
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, words)
        assert found, words
        _parse(found, rest, context)


def test_every_list_that_a_last_mail_names_is_one_that_followups_knows(world: World) -> None:
    """Each kind's last mail of the hour says where the others are."""
    for kind, happens in (("failed", failed), ("contradicted", contradicted), ("retried", retried)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(MAILS_AN_HOUR, kind, 1)
            world.empty()
            happens(world)
        _, (_, *words) = commands(world)
        assert words == ["list", *(["--state", "failed"] if kind == "failed" else []), *STACK]
        _parse(cli, words)


def test_mail_in_a_document_is_one_that_is_sent() -> None:
    """Or its beginning."""
    text = "".join(file.read_text() for file in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")))
    for shown in re.findall(r"^```\n(\[payment3 .*?)…?\n```$", text, re.MULTILINE | re.DOTALL):
        assert any(mail.startswith(shown.rstrip()) for mail in EXPECTED.values()), shown


@pytest.mark.parametrize(
    "order",
    ["O$(reboot)'1", '<img src=x onerror=alert(1)>&amp;"', "`id` \\", "ใบสั่ง-1", "; rm /", "--help", "-x y", "a.1"],
)
def test_order_id_of_any_form_is_safe_to_paste(world: World, order: str) -> None:
    """It is the bank's or the shop's text: quoted for the shell, and no option of the command."""
    failed(world, about("n-1", reference_order=order))
    assert f"\nOrder: {order}\n" in as_text(world)
    assert commands(world) == [["followups", "replay", *STACK, "--", order]]


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        ("O\u202e1", "O 1"),
        ("O\u2028\u20281", None),
        (f"x{CARD}", "x[redacted]"),
        ("https://evil.example/x", "https: //evil. example/x"),
        ("see www.evil.example", "see www. evil. example"),
        ("O" * 300, "O" * 60),
        ("ใบสั่ง" * 40, ("ใบสั่ง" * 10)[:60]),
        ("O\u200b  1", "O 1"),
    ],
    ids=ascii,
)
def test_strangers_text_is_one_short_line_without_links(world: World, order: str, shown: str | None) -> None:
    """Cut to 60 letters in subject and text; the command names the notification instead of what nobody can paste."""
    failed(world, about("n-1", reference_order=order) | ({} if shown else {"body": json.dumps(signed())}))
    subject, text = subjects(world)[-1], as_text(world)
    assert subject == f"[payment3 dev] order {shown or ORDER}: GaveUp, FAILED"
    assert f"\nOrder: {shown or ORDER}\n" in text
    assert commands(world) == [["followups", "replay", *STACK, "--", "n-1" if shown else ORDER]]
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert not re.search(r"://|\.example|4111", text)


def test_error_without_an_id_to_name_leads_to_the_list(world: World) -> None:
    """What failed before it was parsed, or whose every id is masked, is found there."""
    world.wire.before["dynamodb.GetItem"] = refuse("InternalServerError")
    with pytest.raises(FollowUpError):
        world.deliver(about(f"n{CARD}", id=f"c{CARD}", reference_order=...))
    assert commands(world) == [["followups", "list", *STACK]]
    assert CARD not in str(world.mails())
    with pytest.raises(FollowUpError):
        world.deliver([1])
    assert subjects(world)[-1] == "[payment3 dev] order unknown: InvalidNotification, refused"


# --- how many ---


@pytest.mark.parametrize(("kind", "errors"), [("refused", "InvalidNotification"), ("retried", "PassFailed")])
def test_each_kind_has_its_number_an_hour_and_nothing_is_remembered(world: World, kind: str, errors: str) -> None:
    """The last says where the others are; each error has its row; the next hour begins anew, without a summary."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=99)

    def happens(number: int) -> None:
        body = "hello" if kind == "refused" else signed()
        with pytest.raises(FollowUpError):
            world.deliver(event(body, requestContext={"requestId": f"n-{number}"}))

    most = MAILS_AN_HOUR[kind]
    for number in range(most + 2):
        happens(number)
    lasts = ["last such mail" in mail["Message"]["Body"]["Text"]["Data"] for mail in world.mails()]
    assert lasts == [False] * (most - 1) + [True]
    assert [row["errorType"] for row in world.errors()] == [errors] * (most + 2)
    assert [line["MailsHeld"] for line in world.metrics("MailsHeld")] == [1, 1]
    world.wait(3600)
    happens(99)
    assert "n-99" in as_text(world)
    assert len(world.mails()) == most + 1
    world.sweep()
    assert len(world.mails()) == most + 1


def test_nonsense_never_crowds_out_a_paid_order_that_fails(world: World) -> None:
    """40 nonsense POSTs and 25 forged notifications that fail for good use up limits of their own."""
    for number in range(40):
        refused(world, number)
    forged = message(checksum="0" * 64)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=99)
    for number in range(25):
        with pytest.raises(PassFailed):
            world.deliver(event(forged, requestContext={"requestId": f"forged-{number}"}))
    world.wait(72 * 3600)
    for number in range(25):
        with pytest.raises(FollowUpError):
            world.recheck(1, notificationId=f"forged-{number}")
        refused(world, 100 + number)
    before = [subject for subject in subjects(world) if subject.endswith("GaveUp, FAILED")]
    assert len(before) == MAILS_AN_HOUR["failed"]
    world.wire.before.clear()
    failed(world, about("paid", reference_order="ORDER-PAID"))
    assert subjects(world)[-1] == "[payment3 dev] order ORDER-PAID: GaveUp, FAILED"
    assert "Checksum: valid" in as_text(world)


def test_contradictions_of_strangers_leave_room_for_the_banks_own(world: World) -> None:
    """Proved and unproved are counted apart, in each kind."""
    world.pay(orderId="ORDER-OF-THE-SHOP")
    for number in range(MAILS_AN_HOUR["contradicted"] + 2):
        world.deliver(event(message(checksum=...), requestContext={"requestId": f"forged-{number}"}))
    assert len(world.mails()) == MAILS_AN_HOUR["contradicted"]
    world.deliver()
    assert "Checksum: valid" in as_text(world)
    assert len(world.mails()) == MAILS_AN_HOUR["contradicted"] + 1
