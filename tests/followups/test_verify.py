"""`followups verify` says whether a checksum holds, and under which key; it never prints the right one."""

import io
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from local.stack import SECRET
from tests.followups.conftest import Followups, Patch
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, sample
from tests.support.deployed import Deployed
from tests.support.steps import signed

COVERED = r"\nit would cover:  chargeId=\S+ amount="
INVALID, MISSING = "invalid: the checksum matches no merchant key", "missing: the notification carries no checksum"
UNHASHED = "unverifiable: amount, currency, status or transaction_state is missing or cannot be hashed"
OLD, NEW = "skey_test_old_not_a_real_key", SECRET["secretKey"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that holds the notification."""
    return tmp_path / "event.json"


def assert_nothing_secret(printed: str) -> None:
    """No key and nothing that looks like a checksum."""
    assert not any(key in printed for key in (OLD, NEW))
    assert not any(len(word) >= 64 for word in printed.split())


def keep_secret(deployed: Deployed, text: str) -> None:
    """Change the stack's secret."""
    deployed.world.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=text)


def test_valid_checksum_is_printed_with_what_it_covers(deployed: Deployed, followups: Followups, file: Path) -> None:
    """Exit 0, with the key's name, the form and what is not covered, but neither a key nor a checksum."""
    file.write_text(json.dumps(sample("authorized")))
    printed = followups("verify", str(file)).out
    assert printed == (
        "valid: with the current key, plain form\n"
        f"covered:  chargeId={CHARGE} amount=200.5000 currency=THB status=success transactionState=Authorized\n"
        f"not covered:  orderId={ORDER}, source, description\n"
    )
    assert set(deployed.world.wire.names()) == {"cloudformation.DescribeStacks", "secretsmanager.GetSecretValue"}
    assert_nothing_secret(printed)


def test_form_and_key_are_named(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """The form with the failure code and the previous key are named; `-` is stdin."""
    keep_secret(deployed, json.dumps({"secretKey": OLD, "previousSecretKey": NEW}))
    amount = "12345678901234.5678"
    event = signed(status="fail", failure_code="insufficient_fund", amount=Decimal(amount))
    content = json.dumps(event, default=str).replace(f'"{amount}"', amount).encode("utf-8-sig")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    [found] = followups("verify", "-", "--json").objects
    assert (found["checksumStatus"], found["checksumForm"], found["key"]) == ("valid", "failure_code", "previous")
    assert found["covered"]["amount"] == amount
    assert found["notCovered"] == ["orderId", "source", "description"]


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (json.dumps(sample("wrong-checksum")), 1, INVALID),
        (json.dumps(sample("missing-checksum")), 1, MISSING),
        (json.dumps(sample("browser-return")), 1, rf"{MISSING}{COVERED}- currency=- .*\nnot covered:  the order id, "),
        (json.dumps(signed() | {"currency": None}), 2, UNHASHED),
    ],
)
def test_what_does_not_hold_is_printed(followups: Followups, file: Path, content: str, code: int, text: str) -> None:
    """Exit 1 where it is not valid, 2 where it cannot be checked; the right checksum is not printed."""
    file.write_text(content, encoding="utf-16")
    printed = followups("verify", str(file), code=code).out
    assert re.match(text, printed)
    assert re.search(COVERED, printed)
    assert_nothing_secret(printed)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff", "[" * 100_000, '{"body": ""}', '{"id": null}'])
def test_what_is_not_a_notification_is_refused(followups: Followups, file: Path, content: str) -> None:
    """Exit 2 and one line that says why; a name of neither a file nor an order is exit 1."""
    file.write_bytes(content.encode("latin-1"))
    assert followups("verify", str(file), code=2).err.startswith("Error: no notification: ")
    assert "neither a file, nor a notification whose body is kept" in followups("verify", "ORDER-9", code=1).out


@pytest.mark.parametrize("text", ["{", "skey_test_bare", '{"secretKey": ""}'])
def test_secret_without_a_key_is_an_error(deployed: Deployed, followups: Followups, file: Path, text: str) -> None:
    """Exit 2: nothing of it is shown, and an empty key makes no forgery valid."""
    file.write_text(json.dumps(signed()))
    keep_secret(deployed, text)
    printed = followups("verify", str(file), code=2)
    assert (printed.out, printed.err) == ("", "Error: payment3/kbank holds no merchant key as JSON\n")


def test_stored_notification_of_an_order_is_verified(deployed: Deployed, followups: Followups) -> None:
    """Its stored body is verified again, and the first verdict is printed, too; an erased body is exit 1."""
    deployed.world.deliver()
    printed = followups("verify", ORDER).out
    assert printed.startswith("valid: with the current key, plain form\n")
    assert "when it came:  valid\n" in printed
    deployed.put_failed(NOTIFICATION)
    erased = "valid when it came; nothing is kept that could be verified"
    assert erased in followups("verify", ORDER, code=1).out
