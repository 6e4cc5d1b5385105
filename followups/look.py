"""A look at the dead letters: each is received, read and shown again; nothing goes anywhere."""

from collections.abc import Callable, Sequence

from followups.dead_letters import Letter, read_letter
from followups.queues import receive, show_again
from followups.stack import Stack

# Ten are what SQS hands out at most; a minute is ample to read them.
_AT_ONCE = 10
_HIDDEN_SECONDS = 60


def look(stack: Stack, queues: Sequence[str], tell: Callable[[Letter], None]) -> None:
    """Tell of every letter that lies in the queues and is not hidden."""
    for queue in queues:
        _look_into(stack, queue, tell)


def _look_into(stack: Stack, queue: str, tell: Callable[[Letter], None]) -> None:
    url = stack.output(queue)
    held: dict[str, str] = {}  # by message id, the newest handle
    try:
        while messages := receive(stack, url, count=_AT_ONCE, hidden_seconds=_HIDDEN_SECONDS):
            new = [message for message in messages if message["MessageId"] not in held]
            held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            if not new:  # the first ones show again: all were seen
                break
            for message in new:
                tell(read_letter(stack, queue, message))
    finally:
        for handle in held.values():
            show_again(stack, url, handle)
