"""Is the bank's checksum valid?

It is a plain hash, not an HMAC: SHA-256 of id, amount with 4 decimals, currency, status, transaction state and the
merchant's key, one behind the other.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from callback.notification import Notification
from callback.secret import MerchantKeys

Status = Literal["valid", "invalid", "missing", "unverifiable"]


@dataclass(frozen=True)
class Verdict:
    """What is known of one checksum. `form` and `key` say what matched, where it is valid."""

    status: Status
    error: str | None = None
    form: str | None = None
    key: str | None = None

    @property
    def valid(self) -> bool:
        """Whether the bank vouches for the charge's id, amount, currency and state. It never does for the order id."""
        return self.status == "valid"


def verify(notification: Notification, keys: MerchantKeys) -> Verdict:
    """Compare the checksum with every form under every key; only a match makes it valid."""
    given = notification.checksum
    if not given:
        return Verdict("missing", "the notification carries no checksum")
    if not isinstance(given, str):
        return Verdict("invalid", "the checksum is not text")
    covered = (
        notification.amount,
        notification.currency,
        notification.status,
        notification.transaction_state,
    )
    if None in covered:
        return Verdict("unverifiable", "amount, currency, status or transaction_state is missing or cannot be hashed")
    if not keys:
        return Verdict("unverifiable", "no merchant key is set")
    for key_name, key in keys.items():
        for form, text in _forms(notification):
            if _matches(given, text + key):
                return Verdict("valid", form=form, key=key_name)
    return Verdict("invalid", "the checksum matches no merchant key")


def _forms(n: Notification) -> Iterator[tuple[str, str]]:
    plain = f"{n.charge_id}{n.amount:.4f}{n.currency}{n.status}{n.transaction_state}"
    yield "plain", plain
    # The bank does not publish the form. Public integrations differ in the failure code, so a failed charge may hash
    # either way.
    if n.failure_code and n.failure_code.strip():
        yield "failure_code", plain + n.failure_code


def _matches(given: str, text: str) -> bool:
    # As bytes: compare_digest refuses non-ASCII text, and a forged checksum may be any text.
    ours = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return hmac.compare_digest(given.lower().encode(errors="replace"), ours.encode())
