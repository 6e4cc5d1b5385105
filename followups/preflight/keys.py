"""Keys of one's own: what is encrypted under one needs a permission that template.yaml does not give."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from followups.preflight.finding import Finding
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


def customer_key(target: Target, subject: str, key: str | None, who: str) -> Iterator[Finding]:
    """Say which permission `who` needs, where the key is the customer's own; AWS's keys need none."""
    if not key:
        return
    client: KMSClient = target.client("kms")
    answer = ask(subject, "kms:DescribeKey", client.describe_key, KeyId=key)
    about = answer["KeyMetadata"] if answer else {"KeyState": "not there"}
    if about.get("KeyManager") == "AWS":
        return
    if about["KeyState"] != "Enabled":
        yield Finding("stop", subject, f"its key {key} is {about['KeyState']}", "enable the key, or nobody can read it")
        return
    todo = f"after the deployment, allow {who} kms:Decrypt in that key's policy: the template does not"
    yield Finding("warn", subject, f"encrypted under a key of your own, {key}", todo)
