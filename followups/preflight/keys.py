"""Keys of one's own: the one that the stack is to use, and those that tables and secret are under."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from followups.preflight.finding import Finding
from followups.preflight.plan import Plan
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


def own_key(target: Target, plan: Plan) -> Iterator[Finding]:
    """Where KmsKeyArn is given, that key can be used; its policy is not read."""
    if not (key := plan.parameters["KmsKeyArn"]):
        return
    subject = f"KmsKeyArn {key}"
    if f":{plan.where.region}:" not in key:
        yield Finding("stop", subject, f"it is not in {plan.where.region}", "name a key of the stack's region")
        return
    if (state := _key(target, subject, key)["KeyState"]) != "Enabled":
        yield Finding("stop", subject, f"it is {state}", "enable the key, or name another")
    else:
        todo = f"its policy must let the account's roles use it, and logs.{plan.where.region}.amazonaws.com"
        yield Finding("warn", subject, "Enabled; its policy is not looked at", todo)


def customer_key(target: Target, plan: Plan, subject: str, key: str | None, who: str) -> Iterator[Finding]:
    """Say which permission `who` needs for what is there already: the template gives it for KmsKeyArn alone."""
    # Named by an id, an ARN or an alias; AWS's own keys need no permission.
    if not key or (about := _key(target, subject, key)).get("KeyManager") == "AWS":
        return
    if about["KeyState"] != "Enabled":
        yield Finding("stop", subject, f"its key {key} is {about['KeyState']}", "enable the key, or nobody can read it")
    elif about["Arn"] == plan.parameters["KmsKeyArn"]:
        yield Finding("ok", subject, "encrypted under KmsKeyArn")
    else:
        todo = f"name it as KmsKeyArn, or allow {who} kms:Decrypt in that key's policy after the deployment"
        yield Finding("warn", subject, f"encrypted under a key of your own, {key}", todo)


def _key(target: Target, subject: str, key: str) -> dict[str, Any]:
    client: KMSClient = target.client("kms")
    answer: Any = ask(subject, "kms:DescribeKey", client.describe_key, KeyId=key)
    found: dict[str, Any] = answer["KeyMetadata"] if answer else {"KeyState": "not there"}
    return found
