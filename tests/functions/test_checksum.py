"""The checksum: what proves a notification, what does not, and what follows."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from callback.checksum import verify
from callback.errors import ChecksumRejected
from callback.notification import parse_notification
from local.stack import SECRET
from tests.support.aws import CHARGE, ORDER, RETURN_URL, World, sample
from tests.support.recorded_calls import refuse
from tests.support.steps import FORM_CHARGE, event, fails, message, set_secret, signed, unreachable

KEYS = {"current": SECRET["secretKey"]}
AUTHORIZED = parse_notification(sample("authorized"))
RIGHT, FORGED = str(AUTHORIZED.checksum), "0" * 64
PLAIN = f"{CHARGE}200.5000THBsuccessAuthorized"
ASK = "secretsmanager.GetSecretValue"


def sha256(text: str) -> str:
    """Hash a text as the bank does."""
    return hashlib.sha256(text.encode()).hexdigest()


def status_of(world: World, request_id: str, **changes: object) -> Any:
    """Deliver a changed message under a new id, and return its record's checksumStatus."""
    world.deliver(event(message(**changes), request_id))
    rows = {row["notificationId"]: row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    return rows[request_id]["checksumStatus"]


def asked(world: World) -> int:
    """Return how often the secret was read."""
    return world.wire.names().count(ASK)


def test_published_vector_verifies_and_nothing_else() -> None:
    """Amount with four decimals, plain concatenation, lower-case hex; no covered field changed, and no other key."""
    right = "93bcaaca3ddcf836366511e5cba5816495660d584a7cd0f2bd48451744ba2d7d"
    vector = replace(AUTHORIZED, charge_id="charge-1", amount=Decimal("200.5"), checksum=right)
    key = "unit-test-secret-not-a-merchant-key"
    assert verify(vector, {"current": key}).status == "valid"
    changes: dict[str, Any] = {"amount": Decimal("200.6"), "currency": "USD", "status": "x", "transaction_state": "x"}
    for name, value in (changes | {"charge_id": "charge-2"}).items():
        assert verify(replace(vector, **{name: value}), {"current": key}).status == "invalid"
    assert verify(vector, {"current": f"{key}x"}).status == "invalid"
    assert verify(vector, {"current": "\ud800"}).status == "invalid"  # JSON can spell a lone surrogate
    assert verify(vector, {}).retryable  # without a key nothing is verifiable yet


def test_failed_charge_may_hash_with_or_without_its_failure_code() -> None:
    """The bank documents neither form: both are accepted, and the verdict says which; a blank code adds no form."""
    text = f"{PLAIN}{SECRET['secretKey']}"
    for code, hashed, form in (("do not honour", text, "plain"), (" ", text.replace("skey", " skey"), None)):
        verdict = verify(replace(AUTHORIZED, failure_code=code, checksum=sha256(hashed)), KEYS)
        assert (verdict.form, verdict.status == "valid") == (form, bool(form))
    verdict = verify(parse_notification(sample("declined")), KEYS)
    assert (verdict.status, verdict.form, verdict.key) == ("valid", "failure_code", "current")


FULL_WIDTH = RIGHT.translate({ord("0") + n: ord("\N{FULLWIDTH DIGIT ZERO}") + n for n in range(10)})
CHECKSUMS: dict[str, list[Any]] = {
    "valid": [RIGHT, RIGHT.upper(), RIGHT.title(), f" {RIGHT}", f"{RIGHT}\r\n", f"\ufeff{RIGHT}\0"],
    "missing": [None, "", [], {}, False],
    "invalid": [12, ["a"], FORGED, RIGHT[:-1], RIGHT + "0", f"{RIGHT[:9]} {RIGHT[9:]}", "é", "\ud800", FULL_WIDTH],
}


@pytest.mark.parametrize(("status", "sent"), [(status, each) for status, all_ in CHECKSUMS.items() for each in all_])
def test_only_the_hash_itself_is_valid(status: str, sent: object) -> None:
    """Its case and blanks around it do not matter; empty is missing; anything cut, padded or not text is invalid."""
    verdict = verify(replace(AUTHORIZED, checksum=sent), KEYS)
    assert verdict.status == status
    assert ("is not text" in str(verdict.error)) == (status == "invalid" and not isinstance(sent, str))


def test_checksums_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing does not reveal how much of a forged checksum is right: compare_digest alone decides."""
    for sent, status in ((FORGED, "valid"), (RIGHT, "invalid")):
        monkeypatch.setattr(hmac, "compare_digest", lambda _a, _b, equal=status == "valid": equal)
        assert verify(replace(AUTHORIZED, checksum=sent), KEYS).status == status


AROUND = [("", ""), ("", "\n"), ("\ufeff ", ""), ("\t", "\r\n"), ("\u202a", "\u2069\u00a0\u200b\x1f")]


@pytest.mark.parametrize("key", ["secretKey", "previousSecretKey"])
@pytest.mark.parametrize(("before", "behind"), AROUND, ids=ascii)
def test_invisible_characters_around_a_key_are_no_part_of_it(world: World, key: str, before: str, behind: str) -> None:
    """Nor around the secret, where an editor left them; during a rotation the previous key is valid as well."""
    secret = json.dumps({"secretKey": "skey_new"} | {key: f"{before}{SECRET['secretKey']}{behind}"})
    set_secret(world, f"{before}{secret}{behind}")
    world.deliver()
    assert (world.record()["checksumStatus"], world.record()["checksumForm"]) == ("valid", "plain")


UNSET: list[tuple[str, Any]] = [("", each) for each in ("no JSON", "[]", "{}", '{"secretKey": 5}', b"no text")]
UNSET += [("", "[" * 60_000)]
UNSET += [(blank, json.dumps({"secretKey": blank})) for blank in ("", " ", "\t\n", "\N{NO-BREAK SPACE}")]


@pytest.mark.parametrize(("key", "secret"), UNSET)
def test_unset_secret_never_makes_a_checksum_valid(world: World, key: str, secret: str | bytes) -> None:
    """An empty, blank or malformed secret proves nothing, even if a stranger hashes with the empty key."""
    set_secret(world, secret)
    world.pay()
    forged = sha256(PLAIN + key)
    assert status_of(world, "first", checksum=forged) == world.payment()["checksumStatus"] == "unverifiable"
    assert len(world.metrics("SecretFailed")) == 1
    set_secret(world, json.dumps({**SECRET, "previousSecretKey": key}))
    world.wait(300)
    assert status_of(world, "again", checksum=forged) == "invalid"


def test_unreadable_secret_is_counted_and_stops_no_processing(world: World) -> None:
    """If Secrets Manager refuses or is down, all is unverifiable, counted, processed; it is read again after 30 s."""
    errors = {"ClientError": refuse("AccessDeniedException", times=9), "EndpointConnectionError": unreachable}
    for name, world.wire.before[ASK] in errors.items():
        assert [status_of(world, f"{name} {n}") for n in range(3)] == ["unverifiable"] * 3
        line = world.metrics("SecretFailed")[-1]
        assert line["checksumError"] == "the merchant key could not be read"
        assert name in line["warnings"][0]
        assert "Checksum verification failed. Continuing with processing." in line["warnings"]
        world.wait(30)
    assert [sent["checksumStatus"] for sent in world.passes()] == ["unverifiable"] * 6
    world.wire.before.clear()
    assert (asked(world), status_of(world, "later")) == (2, "valid")


def test_key_is_cached_for_minutes_and_a_rotated_one_is_found_at_once(world: World) -> None:
    """It is kept for five; a checksum that fails under a key that was read 30 s ago has it read once more."""
    world.took = timedelta()
    assert (status_of(world, "n-1"), asked(world)) == ("valid", 1)
    set_secret(world, json.dumps({"secretKey": "skey_new"}))
    for seconds, status, count in ((299, "valid", 1), (1, "invalid", 2)):
        world.wait(seconds)
        assert (status_of(world, f"after {seconds}"), asked(world)) == (status, count)
    set_secret(world, json.dumps({"secretKey": "skey_newer"}))
    world.wait(30)
    assert status_of(world, "rotated", checksum=sha256(f"{PLAIN}skey_newer")) == "valid"
    assert asked(world) == 3


@pytest.mark.parametrize(("seconds", "failures"), [(31, 0), (301, 99)], ids=["readable", "unreadable"])
def test_forged_checksums_read_the_secret_every_30_s_at_most(world: World, seconds: int, failures: int) -> None:
    """Whether or not it can be read; until then the known keys are used, even after their five minutes."""
    world.deliver()
    world.wait(seconds)
    world.wire.before[ASK] = refuse("ThrottlingException", failures)
    assert [status_of(world, f"n-{n}", checksum=FORGED) for n in range(5)] == ["invalid"] * 5
    assert (status_of(world, "genuine"), asked(world)) == ("valid", 2)
    world.wait(31)
    assert (status_of(world, "later", checksum=FORGED), asked(world)) == ("invalid", 3)


CANNOT_BE_HASHED = "amount, currency, status or transaction_state is missing or cannot be hashed"
VERDICTS: dict[str, tuple[dict[str, Any], str]] = {
    "valid": ({}, ""),
    "invalid": ({"checksum": FORGED}, "the checksum matches no merchant key"),
    "missing": ({"checksum": ...}, "the notification carries no checksum"),
    "unverifiable": ({"amount": None}, CANNOT_BE_HASHED),
}


@pytest.mark.parametrize("status", VERDICTS)
def test_payment_record_is_marked_and_processing_continues(world: World, status: str) -> None:
    """By default a bad checksum is a warning, a count and a mark, never a new record; ProcessPaidOrder is informed."""
    changes, error = VERDICTS[status]
    world.deliver(event(message(**changes), "without a payment record"))
    assert (world.rows("CARD_PAYMENT_RECORD_TABLE"), "MarkFailed" in world.log()[0]) == ([], False)
    world.pay(amount=Decimal("200.50"))
    world.deliver(event(message(**changes)))
    marked = {"checksumStatus": status, "checksumError": error, "checksumCheckedBy": "delayednotify"}
    payment = world.payment()
    assert (marked | {"amount": Decimal("200.50"), "orderId": ORDER}).items() <= payment.items()
    assert payment["checksumCheckedAt"].startswith("2026-11-22T09:30:17")
    assert [sent["checksumStatus"] for sent in world.passes()] == [status, status]
    levels = [line["level"] for line in world.metrics(f"Checksums{status.capitalize()}")]
    assert levels == ["INFO" if status == "valid" else "WARNING"] * 2


@pytest.mark.parametrize("status", list(VERDICTS)[1:])
def test_reject_policy_refuses_before_anything_is_saved(world: World, status: str) -> None:
    """Nothing is saved or processed, and no retry helps; a mark, an error row and a mail tell of it."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay()
    refused = fails(ChecksumRejected, world.deliver, event(message(**VERDICTS[status][0])))
    assert (str(refused)[: len(status) + 10], refused.retryable) == (f"checksum {status}:", False)
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == []
    assert (world.payment()["checksumStatus"], world.error()["errorType"]) == (status, "ChecksumRejected")
    assert len(world.mails()) == len(world.metrics("RefusedUnproved")) == 1


def test_last_verdict_is_the_mark_and_what_was_proved_stays_beside_it(world: World) -> None:
    """After a genuine Declined, a forged Authorized is marked invalid, and the proof of Declined is kept."""
    world.pay()
    world.deliver(event(signed(status="fail", transaction_state="Declined", amount=15), "declined"))
    proved = {"status": "fail", "transactionState": "Declined", "amount": Decimal(15), "currency": "THB"}
    proved |= {"at": world.payment()["checksumCheckedAt"]}
    for changes, status in (({"checksum": FORGED}, "invalid"), ({"checksum": ...}, "missing")):
        assert status_of(world, status, **changes) == world.payment()["checksumStatus"] == status
        assert world.payment()["checksumProved"] == proved
    assert status_of(world, "authorized") == world.payment()["checksumStatus"] == "valid"
    assert world.payment()["checksumError"] == ""
    assert world.payment()["checksumProved"]["transactionState"] == "Authorized"


@pytest.mark.parametrize("order", [ORDER, "5555 5555 5555 4444", " ", None])
def test_reject_policy_answers_a_browser_return_with_its_page_alone(world: World, order: str | None) -> None:
    """It never has a checksum: nothing is saved, marked, run or reported, and the page shows only a usable order."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(chargeId=FORM_CHARGE, orderId=order, checksumStatus="valid")
    world.order()
    leads_to = RETURN_URL if order == ORDER else "https://shop.local.example/orders/"
    assert f'href="{leads_to}"' in world.deliver(sample("browser-return"))["body"]
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == world.errors() == []
    assert (asked(world), world.schedules(), world.payment()["checksumStatus"]) == (0, [], "valid")
    assert world.log()[-1]["level"] == "INFO"
