"""What a deployment uses and does not make: ProcessPaidOrder, the merchant's secret, the alarm topic."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from callback.checksum import merchant_keys
from followups.preflight.finding import Finding, Unread, each
from followups.preflight.keys import customer_key
from followups.preflight.plan import Plan
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient

_SHAPE = '{"secretKey": "...", "previousSecretKey": "..."}'


def process_paid_order(target: Target, plan: Plan) -> Iterator[Finding]:
    """It is there, can be invoked, and ends within the time that a pass has."""
    client: LambdaClient = target.client("lambda")
    name = plan.template.variable("PROCESS_PAID_ORDER_FUNCTION")
    subject, action = f"ProcessPaidOrder {name}", "lambda:GetFunctionConfiguration"
    about = ask(subject, action, client.get_function_configuration, FunctionName=name)
    if about is None:
        yield Finding("stop", subject, "there is no such function", "deploy it, or name it: ProcessPaidOrderFunction")
        return
    if about.get("State", "Active") in {"Failed", "Pending"}:
        yield Finding("stop", subject, f"its state is {about['State']}", "repair it: each pass would fail")
        return
    yield _time(subject, about["Timeout"], plan)


def _time(subject: str, timeout: int, plan: Plan) -> Finding:
    allowed = int(plan.parameters["PassTimeoutSeconds"])
    if timeout <= allowed:
        return Finding("ok", subject, f"its timeout of {timeout} s fits PassTimeoutSeconds={allowed}")
    text = f"it may run {timeout} s, a pass only {allowed}: what takes longer counts as failed, and is run again"
    values = plan.content["Parameters"]["PassTimeoutSeconds"].get("AllowedValues", [])
    longer = [value for value in map(int, values) if value >= timeout]
    todo = f"PassTimeoutSeconds={min(longer)}" if longer else f"give it a timeout of {max(map(int, values))} s or less"
    return Finding("warn", subject, text, todo)


def secret(target: Target, plan: Plan) -> Iterator[Finding]:
    """It is there and holds keys in the shape that DelayedNotify reads; nothing of it is printed."""
    name = plan.template.variable("KBANK_SECRET_ID")
    yield from each(_secret_shape(target, name), _secret_key(target, plan, name))


def _secret_shape(target: Target, name: str) -> Iterator[Finding]:
    client: SecretsManagerClient = target.client("secretsmanager")
    subject = f"secret {name}"
    try:
        answer = ask(subject, "secretsmanager:GetSecretValue", client.get_secret_value, SecretId=name)
    except Unread as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "InvalidRequestException":
            yield Finding("stop", subject, "it is marked for deletion", "restore it, or name another: KBankSecretId")
            return
        raise
    if answer is None:
        yield Finding("stop", subject, "there is no such secret", f"make it, or name it: KBankSecretId; {_SHAPE}")
    else:
        yield _shape(subject, answer.get("SecretString", ""))


def _shape(subject: str, text: str) -> Finding:
    try:
        keys, content = merchant_keys(text), json.loads(text)
    except (ValueError, RecursionError):  # not shown: the error of a JSON text quotes it
        return Finding("stop", subject, "it is no JSON text", f"store {_SHAPE}")
    if "current" not in keys:
        return Finding("stop", subject, "it has no secretKey that is a text", f"store {_SHAPE}")
    if len(content) > len(keys):
        return Finding("warn", subject, "it has fields that nobody reads, or that are no text", f"store {_SHAPE}")
    previous = ", and previousSecretKey of a rotation" if "previous" in keys else ""
    return Finding("ok", subject, f"it has secretKey{previous}")


def _secret_key(target: Target, plan: Plan, name: str) -> Iterator[Finding]:
    client: SecretsManagerClient = target.client("secretsmanager")
    subject = f"secret {name}"
    answer = ask(subject, "secretsmanager:DescribeSecret", client.describe_secret, SecretId=name)
    key = answer.get("KmsKeyId") if answer else None
    yield from customer_key(target, plan, subject, key, "the roles of DelayedNotify and Retry")


def alarm_topic(target: Target, plan: Plan) -> Iterator[Finding]:
    """Where a topic is given, it is there, somebody is subscribed, and CloudWatch may publish to it."""
    arn = plan.parameters["AlarmTopicArn"]
    if not arn:
        yield Finding(
            "ok",
            "AlarmTopicArn",
            "none is given: one is made, without subscribers",
            "subscribe to the output AlarmTopic",
        )
        return
    client: SNSClient = target.client("sns")
    subject = f"alarm topic {arn}"
    if f":{plan.where.region}:" not in arn:
        yield Finding(
            "stop", subject, f"it is not in {plan.where.region}", "alarms tell only topics of their own region"
        )
        return
    answer = ask(subject, "sns:GetTopicAttributes", client.get_topic_attributes, TopicArn=arn)
    if answer is None:
        yield Finding("stop", subject, "there is no such topic", "make it, or correct AlarmTopicArn")
    else:
        yield _topic(subject, answer["Attributes"])


def _topic(subject: str, about: Mapping[str, Any]) -> Finding:
    if str(about.get("KmsMasterKeyId", "")).endswith("alias/aws/sns"):
        todo = "encrypt it under a key of your own that lets cloudwatch.amazonaws.com in, or not at all"
        return Finding("stop", subject, "it is encrypted under SNS's own key: CloudWatch cannot publish to it", todo)
    confirmed = int(about.get("SubscriptionsConfirmed", 0))
    if not confirmed:
        return Finding("warn", subject, "nobody is subscribed", "subscribe who is to wake up")
    return Finding("ok", subject, f"{confirmed} subscribed")
