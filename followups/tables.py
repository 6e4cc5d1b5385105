"""DynamoDB as these tools use it: an index is read by its keys, an item by its own. Nothing here scans."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from callback.table import Item
from followups.stack import Stack

# As many as BatchGetItem takes.
AT_ONCE = 100
# Of one query: what a stranger filled a table with is not read to its end.
_MOST_PAGES = 100


class _Reader(TypeDeserializer):
    def _deserialize_b(self, value: bytes) -> bytes:
        return bytes(value)  # boto3's own type for it raises where it is made a text


_read = _Reader().deserialize
_write = TypeSerializer().serialize


def query(stack: Stack, condition: str, values: Item, **request: Any) -> Iterator[Item]:  # noqa: ANN401 - typed keywords
    """Read keys of CreditCardNotifyTable or of one of its indexes, page by page as they are asked for."""
    pages = stack.dynamodb.get_paginator("query").paginate(
        TableName=stack.output("CreditCardNotifyTable"),
        KeyConditionExpression=condition,
        ExpressionAttributeValues={f":{name}": _write(value) for name, value in values.items()},
        **request,
    )
    for page in islice(pages, _MOST_PAGES):
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


def update(stack: Stack, table: str, key: Item, changes: Item, where: tuple[str, Item]) -> None:
    """Change attributes, whatever their names are, where a condition holds; None removes one. Raises `ClientError`."""
    condition, values = where
    alias = {name: f"#n{number}" for number, name in enumerate(changes)}
    sets = {name: value for name, value in changes.items() if value is not None}
    removed = [alias[name] for name in changes if name not in sets]
    expression = f"SET {', '.join(f'{alias[name]} = :n{alias[name][2:]}' for name in sets)}"
    expression += f" REMOVE {', '.join(removed)}" if removed else ""
    given = {f":n{alias[name][2:]}": value for name, value in sets.items()}
    stack.dynamodb.update_item(
        TableName=stack.output(table),
        Key=_written(key),
        UpdateExpression=expression,
        ConditionExpression=condition,
        ExpressionAttributeNames={short: name for name, short in alias.items()}
        | {found: found[1:] for found in re.findall(r"#\w+", condition)},
        ExpressionAttributeValues=_written(given | {f":{name}": value for name, value in values.items()}),
    )


def _item(attributes: Any) -> Item:  # noqa: ANN401 - botocore's union of what an attribute may be
    return {name: _read(value) for name, value in attributes.items()}


def _written(item: Item) -> Item:
    return {name: _write(value) for name, value in item.items()}
