"""`followups verify`: whether a notification's checksum holds, under which key, and never what would be right."""

import base64
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from local.stack import SECRET
from tests.support.aws import CHARGE, ORDER, sample
from tests.support.deployed import Deployed

OLD = "skey_test_old_not_a_real_key"
KEYS = {"current": SECRET["secretKey"], "previous": OLD}
Print = pytest.CaptureFixture[str]


def body(key: str = SECRET["secretKey"], **changes: Any) -> str:
    """The bank's JSON, signed."""
    event: dict[str, Any] = json.loads(sample("authorized")["body"]) | changes
    covered = f"{event['id']}{event['amount']:.4f}{event['currency']}{event['status']}{event['transaction_state']}"
    failure = event.get("failure_code") or ""
    return json.dumps(event | {"checksum": hashlib.sha256(f"{covered}{failure}{key}".encode()).hexdigest()})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the notification is."""
    return tmp_path / "event.json"


def test_valid_checksum_is_said_with_what_it_covers(deployed: Deployed, capsys: Print, file: Path) -> None:
    """Exit 0, the key's name, the form, and that the order id is not covered; neither a key nor a checksum."""
    file.write_text(json.dumps(sample("authorized")))
    assert deployed.run("verify", str(file)) == 0
    said = capsys.readouterr().out
    assert said == (
        "valid: with the current key, plain form\n"
        f"covered:        chargeId={CHARGE} amount=200.5000 currency=THB status=success transactionState=Authorized\n"
        f"not covered:    orderId={ORDER}, source, description\n"
    )
    assert set(deployed.world.wire.names()) == {"cloudformation.DescribeStacks", "secretsmanager.GetSecretValue"}
    assert_nothing_secret(said)


@pytest.mark.parametrize("name", ["authorized", "http-api-v2", "large-amount"])
def test_each_form_of_the_event_is_read(deployed: Deployed, file: Path, name: str) -> None:
    """REST and HTTP API, plain or base64, whole or the bank's JSON alone, which keeps its digits."""
    event = sample(name)
    text = event["body"]
    if event.get("isBase64Encoded"):
        text = base64.b64decode(text).decode()
    for content in (json.dumps(event), text):
        file.write_text(content)
        assert deployed.run("verify", str(file)) == 0


def test_standard_input_is_read(
    deployed: Deployed, capsys: Print, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-`, and keys of one's own: no call of AWS is made. During a rotation the previous key is named."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"secretKey": KEYS["current"], "previousSecretKey": OLD}))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body(OLD).encode())))
    assert deployed.run("verify", "--secret-file", str(keys), "-") == 0
    assert capsys.readouterr().out.startswith("valid: with the previous key, plain form\n")
    assert deployed.world.wire.names() == []


def test_failure_form_is_named(deployed: Deployed, capsys: Print, file: Path) -> None:
    """A failed charge may be signed with its failure code: which form matched is said."""
    file.write_text(body(status="fail", failure_code="insufficient_fund"))
    assert deployed.run("verify", str(file), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["checksumStatus"], told["checksumForm"], told["key"]) == ("valid", "failure_code", "current")
    assert told["covered"]["amount"] == "200.5000"
    assert told["notCovered"] == ["orderId", "source", "description"]


@pytest.mark.parametrize(
    ("content", "ends"),
    [
        (json.dumps(sample("wrong-checksum")), (1, "invalid: the checksum matches no merchant key\n")),
        (json.dumps(sample("missing-checksum")), (1, "missing: the notification carries no checksum\n")),
        (body(key="another"), (1, "invalid: the checksum matches no merchant key\n")),
        (
            body().replace('"THB"', "null"),
            (2, "unverifiable: amount, currency, status or transaction_state is missing or cannot be hashed\n"),
        ),
    ],
)
def test_what_does_not_hold_is_said(
    deployed: Deployed, capsys: Print, file: Path, content: str, ends: tuple[int, str]
) -> None:
    """Exit 1 where it is not valid, 2 where it cannot be checked; never what would have been right."""
    file.write_text(content)
    code, says = ends
    assert deployed.run("verify", str(file)) == code
    said = capsys.readouterr().out
    assert said.startswith(says)
    assert "it would cover:" in said
    assert_nothing_secret(said)


def test_no_amount_is_said_as_such(deployed: Deployed, capsys: Print, file: Path) -> None:
    """A browser return states no amount: there is nothing to check."""
    file.write_text(json.dumps(sample("browser-return")))
    assert deployed.run("verify", str(file)) == 1
    said = capsys.readouterr().out
    assert "amount=- currency=-" in said
    assert "not covered:    the order id, source" in said


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff", "[" * 100_000, '{"body": ""}', '{"id": null}'])
def test_what_is_no_notification_is_refused(deployed: Deployed, capsys: Print, file: Path, content: str) -> None:
    """Exit 2, and one line of what is wrong."""
    file.write_bytes(content.encode("latin-1"))
    assert deployed.run("verify", str(file)) == 2
    assert capsys.readouterr().err.startswith("Error: no notification: ")


def test_file_that_is_not_there_is_refused(deployed: Deployed, capsys: Print) -> None:
    """Exit 2, its name, and how the command is used."""
    assert deployed.run("verify", "nowhere.json") == 2
    assert "nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "skey_test_bare"])
def test_secret_that_is_no_json_is_said_and_not_shown(
    deployed: Deployed, capsys: Print, file: Path, tmp_path: Path, text: str
) -> None:
    """Exit 2: the stack's or one's own."""
    file.write_text(json.dumps(sample("authorized")))
    keys = tmp_path / "keys.json"
    keys.write_text(text)
    assert deployed.run("verify", str(file), "--secret-file", str(keys)) == 2
    deployed.world.client("secretsmanager").put_secret_value(SecretId="payment3/kbank", SecretString=text)
    assert deployed.run("verify", str(file)) == 2
    said = capsys.readouterr()
    assert "keys.json cannot be read as JSON" in said.err
    assert "the secret payment3/kbank holds no merchant key" in said.err
    assert text not in (said.err + said.out).split()


def test_secret_without_a_key_cannot_prove_anything(deployed: Deployed, file: Path) -> None:
    """An empty key would make every forgery valid: exit 2."""
    file.write_text(body(key=""))
    deployed.world.client("secretsmanager").put_secret_value(
        SecretId="payment3/kbank", SecretString='{"secretKey": ""}'
    )
    assert deployed.run("verify", str(file)) == 2


def assert_nothing_secret(said: str) -> None:
    """No key and nothing that looks like a checksum."""
    assert not any(key in said for key in KEYS.values())
    assert not any(len(word) >= 64 for word in said.split())


def test_what_is_stored_of_an_order_is_verified(deployed: Deployed, capsys: Print) -> None:
    """By the body that was kept, with the verdict of then beside it; a body that was erased is said to be."""
    deployed.world.deliver()
    assert deployed.run("verify", ORDER) == 0
    said = capsys.readouterr().out
    assert said.startswith("valid: with the current key, plain form\n")
    assert "when it came:   valid\n" in said
    deployed.world.wait(61)
    deployed.world.recheck()
    deployed.run("forget", ORDER, "--yes")
    capsys.readouterr()
    assert deployed.run("verify", ORDER) == 1
    assert "valid when it came; nothing is kept that could be verified" in capsys.readouterr().out
    assert deployed.run("verify", "ORDER-9") == 1
    assert "is neither a file, nor was a notification saved under it" in capsys.readouterr().out
