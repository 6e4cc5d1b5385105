"""The saved notifications: the status of each, and how they are found by an id or listed by state.

The indexes hold keys, and only of what waits (`due`), what failed (`failed`) and each order (`order`). Whatever is
shown is read by its key, as it is now. Anybody can send notifications: no read goes on without a bound, and what the
bank vouches for is read before what it does not.
"""

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Literal, get_args

from botocore.exceptions import ClientError

from callback.clock import format_utc, parse_utc
from callback.errors import SpoiltRecord
from callback.record import OVERDUE_AFTER, SWEEP_SHARDS, Record, read_record
from callback.report import error_id
from callback.table import Item, deserialize, serialize
from followups.stack import Stack
from followups.text import printable

State = Literal["pending", "overdue", "failed"]
STATES: tuple[State, ...] = get_args(State)
Word = Literal["waiting", "running", "retrying", "overdue", "failed", "resolved", "done", "spoilt", "foreign"]
Level = Literal["info", "ok", "warn", "bad"]
Checksum = Literal["valid", "invalid", "missing", "unverifiable"]
CHECKSUMS: tuple[Checksum, ...] = get_args(Checksum)

_LEVELS: dict[Word, Level] = {
    "done": "ok",
    "resolved": "ok",
    "retrying": "warn",
    "overdue": "bad",
    "failed": "bad",
    "spoilt": "bad",
}
_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# The sweep looks at what is late again after 10 minutes at most, and at a pass in time 2 minutes after it was due.
_SWEPT_WITHIN = timedelta(minutes=15)
# Not the body: nobody here needs it.
_OWN = [str(field.alias) for name, field in Record.model_fields.items() if name not in {"ours", "claim_id"}]
ATTRIBUTES = (
    *_OWN,
    "receivedAt",
    "failedAt",
    "failedShard",
    "resolvedAt",
    "resolvedReason",
    "status",
    "transactionState",
    "amount",
    "currency",
    "checksumForm",
)
_MOST_PASSES = 100  # in a plan; a spoilt record may say more
# Of one order or charge, items that are read and those that are shown; of a list, items that are looked through.
MOST_FOUND, MOST_SHOWN, MOST_LISTED, MOST_PREFIXED = 300, 20, 10_000, 1_000
# The shards from here on hold what no checksum proves (callback/record.py): they are read last.
_UNPROVED = 12
# Numbers of passes, long numbers and ids.
_VARIES = re.compile(r"(?<=pass )\d+|\d{4,}|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}")
_IDS = ("chargeId", "notificationId", "orderId")
KEY = _IDS[:2]
# Whatever runs on a record, or counts up an error, changes at least one of them.
_MOVING = ("state", "attempts", "leaseUntil", "occurrences")
ERROR_ATTRIBUTES = (
    "errorId",
    "errorType",
    "message",
    "chargeId",
    "occurrences",
    "firstAt",
    "lastAt",
    "mailedAt",
    "responseData",
)


@dataclass(frozen=True)
class Notification:
    """One notification as it was read.

    `record` is None where the item is not what the functions write: with a `fault`, which names what is wrong, another
    hand has spoilt it; without one it is another function's row in a table that is shared.
    """

    item: Item
    record: Record | None = None
    fault: str = ""

    @property
    def ids(self) -> dict[str, str]:
        """What names it in a printed line."""
        return {name: str(self.item.get(name, "")) for name in _IDS}

    @property
    def order_id(self) -> str:
        """The shop's order."""
        return self.ids["orderId"]

    @property
    def checksum(self) -> str:
        """The verdict on its checksum."""
        word = self.item.get("checksumStatus")
        return word if word in CHECKSUMS else "unknown"

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one; 0 where that cannot be read."""
        return self.record.next_pass if self.record else 0

    @property
    def attempts_made(self) -> int:
        """How often that pass was tried."""
        return self.record.attempts_made if self.record else 0

    @property
    def reason(self) -> str:
        """Why it is not done, as far as is known."""
        return f"spoilt: {self.fault}" if self.fault else printable(str(self.item.get("lastError", "")))

    @property
    def cause(self) -> str:
        """The reason without what differs between notifications: those of one cause are repaired at once."""
        text = self.reason or "no reason is known"
        for id_ in filter(None, self.ids.values()):
            text = text.replace(id_, "…")
        return _VARIES.sub("…", text)

    @property
    def cause_id(self) -> str:
        """A short name of the cause, for commands."""
        return hashlib.sha256(self.cause.encode(errors="replace")).hexdigest()[:6]

    def time(self, attribute: str) -> datetime | None:
        """Return a time of the item, None where there is none that can be read."""
        try:
            return parse_utc(str(self.item.get(attribute, "")))
        except ValueError:
            return None

    def as_data(self, now: datetime) -> dict[str, object]:
        """For programs: the record by its own names, and its status."""
        data: dict[str, object] = {
            name: value if name in _IDS else scrubbed(value) for name, value in self.item.items()
        }
        data |= {"passes": scrubbed(self.record.passes[:_MOST_PASSES]) if self.record else []}
        data |= {"checksumStatus": self.checksum, "status": status(self, now).word, "cause": self.cause_id}
        return data | ({"lastError": self.reason} if self.reason else {})


@dataclass(frozen=True)
class Outcome:
    """What a command is to do with a notification, or did: one word, and a text for people."""

    notification: Notification
    result: str
    text: str


@dataclass(frozen=True)
class Status:
    """The status of a notification at one time.

    `at` is when its pass is or was due, until when it runs at the latest, or when it ended; `late` how long ago the
    pass was first due.
    """

    word: Word
    at: datetime | None = None
    late: timedelta = timedelta()

    @property
    def is_late(self) -> bool:
        """Whether it should have moved on: also what is tried again, and what the sweep is to end."""
        return self.late > OVERDUE_AFTER or self.word == "spoilt"

    @property
    def level(self) -> Level:
        """How bad it is."""
        return _LEVELS.get(self.word, "info")


def read(item: Item) -> Notification:
    """Read an item, whatever it holds."""
    if not {"state", "passesDone", "sweepAt", "failedAt"} & item.keys():
        return Notification(item)
    try:
        record = read_record(item)
        if record.state == "PENDING" and not record.next_pass_due:
            raise SpoiltRecord("nextPassDue", "a UTC time")  # noqa: TRY301 - as a wrong type is
        return Notification(item, record)
    except SpoiltRecord as error:
        return Notification(item, fault=printable(str(error)))


def status(notification: Notification, now: datetime) -> Status:
    """Return the status of a notification.

    - waiting: for the first attempt at its pass, whose timer may still come
    - running: claimed by somebody
    - retrying: the last attempt failed, and it is due again
    - overdue: it was due (again) more than two minutes ago
    - failed: for a person; done: no pass is missing
    - resolved: failed, and settled by hand since
    - spoilt, foreign: no record
    """
    record, resolved = notification.record, notification.time("resolvedAt")
    if resolved and notification.item.get("state") == "FAILED" and "failedShard" not in notification.item:
        return Status("resolved", resolved)
    if record is None or record.state == "DONE":
        return Status("done" if record else "spoilt" if notification.fault else "foreign")
    late = max(record.overdue(now), timedelta()) if record.state == "PENDING" else timedelta()
    if record.is_claimed(now):
        return Status("running", record.lease_until, late)
    if record.state == "FAILED":
        return Status("failed", notification.time("failedAt"))
    due = record.next_pass_due
    if due and now > due + OVERDUE_AFTER:
        return Status("overdue", due, late)
    return Status("retrying" if record.attempts_made else "waiting", due, late)


@dataclass(frozen=True)
class Listing:
    """What is asked for: a state and perhaps a verdict, in [since, until), no more than `limit`.

    What failed is bounded by when it failed, latest first; what waits by when its pass was first due, in the order in
    which the sweep looks at it. What is proved comes before what is not.
    """

    state: State
    since: datetime = _EVER[0]
    until: datetime = _EVER[1]
    limit: int = MOST_LISTED
    checksum: str | None = None
    cause: str | None = None


@dataclass
class Found:
    """Notifications as they are read; once they are, `more` says whether there are more than these."""

    rows: Iterable[Notification] = ()
    more: bool = False

    def __iter__(self) -> Iterator[Notification]:
        """Read them."""
        return iter(self.rows)


def listed(stack: Stack, asked: Listing, now: datetime) -> Found:
    """Stream what is asked for."""
    found = Found()
    found.rows = _listed(stack, asked, now, found)
    return found


def _listed(stack: Stack, asked: Listing, now: datetime, found: Found) -> Iterator[Notification]:
    if asked.since >= asked.until:
        return
    given = looked = 0
    # One more than is asked for tells whether there are more.
    most = asked.limit + 1 if asked.state == "failed" and not (asked.checksum or asked.cause) else MOST_LISTED
    for one in read_all(stack, islice(_keys(stack, asked, now), most)):
        looked += 1
        if _is_asked_for(one, asked, now):
            if given == asked.limit:
                found.more = True
                return
            given += 1
            yield one
    found.more = looked >= MOST_LISTED


def _keys(stack: Stack, asked: Listing, now: datetime) -> Iterator[Item]:
    if asked.state == "failed":
        return _merged(stack, "failed", asked.since, asked.until, newest_first=True)
    # The index does not say when a pass was first due: the sweep looks at none sooner, and at each soon after.
    until = min(max(asked.until, now), _EVER[1] - _SWEPT_WITHIN)
    if asked.state == "overdue":
        until = min(until, now)
    return _merged(stack, "due", asked.since, until + _SWEPT_WITHIN)


def _is_asked_for(one: Notification, asked: Listing, now: datetime) -> bool:
    if (asked.checksum or one.checksum) != one.checksum or (asked.cause or one.cause_id) != one.cause_id:
        return False
    if asked.state == "failed" or one.record is None:  # of a spoilt one the times cannot be read
        return True
    first_due = one.record.first_due or one.record.next_pass_due or now
    return asked.since <= first_due < asked.until and (asked.state == "pending" or status(one, now).is_late)


def find(stack: Stack, word: str, most: int | None = None) -> Found:
    """Return the notifications of an order, a charge or a delivery, oldest first.

    A delivery's own id is in no index: it finds what waits, what failed, and what the error log names.
    """
    keys = [*_keys_of_charge(stack, word), *_keys_of_order(stack, word)] or _keys_of_delivery(stack, word)
    return _read_some(stack, keys, most or MOST_SHOWN)


def find_by_prefix(stack: Stack, word: str, now: datetime) -> Found:
    """Return what of that which waits or failed has an id that begins so, oldest first."""
    states: tuple[State, ...] = ("failed", "pending")
    rows = [
        one
        for state in states
        for one in listed(stack, Listing(state, limit=MOST_PREFIXED), now)
        if any(id_.startswith(word) for id_ in one.ids.values())
    ]
    chosen = sorted(rows, key=lambda one: one.checksum != "valid")[:MOST_SHOWN]
    return Found(sorted(chosen, key=_received), len(rows) > len(chosen))


def grouped(rows: Iterable[Notification]) -> list[tuple[Notification, ...]]:
    """Put notifications of one cause together; the largest group first, in each the latest that failed."""
    groups: dict[str, list[Notification]] = {}
    for one in rows:
        groups.setdefault(one.cause_id, []).append(one)
    return sorted(map(tuple, groups.values()), key=len, reverse=True)


def count_waiting(stack: Stack) -> int:
    """Count what is in the index `due`, without reading it."""

    def counted(shard: int) -> int:
        asked: dict[str, Any] = {"IndexName": "due", "Select": "COUNT"}
        return sum(page["Count"] for page in pages(stack, "sweepShard = :shard", {"shard": shard}, **asked))

    with ThreadPoolExecutor(SWEEP_SHARDS) as pool:
        return sum(pool.map(counted, range(SWEEP_SHARDS)))


def of_order(stack: Stack, order_id: str) -> Found:
    """Return what was saved for an order, oldest first."""
    return _read_some(stack, _keys_of_order(stack, order_id), MOST_FOUND)


def get(stack: Stack, charge_id: str, notification_id: str) -> Notification | None:
    """Read one notification."""
    return next(read_all(stack, [{"chargeId": charge_id, "notificationId": notification_id}]), None)


def _read_some(stack: Stack, keys: Iterable[Item], most: int) -> Found:
    """Read what is there as far as a bound, and choose: first what is proved, then what came last."""
    rows = sorted(islice(read_all(stack, keys), MOST_FOUND + 1), key=_received, reverse=True)
    chosen = sorted(rows, key=lambda one: one.checksum != "valid")[:most]
    return Found(sorted(chosen, key=_received), len(rows) > len(chosen))


def _received(one: Notification) -> str:
    return str(one.item.get("receivedAt", ""))


def read_all(stack: Stack, keys: Iterable[Item]) -> Iterator[Notification]:
    """Read notifications by their keys, in the keys' order, each once in a hundred; what is gone is left out."""
    left = iter(keys)
    while asked := {(key["chargeId"], key["notificationId"]): None for key in islice(left, AT_ONCE)}:
        wanted = ({"chargeId": charge, "notificationId": delivery} for charge, delivery in asked)
        items = get_all(stack, "CreditCardNotifyTable", wanted, ATTRIBUTES)
        found = {(item["chargeId"], item["notificationId"]): item for item in items}
        yield from (read(found[key]) for key in asked if key in found)


def error_rows(stack: Stack, notification_id: str, passes: int) -> dict[str, Item]:
    """Return the rows of the error log on a notification, by the kind of error and the pass that it ended at."""
    kinds = error_keys(notification_id, passes)
    rows = get_all(stack, "CallbackErrorLogTable", [{"errorId": id_} for id_ in kinds], ERROR_ATTRIBUTES)
    return {kinds[row["errorId"]]: row for row in rows}


def error_keys(notification_id: str, passes: int) -> dict[str, str]:
    """Return the ids that rows of the error log on a notification have, and the kind of each."""
    kinds = {error_id(notification_id, kind): kind for kind in ("retried", "refused", "contradicted", "failed")}
    numbers = range(1, min(passes, _MOST_PASSES) + 1)
    return kinds | {error_id(notification_id, "failed", number): f"failed {number}" for number in numbers}


def scrubbed(value: object) -> object:
    """Return a value of an item without what is secret, whatever type another hand gave it."""
    if isinstance(value, dict):
        return {printable(str(name)): scrubbed(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [scrubbed(inner) for inner in (sorted(value) if isinstance(value, set) else value)]
    return value if value is None or isinstance(value, bool | Decimal) else printable(str(value))


def _keys_of_order(stack: Stack, order_id: str) -> Iterable[Item]:
    return islice(query(stack, "orderId = :word", {"word": order_id}, IndexName="order"), MOST_FOUND + 1)


def _keys_of_charge(stack: Stack, charge_id: str) -> Iterable[Item]:
    asked: dict[str, Any] = {"ProjectionExpression": "chargeId, notificationId"}
    every = islice(query(stack, "chargeId = :word", {"word": charge_id}, **asked), MOST_FOUND + 1)
    keys = {key["notificationId"]: key for key in every}
    if len(keys) > MOST_FOUND:  # what is proved may be among the rest
        proved = {"word": charge_id, "proved": "valid"}
        asked |= {"FilterExpression": "checksumStatus = :proved"}
        few = islice(query(stack, "chargeId = :word", proved, **asked), MOST_SHOWN)
        keys = {key["notificationId"]: key for key in few} | keys
    return keys.values()


def _keys_of_delivery(stack: Stack, notification_id: str) -> list[Item]:
    def search(part: tuple[str, int]) -> list[Item]:
        filtered = {"FilterExpression": "notificationId = :word", "IndexName": part[0]}
        return [*query(stack, f"{_SHARD[part[0]]} = :shard", {"shard": part[1], "word": notification_id}, **filtered)]

    rows = error_rows(stack, notification_id, len(stack.delays) + 1).values()
    logged = [row | {"notificationId": notification_id} for row in rows if isinstance(row.get("chargeId"), str)]
    parts = [(index, shard) for index in _SHARD for shard in range(SWEEP_SHARDS)]
    with ThreadPoolExecutor(SWEEP_SHARDS) as pool:
        return [*logged, *chain.from_iterable(pool.map(search, parts))]


_SHARD = {"due": "sweepShard", "failed": "failedShard"}
_AT = {"due": "sweepAt", "failed": "failedAt"}


def _merged(
    stack: Stack, index: str, since: datetime, until: datetime, *, newest_first: bool = False
) -> Iterator[Item]:
    condition = f"{_SHARD[index]} = :shard AND {_AT[index]} BETWEEN :since AND :until"
    # BETWEEN has both its ends, the bounds have not the last.
    bounds = {"since": format_utc(since), "until": format_utc(until - timedelta(microseconds=1))}
    # Made here: boto3 cannot make clients in two threads at once.
    _ = stack.output("CreditCardNotifyTable"), stack.dynamodb
    how = {"IndexName": index, "ScanIndexForward": not newest_first, "Limit": AT_ONCE}

    parts = [query(stack, condition, bounds | {"shard": shard}, **how) for shard in range(SWEEP_SHARDS)]
    with ThreadPoolExecutor(SWEEP_SHARDS) as pool:  # the first page of each at once
        firsts = list(pool.map(lambda part: list(islice(part, 1)), parts))
    ahead = [chain(first, part) for first, part in zip(firsts, parts, strict=True)]

    def place(key: Item) -> str:
        return str(key[_AT[index]])

    groups = (ahead[:_UNPROVED], ahead[_UNPROVED:])
    return chain.from_iterable(heapq.merge(*group, key=place, reverse=newest_first) for group in groups)


# As many as BatchGetItem takes.
AT_ONCE = 100
# Of one query: what a stranger filled a table with is not read to its end.
_MOST_PAGES = 100


def pages(stack: Stack, condition: str, values: Item, **request: Any) -> Iterator[Any]:  # noqa: ANN401 - typed keywords
    """Query CreditCardNotifyTable or one of its indexes, page by page as they are asked for."""
    found = stack.dynamodb.get_paginator("query").paginate(
        TableName=stack.output("CreditCardNotifyTable"),
        KeyConditionExpression=condition,
        ExpressionAttributeValues={f":{name}": serialize(value) for name, value in values.items()},
        **request,
    )
    return islice(found, _MOST_PAGES)


def query(stack: Stack, condition: str, values: Item, **request: Any) -> Iterator[Item]:  # noqa: ANN401 - typed keywords
    """Read keys of CreditCardNotifyTable or of one of its indexes."""
    for page in pages(stack, condition, values, **request):
        yield from map(_item, page["Items"])


def get_all(stack: Stack, table: str, keys: Iterable[Item], attributes: Iterable[str] = ()) -> Iterator[Item]:
    """Read items of a table as they are now, in any order, whole or some attributes; what is not there is left out."""
    names, left = {f"#{name}": name for name in attributes}, iter(keys)
    asked: Any = {"ConsistentRead": True}
    asked |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names} if names else {}
    while chunk := [_written(key) for key in islice(left, AT_ONCE)]:
        request: Any = {stack.output(table): asked | {"Keys": chunk}}
        while request:  # an answer that would be too large leaves the rest for another call
            answer = stack.dynamodb.batch_get_item(RequestItems=request)
            for items in answer["Responses"].values():
                yield from map(_item, items)
            request = answer["UnprocessedKeys"]


def update(stack: Stack, table: str, seen: Item, key: tuple[str, ...], changes: Item) -> bool:
    """Change attributes, whatever their names are, where nothing has run since the item was seen; None removes one.

    Return whether it was changed. Raises `ClientError`.
    """
    unmoved = {name: seen.get(name) for name in _MOVING}
    alias = {name: f"n{number}" for number, name in enumerate({**changes, **unmoved})}
    gone = [f"#{alias[name]}" for name, value in changes.items() if value is None]
    sets = {name: value for name, value in changes.items() if value is not None}
    expression = "SET " + ", ".join(f"#{alias[name]} = :{alias[name]}" for name in sets)
    condition = [
        f"attribute_not_exists(#{alias[name]})" if value is None else f"#{alias[name]} = :was{alias[name]}"
        for name, value in unmoved.items()
    ]
    values = {f":{alias[name]}": value for name, value in sets.items()}
    values |= {f":was{alias[name]}": value for name, value in unmoved.items() if value is not None}
    try:
        stack.dynamodb.update_item(
            TableName=stack.output(table),
            Key=_written({name: seen[name] for name in key}),
            UpdateExpression=expression + (f" REMOVE {', '.join(gone)}" if gone else ""),
            ConditionExpression=" AND ".join(condition),
            ExpressionAttributeNames={f"#{short}": name for name, short in alias.items()},
            ExpressionAttributeValues=_written(values),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _item(attributes: Any) -> Item:  # noqa: ANN401 - botocore's union of what an attribute may be
    return {name: deserialize(value) for name, value in attributes.items()}


def _written(item: Item) -> Item:
    return {name: serialize(value) for name, value in item.items()}
