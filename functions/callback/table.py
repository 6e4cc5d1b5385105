"""One DynamoDB table, in Python values and times; a conditional write that fails has the item that was in the way."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

Item = dict[str, Any]
# What a call to AWS may raise.
AWS_ERRORS = (ClientError, BotoCoreError)
_PAGE = 100


def format_utc(time: datetime) -> str:
    """Format a time with microseconds at one fixed width, so that texts sort as the times do."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_utc(text: object) -> datetime:
    """Parse what `format_utc` made. Raises `ValueError` for a time without a zone, which cannot be compared."""
    if isinstance(text, datetime):
        return text
    if not isinstance(text, str) or not text.endswith("Z"):
        raise ValueError("expected a UTC time such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text)


class _Writer(TypeSerializer):
    def serialize(self, value: object) -> Any:  # noqa: ANN401 - as DynamoDB has it
        return super().serialize(format_utc(value) if isinstance(value, datetime) else value)


class _Reader(TypeDeserializer):
    def _deserialize_b(self, value: bytes) -> bytes:
        return bytes(value)  # boto3's own type for it raises when it is made a text


serialize = _Writer().serialize
deserialize = _Reader().deserialize


class ConditionFailed(Exception):
    """The condition of a write did not hold; `item` is the item as it is, None where there is none."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("condition not met")
        self.item = item


@dataclass(frozen=True)
class Table:
    """Conditions name attributes as `#name` and values as `:value`. Every method raises `AWS_ERRORS`."""

    client: Any
    name: str

    def put(self, item: Item, condition: str) -> None:
        """Write a whole item, without what is None, if the condition holds, else raise `ConditionFailed`."""
        self._send(self.client.put_item, condition, Item=_written(_present(item)))

    def update(self, key: Item, changes: Item, condition: str = "", values: Item | None = None, add: str = "") -> Item:
        """Change an item if the condition holds and return it whole, else raise `ConditionFailed`.

        In the changes, None removes an attribute, a tuple is appended to a list, and `name?` is only written if there
        is no `name` yet. `add` is an attribute to count up by 1; `values` are the condition's.
        """
        sets = [_change(name, value) for name, value in _present(changes).items()]
        removed = [f"#{name}" for name, value in changes.items() if value is None]
        expression = f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removed)}" if removed else "")
        expression += f" ADD #{add} :one" if add else ""
        given = {name.rstrip("?"): value for name, value in _present(changes).items()}
        given |= (values or {}) | ({"one": 1} if add else {})
        request = {"UpdateExpression": expression, "ExpressionAttributeValues": _written(given, ":")}
        answer = self._send(self.client.update_item, condition, Key=_written(key), ReturnValues="ALL_NEW", **request)
        return _item(answer["Attributes"])

    def update_if(self, key: Item, changes: Item, condition: str, values: Item | None = None, add: str = "") -> Item:
        """Do as `update` does, but return an empty item if the condition does not hold."""
        try:
            return self.update(key, changes, condition, values, add)
        except ConditionFailed:
            return {}

    def get(self, key: Item, *attributes: str) -> Item:
        """Read the named attributes of an item, as it is now; empty if there is no such item."""
        names = ", ".join(f"#{name}" for name in attributes)
        request = {"Key": _written(key), "ProjectionExpression": names, "ConsistentRead": True} | _names(names)
        return _item(self.client.get_item(TableName=self.name, **request).get("Item", {}))

    def query(self, index: str, condition: str, values: Item) -> Iterator[Item]:
        """Read an index in the order of its sort key, page by page as it is asked for."""
        request = {"IndexName": index, "KeyConditionExpression": condition, "Limit": _PAGE} | _names(condition)
        request["ExpressionAttributeValues"] = _written(values, ":")
        while True:
            answer = self.client.query(TableName=self.name, **request)
            yield from map(_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _send(self, call: Any, condition: str, **request: Any) -> Any:  # noqa: ANN401 - either of two calls
        if condition:
            request |= {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            return call(TableName=self.name, **request, **_names(condition, request.get("UpdateExpression", "")))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            old: Any = error.response.get("Item")
            raise ConditionFailed(_item(old) if old else None) from error


def _change(name: str, value: object) -> str:
    if name.endswith("?"):
        return f"#{name[:-1]} = if_not_exists(#{name[:-1]}, :{name[:-1]})"
    return f"#{name} = list_append(#{name}, :{name})" if isinstance(value, tuple) else f"#{name} = :{name}"


def _present(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}


def _written(item: Item, prefix: str = "") -> Item:
    return {f"{prefix}{name}": serialize(value) for name, value in item.items()}


def _names(*expressions: str) -> dict[str, Any]:
    # Every attribute goes by an alias: `status`, `state` and `body` are reserved words.
    names = sorted(set(re.findall(r"#(\w+)", " ".join(expressions))))
    return {"ExpressionAttributeNames": {f"#{name}": name for name in names}}


def _item(attributes: Mapping[str, Any]) -> Item:
    return {name: deserialize(value) for name, value in attributes.items()}
