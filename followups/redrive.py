"""Redrive: each dead letter goes back to its function, and leaves its queue only once the function succeeded.

The order is resubmit, *then* delete: whoever dies in between leaves the letter where it was, and a letter that goes
back twice is harmless, since the record knows which passes are done.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from followups.dead_letters import QUEUES, Letter, read_letter
from followups.invocation import StillFails, invoke, printable
from followups.stack import PATIENCE_SECONDS, Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Hidden from others for longer than its function may take; after a kill it shows again by itself.
_HIDDEN_SECONDS = PATIENCE_SECONDS + 60
# Any wait makes SQS ask all its servers; without one it may miss what is there.
_WAIT_SECONDS = 1


@dataclass(frozen=True)
class Outcome:
    """What became of one letter."""

    letter: Letter
    went_back: bool
    text: str


Tell = Callable[[Outcome], None]


def redrive(stack: Stack, tell: Tell, *, dry_run: bool = False) -> None:
    """Send back every letter of the stack's failure queues once, and tell of each; a dry run only tells."""
    for queue in QUEUES:
        _redrive_queue(stack, queue, tell, dry_run=dry_run)


def _redrive_queue(stack: Stack, queue: str, tell: Tell, *, dry_run: bool) -> None:
    url = stack.output(queue)
    held: dict[str, str] = {}  # what stays, by message id, and the handle to show it again
    try:
        while message := _next(stack, url):
            known = message["MessageId"] in held  # in a long run a letter may show again: once is enough
            held[message["MessageId"]] = message["ReceiptHandle"]
            if known:
                continue
            outcome = _handle(stack, read_letter(stack, queue, message), url, message, dry_run=dry_run)
            if outcome.went_back and not dry_run:
                del held[message["MessageId"]]
            tell(outcome)
    finally:
        for handle in held.values():
            _show_again(stack, url, handle)


def _next(stack: Stack, url: str) -> "MessageTypeDef | None":
    # One at a time: each is hidden only while its own function runs.
    answer = stack.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=1,
        VisibilityTimeout=_HIDDEN_SECONDS,
        WaitTimeSeconds=_WAIT_SECONDS,
        MessageAttributeNames=["All"],
    )
    return next(iter(answer.get("Messages", [])), None)


def _handle(stack: Stack, letter: Letter, url: str, message: "MessageTypeDef", *, dry_run: bool) -> Outcome:
    if letter.refusal:
        return Outcome(letter, went_back=False, text=f"stays: {letter.refusal}")
    if dry_run:
        return Outcome(letter, went_back=True, text=f"would go back to {_name(letter)}; it failed with {letter.error}")
    try:
        invoke(stack, letter.function, letter.payload)
    except StillFails as error:
        return Outcome(letter, went_back=False, text=f"stays: {error}")
    try:
        stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    except (ClientError, BotoCoreError) as error:
        text = f"stays: {_name(letter)} succeeded, but the letter could not be deleted: {error}"
        return Outcome(letter, went_back=False, text=printable(text))
    return Outcome(letter, went_back=True, text=f"went back to {_name(letter)}")


def _show_again(stack: Stack, url: str, handle: str) -> None:
    with suppress(ClientError, BotoCoreError):  # it shows again by itself, some minutes later
        stack.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)


def _name(letter: Letter) -> str:
    return letter.function.rsplit(":", 1)[-1]
