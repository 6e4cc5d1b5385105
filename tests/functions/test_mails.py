"""What an error mail contains, and that nothing a stranger sends keeps back a mail about a proved payment."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from callback.errors import FollowUpError
from callback.report import MAILS_AN_HOUR
from followups.cli import cli
from local.emulator import ROOT
from tests.support.aws import World
from tests.support.documents import parse_command
from tests.support.mails import SAMPLES, as_text, failed
from tests.support.recorded_calls import payload, refuse
from tests.support.steps import event, fails, message, signed, subjects, throttle

CARD = "4111111111111111"
STACK = ["--stack", "payment3-follow-up-dev"]


def commands(world: World) -> list[list[str]]:
    """Return the commands of the last mail, as a shell reads them."""
    return [shlex.split(line) for line in re.findall(r"^    (\S.*)$", as_text(world), re.MULTILINE)]


# The whole mails.
_FILE = Path(__file__).with_name("mails.txt").read_text()
EXPECTED: dict[str, str] = dict(re.findall(r"^=== (\w+)\n(.*?)(?=^===|\Z)", _FILE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("kind", SAMPLES)
def test_mail_of_each_kind_reads_like_this(world: World, kind: str) -> None:
    """It is plain text as in mails.txt, begins with what to do, and its command is one that `followups` has."""
    SAMPLES[kind](world)
    assert as_text(world) == EXPECTED[kind]
    mail = world.mails()[-1]
    assert (mail["Source"], *mail["Destination"]["ToAddresses"]) == ("payment3@local.example", "on-call@local.example")
    subject, body = mail["Message"]["Subject"], mail["Message"]["Body"]
    assert (set(body), subject["Charset"], body["Text"]["Charset"]) == ({"Text"}, "UTF-8", "UTF-8")
    for name, *words in commands(world):
        assert name == "followups"
        parse_command(cli, words)


def test_last_mail_of_the_hour_names_a_list_that_followups_has(world: World) -> None:
    """Each kind's last mail says where the others are."""
    others = dict.fromkeys(("retried", "contradicted", "unsaved"), "list") | {"failed": "list --state failed"}
    for name, listed in (others | {"refused": "dead-letters list"}).items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(MAILS_AN_HOUR, name if name in MAILS_AN_HOUR else "failed", 1)
            world.empty()
            SAMPLES[name](world)
        _, (_, *words) = commands(world)
        assert words == [*listed.split(), *STACK]
        parse_command(cli, words)


def test_mail_in_a_document_is_one_that_is_sent() -> None:
    """Or the beginning of one."""
    text = "".join(file.read_text() for file in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")))
    for shown in re.findall(r"^```\n(\[payment3 .*?)…?\n```$", text, re.MULTILINE | re.DOTALL):
        assert any(mail.startswith(shown.rstrip()) for mail in EXPECTED.values()), shown


SAFE = ["O$(reboot)'1", '<img src=x onerror=alert(1)>&amp;"', "`id` \\", "ใบสั่ง-1", "; rm /", "--help", "-x y", "a.1"]
CHANGED = {"O\u202e1": "O 1", "O\u200b  1": "O 1", f"x{CARD}": "x[redacted]", "O" * 65: "O" * 60}
CHANGED |= {"https://evil.example/x": "https: //evil. example/x", "see www.evil.example": "see www. evil. example"}
CHANGED |= {"ใบสั่ง" * 40: ("ใบสั่ง" * 10)[:60]}
ORDERS = [(order, order[:60], order) for order in [*SAFE, "O" * 64]]
ORDERS += [(order, shown, "n-1") for order, shown in CHANGED.items()]


@pytest.mark.parametrize(("order", "shown", "pasted"), ORDERS, ids=ascii)
def test_order_of_any_letters_is_one_short_safe_line(world: World, order: str, shown: str, pasted: str) -> None:
    """No link, no option, 60 letters at most; if it cannot be pasted the command names the notification instead."""
    failed(world, event(signed(reference_order=order), "n-1"))
    subject, text = subjects(world)[-1], as_text(world)
    assert subject == f"[payment3 dev] order {shown}: GaveUp, FAILED"
    assert f"\nOrder: {shown}\n" in text
    assert commands(world) == [["followups", "replay", *STACK, "--", pasted]]
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert not re.search(r"://|\.example|4111", text)


def test_long_texts_are_cut(world: World) -> None:
    """Of the error and of the answer the mail shows 300 letters."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload("x" * 900, error="U" * 900)
    fails(FollowUpError, world.deliver)
    shown = dict(re.findall(r"^(What happened: PassFailed|Answer): (.*)$", as_text(world), re.MULTILINE))
    assert [len(text) for text in shown.values()] == [300, 300]


def test_error_without_an_id_to_name_leads_to_the_list(world: World) -> None:
    """An error from before the event was parsed, or one whose ids are all masked, is found there."""
    world.wire.before["dynamodb.GetItem"] = refuse("InternalServerError")
    fails(FollowUpError, world.deliver, event(signed(id=f"c{CARD}", reference_order=...), f"n{CARD}"))
    assert commands(world) == [["followups", "list", *STACK]]
    assert CARD not in str(world.mails())
    fails(FollowUpError, world.deliver, [1])
    assert subjects(world)[-1] == "[payment3 dev] order unknown: InvalidNotification, refused"


@pytest.mark.parametrize(("body", "error"), [("hello", "InvalidNotification"), (signed(), "PassFailed")])
def test_each_kind_has_its_number_of_mails_an_hour(world: World, body: Any, error: str) -> None:
    """Unproved payments have their own; each error has its row; the next hour begins anew, without a summary."""
    assert MAILS_AN_HOUR == {"failed": 20, "contradicted": 5, "refused": 3, "retried": 3}
    most = 3
    throttle(world, times=99)
    for number in range(most + 2):
        fails(FollowUpError, world.deliver, event(body, f"n-{number}"))
    lasts = ["last such mail" in mail["Message"]["Body"]["Text"]["Data"] for mail in world.mails()]
    assert lasts == [False] * (most - 1) + [True]
    assert [row["errorType"] for row in world.errors()] == [error] * (most + 2)
    assert [line["MailsHeld"] for line in world.metrics("MailsHeld")] == [1, 1]
    fails(FollowUpError, world.deliver, event(message(checksum=...), "n-unproved"))
    assert "Checksum: missing" in as_text(world)
    world.wait(3600)
    fails(FollowUpError, world.deliver, event(body, "n-99"))
    world.sweep()
    assert "n-99" in as_text(world)
    assert len(world.mails()) == most + 2
