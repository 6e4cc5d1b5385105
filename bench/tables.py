"""DynamoDB's tables in memory: conditional writes, sparse indexes, and the units that each call would be billed."""

import json
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from bench.facts import template
from tests.support.expressions import Typed, condition, updated

Key = tuple[str, ...]
LAST: Key = ("\uffff",)


@dataclass(eq=False)
class Refused(Exception):
    """A service's error: its code, its HTTP status and, for a condition, the item as it is."""

    code: str
    status: int = 400
    item: Typed | None = None


class Table:
    """One table. Items are kept as text, so that a hundred thousand take little more memory than their data."""

    def __init__(self, name: str) -> None:
        """Begin empty, but for what `default` returns of a partition key."""
        self.keys, self.items, self.units = template()["tables"][name], dict[Key, str](), Counter[str]()
        self.default: Callable[[str], Typed] = lambda _: {}
        # The index `due`, the only one that the functions read. Each shard is sorted: (sort key, key of the item).
        self.due: dict[str, list[tuple[str, Key]]] = defaultdict(list)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a call, or raise `Refused`."""
        if operation == "GetItem":
            found = self._read(self._key(request["Key"]))
            self.units["read"] += ceil(size(found) / 4096) or 1
            return {"Item": found} if found else {}
        if operation == "Query":
            return self._query(request)
        new = self._write(request.get("Item") or request["Key"], request)
        return {} if operation == "PutItem" else {"Attributes": new}

    def _query(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Read a page of the index `due`: one shard's records that are due by now, the longest due first."""
        values, after, limit = request["ExpressionAttributeValues"], request.get("ExclusiveStartKey"), request["Limit"]
        shard, names = values[":shard"], (*self.keys[""], "sweepAt")
        entries = self.due[shard["N"]]
        first = bisect_right(entries, (after["sweepAt"]["S"], self._key(after))) if after else 0
        page = entries[first : bisect_right(entries, (values[":now"]["S"], LAST))][:limit]
        texts = [dict(zip(names, (*key, at), strict=True)) for at, key in page]
        found = [{"sweepShard": shard} | {name: {"S": text} for name, text in each.items()} for each in texts]
        # Eventually consistent: half a unit for each 4 KB of all that is read together.
        self.units["read"] += max(ceil(sum(map(size, found)) / 4096), 1) / 2  # type: ignore[assignment]
        return {"Items": found} | ({"LastEvaluatedKey": found[-1]} if len(found) == limit else {})

    def _write(self, about: Typed, request: Mapping[str, Any]) -> Typed:
        key, values = self._key(about), request.get("ExpressionAttributeValues", {})
        old, text = self._read(key), request.get("ConditionExpression")
        if text and not condition(text)(old, values):
            self.units["write"] += max(ceil(size(old) / 1024), 1)
            raise Refused("ConditionalCheckFailedException", item=old or None)
        change = request.get("UpdateExpression")
        new = updated(old or dict(about), change, values) if change else about
        self.items[key] = json.dumps(new, separators=(",", ":"))
        self.units["write"] += ceil(max(size(old), size(new)) / 1024)
        self._index(key, old, new)
        return new

    def _index(self, key: Key, old: Typed, new: Typed) -> None:
        for name in filter(None, self.keys):
            before, after = (self.entry(item, name) for item in (old, new))
            # An index is written only if its entry changes; a key that changes is a deletion and a write.
            if before != after:
                self.units[f"index {name}"] += sum(ceil(size(entry) / 1024) for entry in (before, after) if entry)
                if name == "due":
                    self._move(key, before, after)

    def _move(self, key: Key, before: Typed, after: Typed) -> None:
        if before:
            entries = self.due[before["sweepShard"]["N"]]
            del entries[bisect_left(entries, (before["sweepAt"]["S"], key))]
        if after:
            insort(self.due[after["sweepShard"]["N"]], (after["sweepAt"]["S"], key))

    def entry(self, item: Typed, index: str) -> Typed:
        """Return an item's entry in an index, which holds keys only; nothing if the item is not in it."""
        names = {*self.keys[""], *self.keys[index]}
        return {name: item[name] for name in names} if names <= item.keys() else {}

    def _read(self, key: Key) -> Typed:
        return json.loads(self.items[key]) if key in self.items else self.default(key[0])

    def _key(self, item: Typed) -> Key:
        return tuple(item[name]["S"] for name in self.keys[""])


def size(item: Typed) -> int:
    """Return an item's bytes as DynamoDB counts them: names in UTF-8, and values by their type."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, inner)] = value.items()
    if kind == "N":
        return (len(inner.strip("-").replace(".", "")) + 1) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + _value_size(each) for each in inner)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_size(each) for name, each in inner.items())
    return len(inner.encode()) if kind == "S" else 1
