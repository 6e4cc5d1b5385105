"""What CallbackErrorLogTable holds of a notification: the row of its retries, and one for each end in `FAILED`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from callback.clock import parse_utc as moment
from callback.report import error_id
from callback.table import Item, Table
from followups.invocation import printable
from followups.notifications import Saved
from followups.stack import Stack

_ATTRIBUTES = "#errorId, #errorType, #message, #functionName, #occurrences, #firstAt, #lastAt, #mailedAt"


@dataclass(frozen=True)
class LoggedError:
    """One row, fit to print; `final` where it is the end of a notification that waits for a person."""

    error_id: str
    text: str
    function: str
    occurrences: int
    first_at: datetime
    last_at: datetime
    mailed_at: datetime | None
    final: bool


def errors_of(stack: Stack, saved: Saved) -> list[LoggedError]:
    """Read the rows of a notification, the latest last; one `GetItem` for each that there can be."""
    table = Table(stack.dynamodb, stack.output("CallbackErrorLogTable"))
    return sorted(_rows(table, saved), key=lambda error: error.last_at)


def _rows(table: Table, saved: Saved) -> Iterator[LoggedError]:
    for final in (None, "", *range(1, saved.next_pass + 1)):
        key = {"errorId": error_id(saved.notification_id, final)}
        if row := table.get(key, _ATTRIBUTES):
            yield _logged(row, is_final=final is not None)


def _logged(row: Item, *, is_final: bool) -> LoggedError:
    mailed = row.get("mailedAt")
    return LoggedError(
        error_id=row["errorId"],
        text=printable(f"{row['errorType']}: {row['message']}"),
        function=printable(str(row["functionName"])),
        occurrences=int(row["occurrences"]),
        first_at=moment(row["firstAt"]),
        last_at=moment(row["lastAt"]),
        mailed_at=moment(mailed) if mailed else None,
        final=is_final,
    )
