"""The failure queues, as SQS hands out what lies in them."""

from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from followups.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Any wait makes SQS ask all its servers; without one it may miss what is there.
_WAIT_SECONDS = 1


def receive(stack: Stack, url: str, *, count: int, hidden_seconds: int) -> "list[MessageTypeDef]":
    """Receive at most `count` messages, hidden from others for so long."""
    answer = stack.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=count,
        VisibilityTimeout=hidden_seconds,
        WaitTimeSeconds=_WAIT_SECONDS,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    return answer.get("Messages", [])


def show_again(stack: Stack, url: str, handle: str) -> None:
    """Let others receive a message at once."""
    with suppress(ClientError, BotoCoreError):  # it shows again by itself, some minutes later
        stack.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
