"""One DynamoDB table, in Python values: conditional writes that say what stood in the way."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
# What a call to AWS may raise.
AWS_ERRORS = (ClientError, BotoCoreError)

_PAGE = 100
_write = TypeSerializer().serialize
_read = TypeDeserializer().deserialize


class ConditionFailed(Exception):
    """The condition of a write did not hold; `item` is the item as it is, None where there is none."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("condition not met")
        self.item = item


class Table:
    """Expressions name attributes as `#name` and values as `:value`; unset values (None) are not stored."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def put(self, item: Item, condition: str) -> None:
        """Write a whole item where the condition holds, else raise `ConditionFailed`."""
        self._write(
            self._client.put_item,
            Item={name: _write(value) for name, value in item.items() if value is not None},
            ConditionExpression=condition,
            **_names(condition),
        )

    def update(self, key: Item, update: str, values: Item, condition: str | None = None) -> Item:
        """Change an item where the condition holds and return it whole, else raise `ConditionFailed`."""
        answer = self._write(
            self._client.update_item,
            Key={name: _write(value) for name, value in key.items()},
            UpdateExpression=update,
            ExpressionAttributeValues={name: _write(value) for name, value in values.items()},
            ReturnValues="ALL_NEW",
            **({"ConditionExpression": condition} if condition else {}),
            **_names(f"{update} {condition}"),
        )
        return _item(answer["Attributes"])

    def get(self, key: Item, attributes: str) -> Item | None:
        """Read the named attributes (`#a, #b`) of an item, as it is now."""
        answer = self._client.get_item(
            TableName=self._name,
            Key={name: _write(value) for name, value in key.items()},
            ProjectionExpression=attributes,
            ConsistentRead=True,
            **_names(attributes),
        )
        return _item(answer["Item"]) if "Item" in answer else None

    def pages(self, index: str, condition: str, values: Item) -> Iterator[list[Item]]:
        """Read an index page by page, in the order of its sort key."""
        request: dict[str, Any] = {"ExpressionAttributeValues": {name: _write(v) for name, v in values.items()}}
        request |= {"KeyConditionExpression": condition, "Limit": _PAGE, **_names(condition)}
        while True:
            answer = self._client.query(TableName=self._name, IndexName=index, **request)
            yield [_item(found) for found in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _write(self, call: Any, **request: Any) -> Any:  # noqa: ANN401 - either of two typed calls
        if "ConditionExpression" in request:
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            return call(TableName=self._name, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            old: Any = error.response.get("Item")
            raise ConditionFailed(_item(old) if old else None) from error


def _names(*expressions: str) -> dict[str, Any]:
    # Every attribute goes by an alias: `status`, `state` and `body` are reserved words.
    found = set(re.findall(r"#(\w+)", " ".join(expressions)))
    return {"ExpressionAttributeNames": {f"#{name}": name for name in sorted(found)}}


def _item(attributes: Mapping[str, Any]) -> Item:
    return {name: _read(value) for name, value in attributes.items()}
