"""What a command does with a notification, planned or done, and how that is printed."""

from dataclasses import dataclass

from followups.operator import Operator
from followups.output import DONE, FAILED, LEFT, PLANNED, Row, Sheet, column
from followups.records import Notification
from followups.text import visible

_MARKS = {
    **dict.fromkeys(("run", "erased", "resolved"), DONE),
    **dict.fromkeys(("left", "nothing"), LEFT),
    **dict.fromkeys(("planned", "would erase"), PLANNED),
    "failed": FAILED,
}


@dataclass(frozen=True)
class Outcome:
    """One word for programs, and a text for people."""

    notification: Notification
    result: str
    text: str

    def row(self) -> Row:
        """Return it in each form."""
        one = self.notification
        names = "\n".join(visible(one.ids[name]) for name in ("chargeId", "notificationId"))
        about = {"checksumStatus": one.checksum, "pass": one.next_pass, "result": self.result, "text": self.text}
        return Row((_MARKS[self.result], one.order_id, names, self.text), (one.names, self.text), one.ids | about)


def sheet(operator: Operator) -> Sheet:
    """Return a sheet for outcomes."""
    ids = column("order", ratio=2), column("charge, notification", ratio=3)
    return Sheet(operator.output, column("", 1), *ids, column("what", ratio=3))
