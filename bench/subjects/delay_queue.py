"""SQS DelaySeconds in the schedule's place, as bare as the floor."""

import json
from collections.abc import Callable

from bench.environment import timer
from bench.subjects.floor import Calls, steps_of


class Queued(Calls):
    """The floor's calls, with a message that becomes visible after 60 s instead of a schedule."""

    @staticmethod
    def services() -> tuple[str, ...]:
        """Return the clients that are needed."""
        return "dynamodb", "lambda", "sqs", "secretsmanager"

    def wait(self, number: int) -> None:
        """Send the message."""
        queue = "http://queue.local.example/123456789012/recheck"
        self.client["sqs"].send_message(QueueUrl=queue, DelaySeconds=60, MessageBody=json.dumps(timer(number)))


def steps() -> tuple[Callable[[int], object], ...]:
    """Return the two invocations."""
    return steps_of(Queued())
