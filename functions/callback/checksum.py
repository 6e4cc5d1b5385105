"""Is the bank's checksum valid, under the merchant's keys?

It is a plain hash, not an HMAC: SHA-256 of id, amount with 4 decimals, currency, status, transaction state and the
merchant's key, concatenated.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from callback.clock import Clock
from callback.log import log
from callback.notification import Notification
from callback.record import PROVED
from callback.redact import BLANKS
from callback.table import AWS_ERRORS

MerchantKeys = dict[str, str]
"""The keys to try, by a name that may be shown: `current`, and `previous` during a rotation."""

_FIELDS = {"current": "secretKey", "previous": "previousSecretKey"}
_KEEP = timedelta(minutes=5)
# A stranger's checksums all fail; they must not each cause a request.
_ASK_AGAIN_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Verdict:
    """What is known of one checksum. If it is valid, `form` and `key` say what matched.

    With a valid one the bank vouches for the charge's id, amount, currency and state, but not for the order id.
    `retryable`: it cannot be verified only because the merchant's key is missing.
    """

    status: Literal["valid", "invalid", "missing", "unverifiable"]
    error: str | None = None
    form: str | None = None
    key: str | None = None
    retryable: bool = False


def verify(notification: Notification, keys: MerchantKeys) -> Verdict:
    """Compare the checksum with every form under every key; only a match makes it valid."""
    n, given = notification, notification.checksum
    if not given:
        return Verdict("missing", "the notification carries no checksum")
    if not isinstance(given, str):
        return Verdict("invalid", "the checksum is not text")
    if None in (n.amount, n.currency, n.status, n.transaction_state):
        return Verdict("unverifiable", "amount, currency, status or transaction_state is missing or cannot be hashed")
    if not keys:
        return Verdict("unverifiable", "the merchant key could not be read", retryable=True)
    # As bytes: compare_digest refuses non-ASCII text, and a forged checksum may be any text.
    sent = given.strip(BLANKS).lower().encode(errors="replace")
    for name, key in keys.items():
        for form, text in _forms(n):
            computed = hashlib.sha256((text + key).encode(errors="replace")).hexdigest()
            if hmac.compare_digest(sent, computed.encode()):
                return Verdict("valid", form=form, key=name)
    return Verdict("invalid", "the checksum matches no merchant key")


def _forms(n: Notification) -> Iterator[tuple[str, str]]:
    plain = f"{n.charge_id}{n.amount:.4f}{n.currency}{n.status}{n.transaction_state}"
    yield "plain", plain
    # The bank does not publish the form. Public integrations disagree on the failure code, so a failed charge may be
    # hashed either way.
    if n.failure_code and n.failure_code.strip():
        yield "failure_code", plain + n.failure_code


@dataclass
class Secret:
    """A cache of one secret. It finds a rotated key by reading the secret again when a checksum fails.

    While the secret cannot be read, the last keys remain in use.
    """

    client: Any
    secret_id: str
    clock: Clock
    _keys: MerchantKeys = field(default_factory=dict)
    _fetched: datetime | None = None
    _asked: datetime | None = None

    def verify(self, notification: Notification) -> Verdict:
        """Verify under the known keys, and if that fails under newer ones."""
        if notification.checksum and not self._is_within(_KEEP, self._fetched):
            self._refresh()
        verdict = verify(notification, self._keys)
        if verdict.status in {PROVED, "missing"} or not self._refresh():
            return verdict
        return verify(notification, self._keys)

    def _refresh(self) -> bool:
        if self._is_within(_ASK_AGAIN_AFTER, self._asked):
            return False
        self._asked = self.clock()
        try:
            self._keys = read_keys(self.client, self.secret_id)
        except (*AWS_ERRORS, ValueError, RecursionError) as error:
            log.step_failed("secret", error)
            return False
        self._fetched = self._asked
        return True

    def _is_within(self, wait: timedelta, time: datetime | None) -> bool:
        return time is not None and self.clock() - time < wait


def read_keys(client: Any, secret_id: str) -> MerchantKeys:  # noqa: ANN401 - lazy
    """Ask Secrets Manager. Raises `AWS_ERRORS`, and `ValueError` where the secret holds no key."""
    keys = merchant_keys(client.get_secret_value(SecretId=secret_id).get("SecretString", ""))
    if not keys:
        raise ValueError("it holds no merchant key")
    return keys


def merchant_keys(text: str) -> MerchantKeys:
    """Read the secret's text: its keys without the white space around them. Raises `ValueError` if it is not JSON."""
    secret = json.loads(text.strip(BLANKS))
    given = secret if isinstance(secret, dict) else {}
    found = {name: given.get(field) for name, field in _FIELDS.items()}
    return {name: key.strip(BLANKS) for name, key in found.items() if isinstance(key, str) and key.strip(BLANKS)}
