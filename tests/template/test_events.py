"""events/: each sample is one an engineer may send, and each does what its name says."""

from pathlib import Path

import pytest

from callback.notification import parse_notification
from local.samples import EVENTS, NAMES
from tests.support.aws import ORDER, World, sample

EXPECTED = {
    "authorized": ("Authorized", "valid"),
    "pre-authorized": ("Pre-Authorized", "valid"),
    "declined": ("Declined", "valid"),
    "large-amount": ("Authorized", "valid"),
    "browser-return": (None, "missing"),
    "base64": ("Authorized", "valid"),
    "http-api-v2": ("Authorized", "valid"),
    "wrong-checksum": ("Authorized", "invalid"),
    "missing-checksum": ("Authorized", "missing"),
}


def test_every_file_is_run() -> None:
    """No sample is unused."""
    others = {"recheck", "retry", "sweep"}
    assert {file.stem for file in EVENTS.glob("*.json")} == {*NAMES, *others} == {*EXPECTED, *others}


@pytest.mark.parametrize("name", NAMES)
def test_sample_gets_both_passes(world: World, name: str) -> None:
    """Every kind of notification, checksum or not, is followed up twice by default."""
    about = parse_notification(sample(name))
    world.pay(chargeId=about.charge_id, orderId=about.order_id or ORDER)
    assert world.deliver(sample(name))["statusCode"] == 200
    world.wait(62)
    assert world.recheck(chargeId=about.charge_id, notificationId=about.notification_id)["state"] == "DONE"
    record = world.record()
    assert (record.get("transactionState"), record["checksumStatus"], record["passesDone"]) == (*EXPECTED[name], 2)


@pytest.mark.parametrize("file", sorted(EVENTS.glob("*.json")), ids=lambda file: file.stem)
def test_sample_shows_no_real_card_or_key(file: Path) -> None:
    """Samples use made-up charges and masked cards only."""
    text = str(sample(file.stem))
    assert "chrg_prod" not in text
    assert "skey_" not in text
