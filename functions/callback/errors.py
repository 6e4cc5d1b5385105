"""Every exception of ours.

FollowUpError
├── SettingsError             the environment is wrong                 a retry cannot help
├── BadInput                  an event is wrong; names the field       a retry cannot help
│   ├── InvalidNotification   ... the bank's, handed on by Notify
│   ├── InvalidRecheck        ... the timer's
│   └── InvalidRecord         ... what stands in the index `due`       somebody must mend it
├── ChecksumRejected          the policy is `reject`                   only if the secret was unreachable
├── NotificationConflict      one notification id, two bodies          a retry cannot help
├── NotificationNotFound      a timer without its record               a retry cannot help
├── PassInProgress            another process holds the claim          a retry helps
├── PassNotDue                a timer came before its pass is due      a retry helps
├── PassFailed                ProcessPaidOrder did not complete        a retry helps
│   ├── PassTimedOut          ... in time; it may have finished        a retry helps
│   └── AttemptsExhausted     ... nor after all its attempts           somebody must replay it
├── OrderUnsettled            the plan is over, the order not settled  somebody must look and replay it
├── ScheduleFailed            the timer could not be armed             a retry helps; so does the sweep
└── SweepIncomplete           the sweep could not do all it found      a retry helps; so does the next one
"""


class FollowUpError(Exception):
    """The root: catch this to catch all of ours.

    A `final` one leaves its notification `FAILED`; a `hopeless` one comes again with every retry. `happened` is what a
    mail's subject says.
    """

    final = False
    hopeless = False
    happened = "{functionName} failed"


class SettingsError(FollowUpError):
    """An environment variable is missing or malformed; the message names it."""


class BadInput(FollowUpError):
    """A field is not what it must be. `about` holds the ids that the refused event shows all the same."""

    hopeless = True
    happened = "{functionName} refused its event"

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected
        self.about: dict[str, str] = {}


class InvalidNotification(BadInput):
    """The event is no notification of a card charge."""


class InvalidRecheck(BadInput):
    """The event is no recheck input."""


class InvalidRecord(BadInput):
    """An overdue record is none of ours, or was changed by another hand: Recheck could not read it."""

    final = True
    happened = "its record cannot be read"


class ChecksumRejected(FollowUpError):
    """The checksum did not prove valid and the policy is to refuse such notifications."""

    happened = "its checksum is refused"

    def __init__(self, status: str, reason: str | None) -> None:
        super().__init__(f"checksum {status}: {reason}")
        self.hopeless = status != "unverifiable"


class NotificationConflict(FollowUpError):
    """A notification id came again with another body; neither may stand in for the other."""

    hopeless = True
    happened = "one notification id, two bodies"


class NotificationNotFound(FollowUpError):
    """A recheck names a notification that was never saved."""

    hopeless = True
    happened = "a timer without its notification"


class PassInProgress(FollowUpError):
    """Another process holds the claim on this pass; should it die, a retry takes over."""

    happened = "pass {pass} is claimed by another"


class PassNotDue(FollowUpError):
    """A timer came early; Lambda's retry, a minute later, finds the pass due."""

    happened = "pass {pass} is not due yet"


class PassFailed(FollowUpError):
    """ProcessPaidOrder failed, was throttled or could not be reached; `answer` is what it said."""

    happened = "pass {pass} failed"

    def __init__(self, message: str, answer: str | None = None) -> None:
        super().__init__(message)
        self.answer = answer


class PassTimedOut(PassFailed):
    """ProcessPaidOrder did not answer within the pass limit; it may have finished all the same."""

    happened = "pass {pass} timed out"


class ScheduleFailed(FollowUpError):
    """EventBridge Scheduler refused the timer; the record still says when the pass is due."""

    happened = "a timer could not be armed"


class AttemptsExhausted(PassFailed):
    """The last allowed attempt at pass `number` ended without it: the notification is FAILED until it is replayed."""

    final = True
    happened = "pass {pass} was given up"

    def __init__(self, number: int, last: str, answer: str | None = None) -> None:
        super().__init__(f"pass {number} is given up after its last allowed attempt: {last}", answer)
        self.number = number


class OrderUnsettled(FollowUpError):
    """Pass `number`, the last of the plan, left the order in no settled status: the notification is FAILED."""

    final = True
    happened = "not settled after pass {pass}"

    def __init__(self, number: int, status: object) -> None:
        super().__init__(f"unsettled: after pass {number}, the last of the plan, the order's status is {status}")
        self.number = number


class SweepIncomplete(FollowUpError):
    """A part of the index could not be read, or a notification not handed to Recheck; the log says which."""


def is_final(error: Exception) -> bool:
    """Tell whether an error, of ours or not, leaves its notification `FAILED`."""
    return isinstance(error, FollowUpError) and error.final
