"""events/: each sample is one an engineer may send, and each does what its name says."""

import re

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


@pytest.mark.parametrize("name", sorted({*NAMES, *EXPECTED}))
def test_sample_gets_both_passes(world: World, name: str) -> None:
    """Every kind of notification, checksum or not, is followed up twice by default; no sample is left out."""
    about = parse_notification(sample(name))
    world.pay(chargeId=about.charge_id, orderId=about.order_id or ORDER)
    assert world.deliver(sample(name))["statusCode"] == 200
    world.wait(62)
    assert world.recheck(chargeId=about.charge_id, notificationId=about.notification_id)["state"] == "DONE"
    record = world.record()
    assert (record.get("transactionState"), record["checksumStatus"], record["passesDone"]) == (*EXPECTED[name], 2)


def test_samples_show_no_real_charge_or_key() -> None:
    """They use made-up charges only."""
    assert not re.search("chrg_prod|skey_", "".join(file.read_text() for file in EVENTS.glob("*.json")))
