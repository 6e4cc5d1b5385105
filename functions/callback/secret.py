"""The merchant's keys: from Secrets Manager, kept for minutes, never logged."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from callback.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MerchantKeys = dict[str, str]
"""The keys to try, by the name that logs may show: `current`, and `previous` during a rotation."""

_FIELDS = {"current": "secretKey", "previous": "previousSecretKey"}
_KEEP = timedelta(minutes=5)
# A stranger's checksums all fail: they may not make a request each.
_ASK_AGAIN_AFTER = timedelta(seconds=30)


class Secret:
    """A cache of one secret. A rotated key is found by asking again when a checksum fails."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str, clock: Clock) -> None:
        self._client = client
        self._secret_id = secret_id
        self._clock = clock
        self._keys: MerchantKeys = {}
        self._fetched: datetime | None = None

    def keys(self) -> MerchantKeys:
        """Return the keys.

        Raises `ClientError` or `BotoCoreError` where the secret cannot be read, `ValueError` where it is not JSON.
        """
        return self._keys if self._is_younger_than(_KEEP) else self._fetch()

    def newer_keys(self) -> MerchantKeys:
        """Return the keys as they are now, or none where they were read a moment ago. Raises as `keys` does."""
        return {} if self._is_younger_than(_ASK_AGAIN_AFTER) else self._fetch()

    def _fetch(self) -> MerchantKeys:
        text = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        self._keys, self._fetched = merchant_keys(text), self._clock()
        return self._keys

    def _is_younger_than(self, age: timedelta) -> bool:
        return self._fetched is not None and self._clock() - self._fetched < age


def merchant_keys(text: str) -> MerchantKeys:
    """Read the secret's text: its keys without the white space around them. Raises `ValueError` if it is not JSON."""
    secret = json.loads(text)
    given = secret if isinstance(secret, dict) else {}
    found = {name: given.get(field) for name, field in _FIELDS.items()}
    return {name: key.strip() for name, key in found.items() if isinstance(key, str) and key.strip()}
