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


class Secret:
    """A cache of one secret. A rotated key is found by asking again when a checksum fails."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str, clock: Clock) -> None:
        self._client = client
        self._secret_id = secret_id
        self._clock = clock
        self._keys: MerchantKeys = {}
        self._fetched: datetime | None = None

    def keys(self) -> tuple[MerchantKeys, bool]:
        """Return the keys, and whether they are fresh from Secrets Manager.

        Raises `ClientError` or `BotoCoreError` where it cannot be read, `ValueError` where it is not JSON.
        """
        if self._fetched and self._clock() - self._fetched < _KEEP:
            return self._keys, False
        return self.refetched(), True

    def refetched(self) -> MerchantKeys:
        """Ask Secrets Manager whatever is cached; raises as `keys` does."""
        text = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        self._keys, self._fetched = merchant_keys(text), self._clock()
        return self._keys


def merchant_keys(text: str) -> MerchantKeys:
    """Read the secret's text: what it holds of keys, none where it holds none. Raises `ValueError` if it is no JSON."""
    secret = json.loads(text)
    given = secret if isinstance(secret, dict) else {}
    found = {name: given.get(field) for name, field in _FIELDS.items()}
    return {name: key for name, key in found.items() if isinstance(key, str) and key.strip()}
