"""The retry queue: what Lambda and Scheduler could not hand over is delivered again until it is saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from callback.clock import Clock
from callback.errors import GaveUp, OrderUnsettled, PassFailed, RetriesExhausted, SpoiltRecord
from callback.log import log
from callback.report import Reporter, kind_of
from callback.settings import Settings
from callback.table import AWS_ERRORS

# The queue's visibility timeout: how soon a letter comes again.
_RETRY_EVERY = timedelta(minutes=12)
# The notification is saved, and the record knows what is missing.
_SAVED = (PassFailed, GaveUp, OrderUnsettled, SpoiltRecord)

Message = dict[str, Any]


@dataclass(frozen=True)
class Retries:
    """Delivers the letters of the retry queue again."""

    sqs: Any
    settings: Settings
    clock: Clock
    reporter: Reporter

    def is_settled(self, message: Message, deliver: Callable[[object], object]) -> bool:
        """Deliver a letter's event again, and return whether the letter may go; if not it comes again later.

        What no retry can help moves to the refused queue. Errors are reported by then.
        """
        event = _event_of(message["body"])
        try:
            with self.reporter.reported("retry", "retried", event):
                self._deliver(event, message, deliver)
        except Exception as error:  # noqa: BLE001 - one that raised would bring back the others of its batch
            return isinstance(error, _SAVED) or (kind_of(error) == "refused" and self._is_moved(message, error))
        return True

    def _deliver(self, event: object, message: Message, deliver: Callable[[object], object]) -> None:
        if isinstance(event, dict) and {"version", "pass", "notificationId"} <= set(event):
            log.bind(outcome="known")  # a timer that Scheduler could not hand over: the sweep reads the record
            return
        try:
            deliver(event)
        except Exception as error:
            if isinstance(error, _SAVED) or kind_of(error) == "refused" or not self._is_last_try(message):
                raise
            exhausted = RetriesExhausted(f"not saved within {self.settings.give_up_after_hours} hours: {error}")
            raise exhausted from error

    def _is_last_try(self, message: Message) -> bool:
        sent = datetime.fromtimestamp(int(message["attributes"]["SentTimestamp"]) / 1000, UTC)
        return self.clock() - sent >= self.settings.give_up_after - _RETRY_EVERY

    def _is_moved(self, message: Message, error: Exception) -> bool:
        reasons = {"errorType": type(error).__name__, "reason": str(error)[:256]}
        attributes: Any = {name: {"DataType": "String", "StringValue": text} for name, text in reasons.items()}
        sent = {"MessageBody": message["body"], "MessageAttributes": attributes}
        try:
            self.sqs.send_message(QueueUrl=self.settings.refused_queue_url, **sent)
        except AWS_ERRORS:
            return False  # it comes again, and moves then
        return True


def _event_of(body: str) -> object:
    try:
        letter = json.loads(body)
    except ValueError:
        return body
    return letter.get("requestPayload", letter) if isinstance(letter, dict) else letter
