"""DynamoDB's tables in memory: conditional writes, sparse indexes, and what each call would be billed."""

import json
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from bench.expressions import Typed, condition, updated
from bench.template import Index, TableShape

Key = tuple[str, ...]


class ConditionNotMet(Exception):
    """A write's condition did not hold; `item` is what stands there."""

    def __init__(self, item: Typed | None) -> None:
        super().__init__("The conditional request failed")
        self.item = item


@dataclass
class Table:
    """One table. Items are kept as text, so that a hundred thousand of them weigh what their data weighs."""

    shape: TableShape
    items: dict[Key, str] = field(default_factory=dict)
    units: Counter[str] = field(default_factory=Counter)
    # The index `due`, the only one that the functions read. Each shard is sorted: (sort key, key of the item).
    due: dict[str, list[tuple[str, Key]]] = field(default_factory=lambda: defaultdict(list))

    def get(self, key: Typed) -> Typed | None:
        """Read an item, consistently."""
        item = self._read(_key(key, self.shape.key))
        self.units["read"] += ceil(size(item or {}) / 4096) or 1
        return item

    def put(self, item: Typed, text: str | None, values: Typed) -> None:
        """Write a whole item where the condition holds."""
        self._write(_key(item, self.shape.key), lambda _: item, text, values)

    def update(self, key: Typed, change: str, text: str | None, values: Typed) -> Typed:
        """Change an item where the condition holds, and return it."""
        return self._write(
            _key(key, self.shape.key), lambda old: updated(old or dict(key), change, values), text, values
        )

    def query(self, values: Typed, limit: int, after: Typed | None) -> dict[str, Any]:
        """Read a page of the index `due`: one shard's records that are due by now, the longest due first."""
        shard, names = values[":shard"], (*self.shape.key, "sweepAt")
        entries = self.due[shard["N"]]
        first = bisect_right(entries, (after["sweepAt"]["S"], _key(after, self.shape.key))) if after else 0
        page = entries[first : bisect_right(entries, (values[":now"]["S"], ("\uffff",)))][:limit]
        found = [
            {"sweepShard": shard} | {name: {"S": text} for name, text in zip(names, (*key, at), strict=True)}
            for at, key in page
        ]
        # Eventually consistent: half a unit for each 4 KB of all that is read together.
        self.units["read"] += max(ceil(sum(map(size, found)) / 4096), 1) / 2  # type: ignore[assignment]
        return {"Items": found} | ({"LastEvaluatedKey": found[-1]} if len(found) == limit else {})

    def _write(self, key: Key, change: Any, text: str | None, values: Typed) -> Typed:  # noqa: ANN401 - a function
        old = self._read(key)
        if text and not condition(text)(old or {}, values):
            self.units["write"] += max(ceil(size(old or {}) / 1024), 1)
            raise ConditionNotMet(old)
        new: Typed = change(old)
        self.items[key] = json.dumps(new, separators=(",", ":"))
        self._bill(old or {}, new)
        self._move(key, old or {}, new)
        return new

    def _bill(self, old: Typed, new: Typed) -> None:
        self.units["write"] += ceil(max(size(old), size(new)) / 1024)
        for index in self.shape.indexes:
            before, after = (projected(item, index, self.shape.key) for item in (old, new))
            if before != after:  # else the index is not written; a key that changes is a deletion and a write
                for entry in filter(None, (before, after)):
                    self.units[f"index {index.name}"] += ceil(size(entry) / 1024)
                    if index.name == "due":
                        self.units[f"shard {entry['sweepShard']['N']}"] += 1

    def _move(self, key: Key, old: Typed, new: Typed) -> None:
        before, after = (_place(item, key) for item in (old, new))
        if before and before != after:
            entries = self.due[before[0]]
            del entries[bisect_left(entries, before[1])]
        if after and before != after:
            insort(self.due[after[0]], after[1])

    def _read(self, key: Key) -> Typed | None:
        found = self.items.get(key)
        return json.loads(found) if found else None


def _place(item: Typed, key: Key) -> tuple[str, tuple[str, Key]] | None:
    if "sweepShard" not in item or "sweepAt" not in item:
        return None
    return item["sweepShard"]["N"], (item["sweepAt"]["S"], key)


def projected(item: Typed, index: Index, key: tuple[str, ...]) -> Typed | None:
    """Return what a KEYS_ONLY index holds of an item, None where the item is not in it."""
    if any(name not in item for name in index.key):
        return None
    return {name: value for name, value in item.items() if name in {*key, *index.key}}


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


def _key(item: Typed, names: tuple[str, ...]) -> Key:
    return tuple(item[name]["S"] for name in names)
