"""The checksum: what proves a notification, what does not, and what becomes of it."""

import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import assume, given
from hypothesis import strategies as st

from callback.checksum import verify
from callback.errors import ChecksumRejected
from callback.notification import Notification, parse_notification
from local.stack import SECRET
from tests.test_notification import JSON_SAMPLES
from tests.wire import Call, refuse
from tests.world import ORDER, World, sample

KEYS = {"current": SECRET["secretKey"]}
AUTHORIZED = parse_notification(sample("authorized"))


def replace(notification: Notification, **fields: object) -> Notification:
    """The notification with other fields."""
    return notification.model_copy(update=fields)


def changed(**fields: object) -> dict[str, Any]:
    """The authorized sample with another body."""
    event = sample("authorized")
    event["body"] = json.dumps(json.loads(event["body"]) | fields)
    return event


def test_published_vector_verifies() -> None:
    """The reference's own test vector: amount with four decimals, plain concatenation, lower-case hex."""
    vector = replace(
        AUTHORIZED,
        charge_id="charge-1",
        amount=Decimal("200.5"),
        checksum="93bcaaca3ddcf836366511e5cba5816495660d584a7cd0f2bd48451744ba2d7d",
    )
    assert verify(vector, {"current": "unit-test-secret-not-a-merchant-key"}).valid


@pytest.mark.parametrize("name", JSON_SAMPLES)
def test_samples_carry_checksums_that_verify(name: str) -> None:
    """Each JSON sample verifies with the local secret; the declined one in the form with its failure code."""
    verdict = verify(parse_notification(sample(name)), KEYS)
    assert (verdict.status, verdict.key) == ("valid", "current")
    assert verdict.form == ("failure_code" if name == "declined" else "plain")


def test_declined_charge_may_hash_without_its_failure_code() -> None:
    """Open point of the reference: for a failed charge either form is accepted, and which one is told."""
    declined = parse_notification(sample("declined"))
    text = f"{declined.charge_id}990.0000THBfailDeclined{SECRET['secretKey']}"
    verdict = verify(replace(declined, checksum=hashlib.sha256(text.encode()).hexdigest()), KEYS)
    assert (verdict.status, verdict.form) == ("valid", "plain")


def test_blank_failure_code_adds_no_form() -> None:
    """A blank failure code is no failure code."""
    text = f"{AUTHORIZED.charge_id}200.5000THBsuccessAuthorized {SECRET['secretKey']}"
    forged = replace(AUTHORIZED, failure_code=" ", checksum=hashlib.sha256(text.encode()).hexdigest())
    assert not verify(forged, KEYS).valid


@pytest.mark.parametrize("written", [str.upper, str.title])
def test_case_of_the_hex_does_not_matter(written: Callable[[str], str]) -> None:
    """The reference allows upper-case hex; a mixture says the same."""
    assert verify(replace(AUTHORIZED, checksum=written(str(AUTHORIZED.checksum))), KEYS).valid


@pytest.mark.parametrize(
    ("checksum", "status"),
    [
        (None, "missing"),
        ("", "missing"),
        (0, "missing"),
        (12, "invalid"),
        (["a"], "invalid"),
        ({"a": 1}, "invalid"),
        ("0" * 64, "invalid"),
        (str(AUTHORIZED.checksum)[:-1], "invalid"),
        (str(AUTHORIZED.checksum) + "0", "invalid"),
        (str(AUTHORIZED.checksum)[:32], "invalid"),
        (str(AUTHORIZED.checksum)[:1], "invalid"),
        (f" {AUTHORIZED.checksum}", "invalid"),
        (f"{AUTHORIZED.checksum}\n", "invalid"),
        (f"{AUTHORIZED.checksum}\0", "invalid"),
        (
            str(AUTHORIZED.checksum).translate({ord("0") + n: ord("\N{FULLWIDTH DIGIT ZERO}") + n for n in range(10)}),
            "invalid",
        ),
        ("é" * 64, "invalid"),
        ("\ud800", "invalid"),
    ],
)
def test_forged_checksum_is_never_valid(checksum: object, status: str) -> None:
    """Missing, cut, padded, non-ASCII, not even a text: not valid, and never a crash."""
    assert verify(replace(AUTHORIZED, checksum=checksum), KEYS).status == status


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"secretKey": ""}',
        '{"secretKey": " "}',
        '{"secretKey": "\\t\\n"}',
        '{"secretKey": null}',
        '{"secretKey": 5}',
    ],
)
def test_unset_secret_never_makes_a_checksum_valid(world: World, secret: str) -> None:
    """An empty, blank or malformed secret proves nothing, even to who hashes with the empty key."""
    key = json.loads(secret)["secretKey"] if secret.startswith('{"secretKey": "') else ""
    _set_secret(world, secret)
    world.pay()
    world.deliver(_signed_with(key))
    assert world.record()["checksumStatus"] == world.payment()["checksumStatus"] == "unverifiable"


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\N{NO-BREAK SPACE}", None, 0, []])
@pytest.mark.parametrize(
    ("secret", "status"),
    [({"secretKey": SECRET["secretKey"]}, "invalid"), ({}, "unverifiable"), ({"secretKey": ""}, "unverifiable")],
)
def test_unset_previous_key_never_makes_a_checksum_valid(
    world: World, blank: object, secret: dict[str, str], status: str
) -> None:
    """Nor does a previous key that is empty, blank or no text, with a current one beside it or without."""
    _set_secret(world, json.dumps(secret | {"previousSecretKey": blank}))
    world.deliver(_signed_with(blank if isinstance(blank, str) else ""))
    assert world.record()["checksumStatus"] == status


@pytest.mark.parametrize("field", ["amount", "currency", "status", "transaction_state"])
def test_checksum_over_an_absent_field_is_unverifiable(world: World, field: str) -> None:
    """What the checksum covers must be there; the notification is processed all the same."""
    world.deliver(changed(**{field: None}))
    assert world.record()["checksumStatus"] == "unverifiable"
    assert world.record()["passesDone"] == 1


@given(
    st.fixed_dictionaries(
        {
            "charge_id": st.text("abc123_", min_size=1),
            "amount": st.decimals(0, 10**9, places=2),
            "currency": st.sampled_from(["THB", "USD"]),
            "status": st.sampled_from(["success", "fail"]),
            "transaction_state": st.text("ABCabc- ", min_size=1),
        }
    ),
    st.text(min_size=1),
)
def test_what_the_bank_hashed_verifies_and_nothing_else_does(fields: dict[str, Any], key: str) -> None:
    """Any message the bank signs verifies; with one covered field changed it does not."""
    covered = ("charge_id", "amount", "currency", "status", "transaction_state")
    text = "".join(f"{fields[name]:.4f}" if name == "amount" else fields[name] for name in covered)
    checksum = hashlib.sha256((text + key).encode()).hexdigest()
    signed = replace(AUTHORIZED, **fields, checksum=checksum)
    assert verify(signed, {"current": key}).valid
    assert not verify(replace(signed, amount=fields["amount"] + 1), {"current": key}).valid
    assert not verify(replace(signed, status="Forged"), {"current": key}).valid


@given(st.text(min_size=1), st.text(min_size=1))
def test_another_key_does_not_verify(key: str, other: str) -> None:
    """Only the merchant's key proves anything."""
    assume(key != other)
    text = f"{AUTHORIZED.charge_id}200.5000THBsuccessAuthorized{key}"
    signed = replace(AUTHORIZED, checksum=hashlib.sha256(text.encode()).hexdigest())
    assert not verify(signed, {"current": other}).valid


def test_thousands_have_no_separator(world: World) -> None:
    """An amount of a thousand and more hashes without a comma."""
    world.deliver(sample("large-amount"))
    assert world.record()["checksumStatus"] == "valid"


def test_previous_key_is_accepted_during_a_rotation(world: World) -> None:
    """While the bank may still sign with the old key, both are accepted, and the log tells which it was."""
    _set_secret(world, json.dumps({"secretKey": "skey_new", "previousSecretKey": SECRET["secretKey"]}))
    world.deliver()
    assert world.record()["checksumStatus"] == "valid"


def test_rotated_key_is_fetched_when_the_cached_one_fails(world: World) -> None:
    """A failing checksum asks Secrets Manager once more before it is called invalid."""
    _set_secret(world, json.dumps({"secretKey": "skey_old"}))
    world.deliver(changed(checksum="0" * 64))
    _set_secret(world, json.dumps(SECRET))
    world.deliver(sample("large-amount"))
    statuses = {r["orderId"]: r["checksumStatus"] for r in world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    assert statuses == {"ORDER-1001": "invalid", "ORDER-1004": "valid"}
    assert world.wire.names().count("secretsmanager.GetSecretValue") == 2


def test_form_asks_for_no_secret(world: World) -> None:
    """What has no checksum needs no key."""
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44")
    world.deliver(sample("browser-return"))
    assert "secretsmanager.GetSecretValue" not in world.wire.names()


def test_unreachable_secret_is_a_warning_not_an_end(world: World) -> None:
    """Secrets Manager refusing or down: unverifiable, warned of, processed."""

    def unreachable(_call: Call) -> None:
        raise EndpointConnectionError(endpoint_url="a test")

    for hook in (refuse("AccessDeniedException", times=9), unreachable):
        world.wire.before["secretsmanager.GetSecretValue"] = hook
        world.deliver()
    assert world.record()["checksumStatus"] == "unverifiable"
    warnings = world.log("Checksum verification failed. Continuing with processing.")
    assert [line["checksumStatus"] for line in warnings] == ["unverifiable", "unverifiable"]
    why = [f"the merchant key could not be read ({kind})" for kind in ("ClientError", "EndpointConnectionError")]
    assert [line["checksumError"] for line in warnings] == why


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("authorized", "valid", ""),
        ("wrong-checksum", "invalid", "the checksum matches no merchant key"),
        ("missing-checksum", "missing", "the notification carries no checksum"),
    ],
)
def test_payment_record_is_marked_and_processing_continues(world: World, name: str, status: str, error: str) -> None:
    """By default a bad checksum is a warning and a mark on the payment record, as today."""
    world.pay(chargeId=parse_notification(sample(name)).charge_id, amount=Decimal("320.00"))
    world.deliver(sample(name))
    payment = world.payment()
    assert (payment["checksumStatus"], payment["checksumError"]) == (status, error)
    assert payment["checksumCheckedBy"] == "delayednotify"
    assert payment["checksumCheckedAt"].startswith("2026-11-22T09:30:17")
    assert payment["amount"] == Decimal("320.00")
    assert world.record()["passesDone"] == 1


@pytest.mark.parametrize(
    ("changes", "secret", "error"),
    [
        ({"checksum": 12}, SECRET, "the checksum is not a text"),
        ({"amount": None}, SECRET, "amount, currency, status or transaction_state is absent"),
        ({}, {}, "no merchant key is set"),
    ],
)
def test_payment_record_says_why_nothing_was_proved(
    world: World, changes: dict[str, Any], secret: dict[str, str], error: str
) -> None:
    """The mark tells the bank's fault from our own, in the very words that one searches for."""
    _set_secret(world, json.dumps(secret))
    world.pay()
    world.deliver(changed(**changes))
    assert world.payment()["checksumError"] == error


def test_charge_without_a_payment_record_is_not_given_one(world: World) -> None:
    """The payment record is the shop's: we mark it, we do not make it."""
    world.deliver()
    assert world.rows("CARD_PAYMENT_RECORD_TABLE") == []


def test_proved_charge_stays_proved(world: World) -> None:
    """A forged notification does not take away what the bank's own proved; a later proof still counts."""
    world.pay()
    world.deliver()
    forged = changed(checksum="0" * 64)
    forged["requestContext"]["requestId"] = "forged-delivery"
    world.deliver(forged)
    assert world.payment()["checksumStatus"] == "valid"
    world.pay(checksumStatus="invalid")
    again = sample("authorized")
    again["requestContext"]["requestId"] = "third-delivery"
    world.deliver(again)
    assert world.payment()["checksumStatus"] == "valid"


@pytest.mark.parametrize("name", ["wrong-checksum", "missing-checksum"])
def test_reject_policy_refuses_before_anything_is_saved(world: World, name: str) -> None:
    """With ChecksumPolicy=reject nothing is saved or processed; the mark, the error row and the mail remain."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(chargeId=parse_notification(sample(name)).charge_id)
    with pytest.raises(ChecksumRejected, match=r"checksum (invalid|missing)"):
        world.deliver(sample(name))
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == []
    assert world.payment()["checksumStatus"] in {"invalid", "missing"}
    assert world.error()["errorType"] == "ChecksumRejected"
    assert len(world.mails()) == 1


def test_reject_policy_lets_the_bank_through(world: World) -> None:
    """A valid notification is processed under either policy."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.deliver()
    assert world.record()["passesDone"] == 1


def _signed_with(key: str) -> dict[str, Any]:
    text = f"{AUTHORIZED.charge_id}200.5000THBsuccessAuthorized{key}"
    return changed(checksum=hashlib.sha256(text.encode()).hexdigest())


def _set_secret(world: World, text: str) -> None:
    name = world.environment["KBANK_SECRET_ID"]
    if text:
        world.client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)
    else:
        world.client("secretsmanager").put_secret_value(SecretId=name, SecretBinary=b"no text")


def test_checksums_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time does not tell how much of a forged checksum is right (reference: checksum): compare_digest alone decides."""
    compare = Mock(return_value=True)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for checksum in ("0" * 64, "short", "é"):
        assert verify(replace(AUTHORIZED, checksum=checksum), KEYS).valid
    compare.return_value = False
    assert not verify(AUTHORIZED, KEYS).valid
    assert compare.call_count == 4


def test_key_is_kept_for_minutes(world: World) -> None:
    """Neither for seconds nor for hours."""
    world.deliver()
    world.wait(290)
    world.deliver()
    assert world.wire.names().count("secretsmanager.GetSecretValue") == 1


def test_refetched_key_is_kept(world: World) -> None:
    """After a rotation one more request is made, not one for every notification."""
    _set_secret(world, json.dumps({"secretKey": "skey_old"}))
    world.deliver(changed(checksum="0" * 64))
    _set_secret(world, json.dumps(SECRET))
    for name in ("large-amount", "declined"):
        world.deliver(sample(name))
    assert world.wire.names().count("secretsmanager.GetSecretValue") == 2


def test_log_tells_which_key_matched(world: World) -> None:
    """A rotation is over when the log shows no `previous` any more."""
    _set_secret(world, json.dumps({"secretKey": "skey_new", "previousSecretKey": SECRET["secretKey"]}))
    world.deliver()
    [line] = world.log("checksum valid")
    assert (line["checksumKey"], line["checksumForm"]) == ("previous", "plain")


def test_browser_return_after_the_banks_proof_still_finds_its_order(world: World) -> None:
    """A payment record that stays `valid` is not marked, yet is read: the form's order is there."""
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44", checksumStatus="valid")
    world.deliver(sample("browser-return"))
    assert world.record()["orderId"] == ORDER
