"""The errors.

FollowUpError
├── SettingsError             the environment is wrong
├── BadInput                  a field is wrong; names it
│   ├── InvalidNotification   ... in what Notify handed on
│   ├── InvalidTimer          ... in Recheck's input
│   └── SpoiltRecord          ... in a record: another hand changed it   ends the follow-up
├── ChecksumRejected          the checksum is not valid, and the policy is `reject`
│   └── UnverifiableRejected  ... since the key could not be read        retryable
├── OrderContradicted         bank and payment record disagree           only reported
│   └── ContradictionRefused  ... and the policy is `reject`
├── NotificationConflict      one notification id, two bodies
├── NotificationNotFound      a timer without its record
├── PaymentUnreadable         only the payment record knows the order    retryable
├── PassError                 a pass did not complete
│   ├── PassFailed            ProcessPaidOrder did not complete          retryable
│   │   └── PassTimedOut      ... in time; it may have finished          retryable
│   ├── GaveUp                it has failed for too long                 ends the follow-up
│   └── OrderUnsettled        the plan is over, the order not settled    ends the follow-up
└── RetriesExhausted          it could not be saved for too long         ends the follow-up
"""

import hashlib
import json
from collections.abc import Mapping


class FollowUpError(Exception):
    """The root of the tree.

    `retryable`: waiting can help. `ends_follow_up`: nothing tries again until a person does. `about` has the ids where
    the log does not.
    """

    retryable = False
    ends_follow_up = False
    number: int | None = None
    answer: str | None = None
    about: Mapping[str, object] = {}


class SettingsError(FollowUpError):
    """An environment variable is missing or malformed; the message names it."""


class BadInput(FollowUpError):
    """A field is not what it must be."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


class InvalidNotification(BadInput):
    """The event is not a notification of a card charge."""


class InvalidTimer(BadInput):
    """The event is not a valid input of Recheck."""


class SpoiltRecord(BadInput):
    """A record has an attribute that this project did not write."""

    ends_follow_up = True


class ChecksumRejected(FollowUpError):
    """The checksum is not valid and the policy refuses such notifications."""


class UnverifiableRejected(ChecksumRejected):
    """The same, because the merchant's key could not be read."""

    retryable = True


class OrderContradicted(FollowUpError):
    """The notification and the shop's payment record name different orders, amounts or currencies."""


class ContradictionRefused(OrderContradicted):
    """The same, and the policy refuses it; otherwise the payment record's order is processed."""


class NotificationConflict(FollowUpError):
    """A notification id came again with another body."""


class NotificationNotFound(FollowUpError):
    """A timer names a notification that was never saved."""


class PaymentUnreadable(FollowUpError):
    """The notification names no order, and the payment record that does could not be read."""

    retryable = True


class PassError(FollowUpError):
    """Pass `number` did not complete; `answer` is what ProcessPaidOrder answered."""

    def __init__(self, number: int, reason: str, answer: str | None = None) -> None:
        super().__init__(f"pass {number}: {reason}")
        self.number, self.reason, self.answer = number, reason, answer


class PassFailed(PassError):
    """ProcessPaidOrder failed, was throttled or could not be reached, or what the pass needs could not be read."""

    retryable = True


class PassTimedOut(PassFailed):
    """ProcessPaidOrder did not answer within the pass limit."""


class GaveUp(PassError):
    """A pass has failed for too long, and is not tried again."""

    ends_follow_up = True


class OrderUnsettled(PassError):
    """The order has not settled after the last pass of the plan."""

    ends_follow_up = True


class RetriesExhausted(FollowUpError):
    """A notification could not be saved in the time that it is retried; its event goes to the failure queue."""

    ends_follow_up = True


def error_id(ids: Mapping[str, object], kind: str, number: int | None = None) -> str:
    """Return the key of a row in CallbackErrorLogTable.

    A notification has one row for all that is tried again, and one for each final failure: FAILED at a pass, say.
    """
    about = [ids.get("chargeId"), ids["notificationId"], kind, number if kind == "failed" else None]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
