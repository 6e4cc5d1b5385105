"""At most so many error mails an hour; what is held back is told by the next one, or by the sweep (brief: errors)."""

from contextlib import suppress
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import Clock, stamp
from callback.table import ConditionFailed, Item, Table

MAILS_AN_HOUR = 20
NAMED = 20
_ROW = {"errorId": "mail-limit"}


class Held(NamedTuple):
    """What was held back and not told yet: how many, since when, the first of them, and how many there ever were."""

    untold: int = 0
    since: str = ""
    first: tuple[str, ...] = ()
    ever: int = 0


class MailLimit:
    """One row of CallbackErrorLogTable: the hour and how many mails it has had; how many were ever held back, and told.

    Those two numbers only grow, so that no later one can be taken for an earlier.
    """

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._blind: str | None = None

    def take(self, line: str) -> Held | None:
        """Take one mail of this hour's: what it has to tell of others, or None where none is left and it is held back.

        Where the row cannot be reached, each warm function takes one an hour.
        """
        hour = self._hour()
        try:
            return self._taken(hour, line)
        except (ClientError, BotoCoreError):
            first, self._blind = self._blind != hour, hour
            return Held() if first else None

    def untold(self) -> Held:
        """Return what was held back in an hour that has ended and that no mail has told."""
        item = self._table.get(_ROW, "#hour, #held, #told, #since, #first")
        return _held(item) if item and item["hour"] < self._hour() else Held()

    def forget(self, held: Held) -> None:
        """Remember that this was told; where more came meanwhile all of it is told again, rather than a part never."""
        with suppress(ConditionFailed):
            self._table.update(_ROW, "SET #told = :ever REMOVE #since, #first", {":ever": held.ever}, "#held = :ever")

    def _hour(self) -> str:
        return stamp(self._clock())[:13]

    def _taken(self, hour: str, line: str) -> Held | None:
        values: Item = {":hour": hour, ":one": 1, ":limit": MAILS_AN_HOUR}
        try:
            return _held(self._table.update(_ROW, "ADD #sent :one", values, "#hour = :hour AND #sent < :limit"))
        except ConditionFailed as found:
            if not found.item or found.item["hour"] < hour:
                return self._first_of(hour, line)
            self._hold(_held(found.item), line)
            return None

    def _first_of(self, hour: str, line: str) -> Held | None:
        unseen = "attribute_not_exists(#hour) OR #hour < :hour"
        try:
            return _held(
                self._table.update(_ROW, "SET #hour = :hour, #sent = :one", {":hour": hour, ":one": 1}, unseen)
            )
        except ConditionFailed:  # another was first: look again
            return self._taken(hour, line)

    def _hold(self, held: Held, line: str) -> None:
        update, values = "SET #since = if_not_exists(#since, :now)", {":now": stamp(self._clock()), ":one": 1}
        if len(held.first) < NAMED:  # the row stays small
            update += ", #first = list_append(if_not_exists(#first, :none), :line)"
            values |= {":none": [], ":line": [line]}
        self._table.update(_ROW, f"{update} ADD #held :one", values)


def _held(item: Item) -> Held:
    ever = int(item.get("held", 0))
    return Held(ever - int(item.get("told", 0)), item.get("since", ""), tuple(item.get("first", ())), ever)
