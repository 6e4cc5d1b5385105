"""The checksum: what proves a notification, what does not, and what becomes of it."""

import hashlib
import hmac
import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import assume, given
from hypothesis import strategies as st

from callback.checksum import verify
from callback.errors import ChecksumRejected, UnverifiableRejected
from callback.notification import parse_notification
from local.stack import SECRET
from tests.functions.test_notification import FORM_CHARGE, event, message, signed
from tests.support.aws import CHARGE, ORDER, RETURN_URL, World, sample
from tests.support.recorded_calls import Call, refuse

KEYS = {"current": SECRET["secretKey"]}
AUTHORIZED = parse_notification(sample("authorized"))
RIGHT = str(AUTHORIZED.checksum)
PLAIN = f"{CHARGE}200.5000THBsuccessAuthorized"
ASK = "secretsmanager.GetSecretValue"


def sha256(text: str) -> str:
    """Hash a text as the bank does."""
    return hashlib.sha256(text.encode()).hexdigest()


def set_secret(world: World, text: str, **binary: bytes) -> None:
    """Store a secret's text, or what is none."""
    stored: Any = binary or {"SecretString": text}
    world.client("secretsmanager").put_secret_value(SecretId=world.environment["KBANK_SECRET_ID"], **stored)


def delivered(world: World, request_id: str, **changes: object) -> dict[str, Any]:
    """Deliver a changed message under an id of its own, and return its record."""
    world.deliver(event(message(**changes), requestContext={"requestId": request_id}))
    [row] = [row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["notificationId"] == request_id]
    return row


def test_published_vector_verifies() -> None:
    """The reference's own test vector: amount with four decimals, plain concatenation, lower-case hex."""
    right = "93bcaaca3ddcf836366511e5cba5816495660d584a7cd0f2bd48451744ba2d7d"
    vector = replace(AUTHORIZED, charge_id="charge-1", amount=Decimal("200.5"), checksum=right)
    assert verify(vector, {"current": "unit-test-secret-not-a-merchant-key"}).status == "valid"


def test_failed_charge_may_hash_with_or_without_its_failure_code() -> None:
    """The bank publishes neither form: either is accepted, and the verdict says which; a blank code adds no form."""
    text = f"{PLAIN}{SECRET['secretKey']}"
    assert verify(AUTHORIZED, {}).retryable  # without a key nothing is verifiable yet
    for code, hashed, form in (("do not honour", text, "plain"), (" ", text.replace("skey", " skey"), None)):
        verdict = verify(replace(AUTHORIZED, failure_code=code, checksum=sha256(hashed)), KEYS)
        assert (verdict.form, verdict.status == "valid") == (form, bool(form))
    verdict = verify(parse_notification(sample("declined")), KEYS)
    assert (verdict.status, verdict.form, verdict.key) == ("valid", "failure_code", "current")


FULL_WIDTH = RIGHT.translate({ord("0") + n: ord("\N{FULLWIDTH DIGIT ZERO}") + n for n in range(10)})
CHECKSUMS: dict[str, list[Any]] = {
    "valid": [RIGHT, RIGHT.upper(), RIGHT.title(), f" {RIGHT}", f"{RIGHT}\r\n", f"\ufeff{RIGHT}\0"],
    "missing": [None, "", [], {}, False],
    "invalid": [12, ["a"], {"a": 1}, True, "0" * 64, RIGHT[:-1], RIGHT + "0", RIGHT[:32], f"{RIGHT[:9]} {RIGHT[9:]}"],
}
CHECKSUMS["invalid"] += [FULL_WIDTH, "é", "\ud800"]


@pytest.mark.parametrize(("status", "given"), [(status, each) for status, all_ in CHECKSUMS.items() for each in all_])
def test_only_the_hash_itself_is_valid(status: str, given: object) -> None:
    """Its case and blanks around it do not matter; nothing is missing; what is cut, padded or no text is invalid."""
    verdict = verify(replace(AUTHORIZED, checksum=given), KEYS)
    assert verdict.status == status
    assert ("is not text" in str(verdict.error)) == (status == "invalid" and not isinstance(given, str))


def test_checksums_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time does not tell how much of a forged checksum is right: compare_digest alone decides."""
    compare = Mock(side_effect=[True, False])
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert verify(replace(AUTHORIZED, checksum="é"), KEYS).status == "valid"
    assert verify(AUTHORIZED, KEYS).status == "invalid"
    assert compare.call_count == 2


_TEXT = st.text(min_size=1)


@given(st.text("abc123_", min_size=1), st.decimals(0, 10**9, places=2), st.text("Aa- ", min_size=1), _TEXT, _TEXT)
def test_what_the_bank_hashed_verifies_and_nothing_else_does(
    charge: str, amount: Decimal, state: str, key: str, other: str
) -> None:
    """Any message the bank signs verifies; with a covered field changed, or another key, it does not."""
    assume(key != other)
    fields: dict[str, Any] = {"charge_id": charge, "amount": amount, "transaction_state": state}
    bank = replace(AUTHORIZED, **fields, checksum=sha256(f"{charge}{amount:.4f}THBsuccess{state}{key}"))
    assert verify(bank, {"current": key}).status == "valid"
    assert verify(replace(bank, amount=amount + 1), {"current": key}).status == "invalid"
    assert verify(replace(bank, status="Forged"), {"current": key}).status == "invalid"
    assert verify(bank, {"current": other}).status == "invalid"


# --- the secret ---


@pytest.mark.parametrize(
    "secret",
    [
        {"secretKey": "skey_local_not_a_real_key\n"},
        {"secretKey": "\ufeff skey_local_not_a_real_key\u00a0\u200b"},
        {"secretKey": "\u202askey_local_not_a_real_key\u2069\x1f"},
        {"secretKey": "skey_new", "previousSecretKey": "\tskey_local_not_a_real_key\r\n"},
    ],
)
@pytest.mark.parametrize("around", ["", "\ufeff", "\r\n "])
def test_invisible_characters_around_a_key_are_no_part_of_it(world: World, secret: dict[str, str], around: str) -> None:
    """What an editor or a console left there; during a rotation the previous key counts as well."""
    set_secret(world, f"{around}{json.dumps(secret)}{around}")
    world.deliver()
    assert (world.record()["checksumStatus"], world.record()["checksumForm"]) == ("valid", "plain")


UNSET: list[tuple[str, str]] = [("", "no JSON"), ("", "[]"), ("", "{}"), ("", '{"secretKey": 5}')]
UNSET += [(blank, json.dumps({"secretKey": blank})) for blank in ("", " ", "\t\n", "\N{NO-BREAK SPACE}")]


@pytest.mark.parametrize(("key", "secret"), [*UNSET, ("", "")])
def test_unset_secret_never_makes_a_checksum_valid(world: World, key: str, secret: str) -> None:
    """An empty, blank or malformed secret proves nothing, even where a stranger hashes with the empty key."""
    set_secret(world, secret, **({} if secret else {"SecretBinary": b"no text"}))
    world.pay()
    forged = message(checksum=sha256(PLAIN + key))
    world.deliver(event(forged))
    assert world.record()["checksumStatus"] == world.payment()["checksumStatus"] == "unverifiable"
    set_secret(world, json.dumps({**SECRET, "previousSecretKey": key}))
    world.wait(300)
    assert delivered(world, "again", **forged)["checksumStatus"] == "invalid"


def test_unreadable_secret_is_counted_and_everything_is_processed(world: World) -> None:
    """Secrets Manager refuses or is down: unverifiable, warned of, counted for its alarm, processed."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="a test")

    for number, hook in enumerate((refuse("AccessDeniedException", times=9), unreachable)):
        world.wire.before[ASK] = hook
        assert delivered(world, f"n-{number}")["checksumStatus"] == "unverifiable"
        world.wait(30)
    lines = world.metrics("SecretFailed")
    assert [line["checksumError"] for line in lines] == ["the merchant key could not be read"] * 2
    assert [re.findall(r"\w+Error", line["warnings"][0])[0] for line in lines] == [
        "ClientError",
        "EndpointConnectionError",
    ]
    assert all("Checksum verification failed. Continuing with processing." in line["warnings"] for line in lines)
    assert [sent["checksumStatus"] for sent in world.passes()] == ["unverifiable", "unverifiable"]


def test_key_is_kept_for_minutes_and_a_rotated_one_is_found_at_once(world: World) -> None:
    """A checksum that fails under a key that is 30 s old asks once more before it is called invalid."""
    world.deliver()
    world.wait(290)
    delivered(world, "n-2")
    assert world.wire.names().count(ASK) == 1
    set_secret(world, json.dumps({"secretKey": "skey_new"}))
    rotated = sha256(f"{PLAIN}skey_new")
    assert [delivered(world, f"n-{n}", checksum=rotated)["checksumStatus"] for n in (3, 4)] == ["valid", "valid"]
    assert world.wire.names().count(ASK) == 2


@pytest.mark.parametrize("readable", [True, False])
def test_strangers_checksums_ask_for_the_secret_every_30_s_at_most(world: World, readable: bool) -> None:  # noqa: FBT001
    """Whether or not it can be read; the keys that are known are used meanwhile, also after their five minutes."""
    world.deliver()
    world.wait(31 if readable else 301)
    world.wire.before[ASK] = refuse("ThrottlingException", times=0 if readable else 99)
    forged = [delivered(world, f"n-{n}", checksum="0" * 64)["checksumStatus"] for n in range(5)]
    assert delivered(world, "genuine")["checksumStatus"] == "valid"
    assert world.wire.names().count(ASK) == 2
    assert forged == ["invalid"] * 5
    world.wait(31)
    delivered(world, "later", checksum="0" * 64)
    assert world.wire.names().count(ASK) == 3


def test_secret_that_was_never_read_is_asked_for_every_30_s_at_most(world: World) -> None:
    """However many notifications come; the first one after that finds the key again."""
    world.wire.before[ASK] = refuse("ThrottlingException", times=1)
    verdicts = [delivered(world, f"n-{n}")["checksumStatus"] for n in range(5)]
    assert (verdicts, world.wire.names().count(ASK)) == (["unverifiable"] * 5, 1)
    world.wait(30)
    assert delivered(world, "later")["checksumStatus"] == "valid"


# --- the mark, and the policy ---


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, "valid", ""),
        ({"checksum": "0" * 64}, "invalid", "the checksum matches no merchant key"),
        ({"checksum": ...}, "missing", "the notification carries no checksum"),
        (
            {"amount": None},
            "unverifiable",
            "amount, currency, status or transaction_state is missing or cannot be hashed",
        ),
    ],
)
def test_payment_record_is_marked_and_processing_continues(
    world: World, changes: dict[str, Any], status: str, error: str
) -> None:
    """By default a bad checksum is a warning, a count and a mark; ProcessPaidOrder learns of it."""
    world.pay(amount=Decimal("200.50"))
    world.deliver(event(message(**changes)))
    payment = world.payment()
    assert (payment["checksumStatus"], payment["checksumError"]) == (status, error)
    assert (payment["checksumCheckedBy"], payment["checksumCheckedAt"][:19]) == ("delayednotify", "2026-11-22T09:30:17")
    assert (payment["amount"], payment["orderId"]) == (Decimal("200.50"), ORDER)
    assert [sent["checksumStatus"] for sent in world.passes()] == [status]
    [line] = world.metrics(f"Checksums{status.capitalize()}")
    assert line["level"] == ("INFO" if status == "valid" else "WARNING")


def test_last_verdict_marks_and_what_was_proved_stays_beside_it(world: World) -> None:
    """A genuine Declined, a forged Authorized: marked invalid, with the Declined proof kept until the next one."""
    world.pay()
    declined = signed(status="fail", transaction_state="Declined", amount=15)
    world.deliver(event(declined, requestContext={"requestId": "declined"}))
    proved = {"status": "fail", "transactionState": "Declined", "amount": Decimal(15), "currency": "THB"}
    at = world.payment()["checksumProved"]["at"]
    assert at.startswith("2026-11-22T09:30:17")
    for changes, status in (({"checksum": "0" * 64}, "invalid"), ({"checksum": ...}, "missing")):
        delivered(world, status, **changes)
        assert (world.payment()["checksumStatus"], world.payment()["checksumProved"]) == (status, proved | {"at": at})
    delivered(world, "authorized")
    assert (world.payment()["checksumStatus"], world.payment()["checksumError"]) == ("valid", "")
    assert world.payment()["checksumProved"]["transactionState"] == "Authorized"


def test_charge_without_a_payment_record_is_not_given_one(world: World) -> None:
    """The payment record is the shop's: it is marked, never made."""
    world.deliver()
    assert world.rows("CARD_PAYMENT_RECORD_TABLE") == []
    assert world.log()[0]["level"] == "INFO"


def test_form_asks_for_no_secret_and_is_marked_missing(world: World) -> None:
    """What has no checksum needs no key."""
    world.pay(chargeId=FORM_CHARGE)
    world.deliver(sample("browser-return"))
    assert ASK not in world.wire.names()
    assert (world.payment()["checksumStatus"], world.record()["passesDone"]) == ("missing", 1)


@pytest.mark.parametrize("changes", [{"checksum": "0" * 64}, {"checksum": ...}, {"amount": None}])
def test_reject_policy_refuses_before_anything_is_saved(world: World, changes: dict[str, Any]) -> None:
    """Nothing is saved or processed, and no retry helps; the mark, the error row and the mail remain."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay()
    with pytest.raises(ChecksumRejected, match=r"checksum (invalid|missing|unverifiable)") as refused:
        world.deliver(event(message(**changes)))
    assert not refused.value.retryable
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == []
    assert world.payment()["checksumStatus"] in str(refused.value)
    assert world.error()["errorType"] == "ChecksumRejected"
    assert len(world.mails()) == len(world.metrics("RefusedUnproved")) == 1


def test_reject_policy_tries_again_what_the_secret_keeps_from_being_verified(world: World) -> None:
    """Unreadable or unset: retryable, and processed once the key is there; the bank's own word gets through."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.wire.before[ASK] = refuse("AccessDeniedException")
    with pytest.raises(UnverifiableRejected) as unreadable:
        world.deliver()
    set_secret(world, "{}")
    world.wait(30)
    with pytest.raises(UnverifiableRejected) as unset:
        world.deliver()
    assert unreadable.value.retryable
    assert unset.value.retryable
    assert (len(world.metrics("SecretFailed")), world.metrics("RefusedUnproved")) == (2, [])
    set_secret(world, json.dumps(SECRET))
    world.wait(300)
    world.deliver()
    assert world.record()["passesDone"] == 1


def test_browser_return_under_the_reject_policy_gets_its_page_and_nothing_else(world: World) -> None:
    """It never has a checksum: no record, pass, timer, row or mail, and no mark over the bank's own verdict."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(chargeId=FORM_CHARGE, checksumStatus="valid")
    world.order()
    assert RETURN_URL in world.deliver(sample("browser-return"))["body"]
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == world.mails() == world.errors() == []
    assert (world.schedules(), world.payment()["checksumStatus"]) == ([], "valid")
