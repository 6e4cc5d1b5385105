"""The errors.

FollowUpError
├── SettingsError             the environment is wrong
├── BadInput                  a field is wrong; names it
│   ├── InvalidNotification   ... in what Notify handed on
│   ├── InvalidTimer          ... in Recheck's input
│   └── SpoiltRecord          ... in a record: another hand changed it   ends the follow-up
├── ChecksumRejected          the policy is `reject`                     retryable if the key could not be read
├── OrderContradicted         bank and payment record disagree
├── NotificationConflict      one notification id, two bodies
├── NotificationNotFound      a timer without its record
├── PaymentUnreadable         only the payment record knows the order    retryable
├── PassFailed                ProcessPaidOrder did not complete          retryable
│   └── PassTimedOut          ... in time; it may have finished          retryable
├── GaveUp                    a pass failed for too long                 ends the follow-up
├── OrderUnsettled            the plan is over, the order not settled    ends the follow-up
└── RetriesExhausted          it could not be saved for too long         ends the follow-up
"""


class FollowUpError(Exception):
    """The root of the tree.

    `retryable`: waiting can help. `ends_follow_up`: nothing tries again until a person does. `number` is the pass, where
    it is about one; `ids` what is known of orderId, chargeId and notificationId; `answer` what ProcessPaidOrder said.
    `reported` is set once the error log and the mail have it.
    """

    retryable = False
    ends_follow_up = False
    number: int | None = None
    answer: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.reported = False
        self.ids: dict[str, str] = {}


class SettingsError(FollowUpError):
    """An environment variable is missing or malformed; the message names it."""


class BadInput(FollowUpError):
    """A field is not what it must be."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


class InvalidNotification(BadInput):
    """The event is no notification of a card charge."""


class InvalidTimer(BadInput):
    """The event is no input of Recheck."""


class SpoiltRecord(BadInput):
    """A record has an attribute that this project did not write."""

    ends_follow_up = True


class ChecksumRejected(FollowUpError):
    """The checksum is not valid and the policy refuses such notifications."""

    def __init__(self, status: str, reason: str | None) -> None:
        super().__init__(f"checksum {status}: {reason}")
        self.retryable = status == "unverifiable"


class OrderContradicted(FollowUpError):
    """The notification and the shop's payment record name different orders, amounts or currencies.

    `refused` by policy; else the payment record's order is processed.
    """

    def __init__(self, fields: list[str], *, refused: bool) -> None:
        super().__init__(f"notification and payment record differ in {', '.join(fields)}")
        self.refused = refused


class NotificationConflict(FollowUpError):
    """A notification id came again with another body."""

    def __init__(self) -> None:
        super().__init__("body: expected the same body as before under this id")


class NotificationNotFound(FollowUpError):
    """A timer names a notification that was never saved."""

    def __init__(self) -> None:
        super().__init__("notificationId: expected a notification that was saved")


class PaymentUnreadable(FollowUpError):
    """The notification names no order, and the payment record that does could not be read."""

    retryable = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"the payment record could not be read: {reason}")


class PassFailed(FollowUpError):
    """ProcessPaidOrder failed, was throttled or could not be reached, or what the pass needs could not be read."""

    retryable = True

    def __init__(self, number: int, reason: str, answer: str | None = None) -> None:
        super().__init__(f"pass {number}: {reason}")
        self.number = number
        self.answer = answer


class PassTimedOut(PassFailed):
    """ProcessPaidOrder did not answer within the pass limit."""


class GaveUp(FollowUpError):
    """Pass `number` has been due for longer than it is tried."""

    ends_follow_up = True

    def __init__(self, number: int, reason: str, answer: str | None = None) -> None:
        super().__init__(f"pass {number} is given up: {reason}")
        self.number = number
        self.answer = answer


class OrderUnsettled(FollowUpError):
    """Pass `number`, the last of the plan, left the order in no settled status."""

    ends_follow_up = True

    def __init__(self, number: int, status: object) -> None:
        super().__init__(f"after pass {number}, the last of the plan, the order's status is {status}")
        self.number = number


class RetriesExhausted(FollowUpError):
    """A notification could not be saved for as long as it is tried; its event goes to the failure queue."""

    ends_follow_up = True
