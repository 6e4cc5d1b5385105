"""At most so many error mails an hour; what is held back is counted in the next one (brief: errors)."""

from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import Clock, stamp
from callback.table import ConditionFailed, Item, Table

MAILS_AN_HOUR = 20
_ROW = {"errorId": "mail-limit"}


class MailLimit:
    """One row of CallbackErrorLogTable: the hour, how many mails it has had, how many were held back."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._blind: str | None = None

    def take(self) -> int | None:
        """Take one mail of this hour's: how many were held back before it, or None where none is left.

        Where the row cannot be reached, each warm function takes one an hour.
        """
        hour = stamp(self._clock())[:13]
        try:
            return self._taken(hour)
        except (ClientError, BotoCoreError):
            first, self._blind = self._blind != hour, hour
            return 0 if first else None

    def _taken(self, hour: str) -> int | None:
        values: Item = {":hour": hour, ":one": 1}
        try:
            mine = "#hour = :hour AND #sent < :limit"
            self._table.update(_ROW, "ADD #sent :one", values | {":limit": MAILS_AN_HOUR}, mine)
        except ConditionFailed as found:
            if found.item and found.item["hour"] >= hour:
                self._table.update(_ROW, "ADD #held :one", {":one": 1})
                return None
            return self._first_of(hour, int((found.item or {}).get("held", 0)))
        return 0

    def _first_of(self, hour: str, held: int) -> int | None:
        values: Item = {":hour": hour, ":one": 1, ":held": held, ":none": 0}
        unseen = "attribute_not_exists(#hour) OR (#hour < :hour AND #held = :held)"
        try:
            self._table.update(_ROW, "SET #hour = :hour, #sent = :one, #held = :none", values, unseen)
        except ConditionFailed:  # another was first, or held one back: look again
            return self._taken(hour)
        return held
