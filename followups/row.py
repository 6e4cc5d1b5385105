"""One notification as a row of a board: what an index holds of it, read once and fit to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callback.clock import format_utc as stamp, parse_utc as moment
from followups.invocation import printable
from followups.notifications import Saved
from followups.output import visible

_SPOILT = "the record is not what `save` writes: mend it by hand"


@dataclass(frozen=True)
class Row:
    """What a board says of a notification: `number` is the pass that is missing, `attempts` the tries at it.

    Of one that is done they are all tries there were.
    """

    charge: str
    notification: str
    order: str
    number: int = 0
    attempts: int = 0
    due: datetime | None = None
    lease: datetime | None = None
    received: datetime | None = None
    ended: datetime | None = None
    reason: str = ""

    def is_claimed(self, now: datetime) -> bool:
        """Whether somebody runs the pass just now."""
        return bool(self.lease and self.lease > now)

    def wait(self, delays: Sequence[int]) -> int | None:
        """Seconds from the last pass to this one by the plan; None for a pass that the plan has no wait before."""
        before = self.number - 1
        return delays[before - 1] if 0 < before <= len(delays) else None

    def as_data(self) -> dict[str, object]:
        """For scripts: the record's own names."""
        times = {"nextPassDue": self.due, "leaseUntil": self.lease, "receivedAt": self.received, "endedAt": self.ended}
        ids = {"orderId": self.order, "chargeId": self.charge, "notificationId": self.notification}
        said = {name: stamp(at) for name, at in times.items() if at}
        return {**ids, "pass": self.number, "attempts": self.attempts, **said, "lastError": self.reason or None}


def row(saved: Saved) -> Row:
    """Read what was listed; a record that another hand has spoilt comes with what to do instead of an error."""
    ids = (saved.charge_id, saved.notification_id, str(saved.item.get("orderId", "")))
    try:
        return Row(
            *ids,
            number=saved.next_pass,
            attempts=int(saved.item["attempts"]) if saved.state == "DONE" else saved.attempts_made,
            due=_time(saved, "nextPassDue"),
            lease=_time(saved, "leaseUntil"),
            received=_time(saved, "receivedAt"),
            ended=_time(saved, "endedAt"),
            reason=printable(str(saved.item.get("lastError", ""))),
        )
    except (KeyError, TypeError, ValueError):
        return Row(*ids, reason=_SPOILT)


def shortened(text: str, width: int) -> str:
    """Keep both ends of a long id, the more of its end, which is where ids differ."""
    clean = visible(text)
    start = (width - 1) // 3
    return clean if len(clean) <= width else f"{clean[:start]}…{clean[start + 1 - width :]}"


def _time(saved: Saved, attribute: str) -> datetime | None:
    text = saved.time(attribute)
    return moment(text) if text else None
