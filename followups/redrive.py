"""Redrive: each dead letter goes back to its function, and leaves its queue only once the function succeeded.

The order is resubmit, *then* delete: whoever dies in between leaves the letter where it was, and a letter that goes
back twice is harmless, since the record knows which passes are done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from followups.dead_letters import Letter, read_letter
from followups.invocation import StillFails, invoke, printable
from followups.queues import receive, show_again
from followups.stack import PATIENCE_SECONDS, Stack

# Hidden from others for longer than its function may take; after a kill it shows again by itself.
_HIDDEN_SECONDS = PATIENCE_SECONDS + 60


@dataclass(frozen=True)
class Outcome:
    """What became of one letter."""

    letter: Letter
    went_back: bool
    text: str


Tell = Callable[[Outcome], None]


def redrive(stack: Stack, queues: Sequence[str], tell: Tell) -> None:
    """Send back every letter of the queues once, and tell of each."""
    for queue in queues:
        _redrive_queue(stack, queue, tell)


def _redrive_queue(stack: Stack, queue: str, tell: Tell) -> None:
    url = stack.output(queue)
    held: dict[str, str] = {}  # what stays, by message id, and the handle to show it again
    try:
        # One at a time: each is hidden only while its own function runs.
        while messages := receive(stack, url, count=1, hidden_seconds=_HIDDEN_SECONDS):
            [message] = messages
            known = message["MessageId"] in held  # in a long run a letter may show again: once is enough
            held[message["MessageId"]] = message["ReceiptHandle"]
            if known:
                continue
            outcome = _handle(stack, read_letter(stack, queue, message), url, message["ReceiptHandle"])
            if outcome.went_back:
                del held[message["MessageId"]]
            tell(outcome)
    finally:
        for handle in held.values():
            show_again(stack, url, handle)


def _handle(stack: Stack, letter: Letter, url: str, handle: str) -> Outcome:
    if letter.refusal:
        return Outcome(letter, went_back=False, text=f"stays: {letter.refusal}")
    try:
        invoke(stack, letter.function, letter.payload)
    except StillFails as error:
        return Outcome(letter, went_back=False, text=f"stays: {error}")
    try:
        stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    except (ClientError, BotoCoreError) as error:
        text = f"stays: {letter.goes_to} succeeded, but the letter could not be deleted: {error}"
        return Outcome(letter, went_back=False, text=printable(text))
    return Outcome(letter, went_back=True, text=f"went back to {letter.goes_to}")
