"""moto's DynamoDB without HTTP and without its parser, which is where the tests would spend most of their time.

It reads the functions' requests as the measurements do, and works on moto's own tables; the operators' requests go by
HTTP. The wire has held the request against botocore's model before, and it passes as JSON here, so that moto shares no
value with the functions. By tests/support/test_moto_in_process.py the answers are those that come by HTTP.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient
from moto.backends import get_backend
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from local.emulator import ACCOUNT, REGION
from local.stack import SECRET
from tests.support.expressions import Typed, condition, updated
from tests.support.recorded_calls import Answer, RecordedCalls, by_http

_FAILED = "ConditionalCheckFailedException"


@contextmanager
def asked_directly(wire: RecordedCalls) -> Iterator[None]:
    """Answer what passes this wire with `directly`, and the merchant's key and the mails without moto."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "moto", directly)
        patch.setitem(wire.answers, "secretsmanager.GetSecretValue", lambda _call: {"SecretString": json.dumps(SECRET)})
        patch.setitem(wire.answers, "ses.SendEmail", lambda _call: {"MessageId": "1"})
        yield


def directly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Answer as `by_http` does, but without metadata; what the functions never ask goes that way."""
    if client.meta.service_model.service_name != "dynamodb" or not _is_of_the_functions(operation, request):
        return by_http(client, operation, request)
    table: Any = get_backend("dynamodb")[ACCOUNT][REGION].tables[request["TableName"]]
    asked = json.loads(json.dumps(request))
    key = asked.get("Key") or asked.get("Item") or {}
    old = _stored(table, key) if key else {}
    text, values = asked.get("ConditionExpression"), asked.get("ExpressionAttributeValues", {})
    if text and not condition(text)(old, values):
        answer: Answer = {"message": "The conditional request failed"} | ({"Item": old} if old else {})
        made: Any = client.exceptions.from_code(_FAILED)
        raise made(answer | {"Error": {"Message": answer["message"], "Code": _FAILED}}, operation)
    return OPERATIONS[operation](table, asked, old)


def _is_of_the_functions(operation: str, request: dict[str, Any]) -> bool:
    # They alias every attribute, and read the sweep's index in pages; the operators' tools do not.
    names = request.get("ExpressionAttributeNames", {})
    aliased = names and all(alias == f"#{name}" for alias, name in names.items())
    aliased = aliased and "BETWEEN" not in request.get("KeyConditionExpression", "")
    return operation in OPERATIONS and aliased and (operation != "Query" or "Limit" in request)


def _get(_table: Any, asked: dict[str, Any], old: Typed) -> Answer:
    names = re.findall(r"#(\w+)", asked["ProjectionExpression"])
    return {"Item": {name: old[name] for name in names if name in old}} if old else {}


def _put(table: Any, asked: dict[str, Any], _old: Typed) -> Answer:
    _store(table, asked["Item"])
    return {}


def _update(table: Any, asked: dict[str, Any], old: Typed) -> Answer:
    new = updated(asked["Key"] | old, asked["UpdateExpression"], asked["ExpressionAttributeValues"])
    _store(table, new)
    return {"Attributes": new}


def _query(table: Any, asked: dict[str, Any], _old: Typed) -> Answer:
    [index] = [index for index in table.global_indexes if index.name == asked["IndexName"]]
    names = [key["AttributeName"] for key in index.schema]
    holds, values = condition(asked["KeyConditionExpression"]), asked["ExpressionAttributeValues"]
    # moto's own way to all items sorts them.
    items = (item for items in table.items.values() for item in items.values())
    held = [item.attrs for item in items if names[1] in item.attrs]
    held = [item for item in held if holds(typed({name: item[name] for name in names}), values)]
    shown = {*names, *table.table_key_attrs}
    found = [typed({name: item[name] for name in item if name in shown}) for item in held]
    # What shares a place in the index comes in any order, as long as that is always the same.
    place = [names[1], *table.table_key_attrs]
    found.sort(key=lambda item: _place(item, place))
    if "ExclusiveStartKey" in asked:
        found = [item for item in found if _place(item, place) > _place(asked["ExclusiveStartKey"], place)]
    page = found[: asked["Limit"]]
    more = {"LastEvaluatedKey": page[-1]} if len(found) > len(page) else {}
    return {"Items": page, "Count": len(page), "ScannedCount": len(page)} | more


def _place(item: Typed, names: list[str]) -> list[Any]:
    return [*item[names[0]].values(), *(item[name]["S"] for name in names[1:])]


OPERATIONS: dict[str, Callable[[Any, dict[str, Any], Typed], Answer]] = {
    "GetItem": _get,
    "PutItem": _put,
    "Query": _query,
    "UpdateItem": _update,
}


def _stored(table: Any, key: Typed) -> Typed:
    item = table.get_item(*(DynamoType(key[name]) for name in table.table_key_attrs))
    return typed(item.attrs) if item else {}


def _store(table: Any, new: Typed) -> None:
    attributes = {name: DynamoType(value) for name, value in new.items()}
    keys = [attributes[name] for name in table.table_key_attrs]
    item = Item(keys[0], keys[-1] if len(keys) > 1 else None, {})
    item.attrs.update(attributes)
    if item.range_key:
        table.items[keys[0]][item.range_key] = item
    else:
        table.items[keys[0]] = item


def typed(attributes: dict[str, DynamoType]) -> Typed:
    """An item as moto keeps it, as it is sent."""
    return {name: _typed(value) for name, value in attributes.items()}


def _typed(value: DynamoType) -> dict[str, Any]:
    if value.type == "L":
        return {"L": [_typed(each) for each in value.value]}
    return {value.type: typed(value.value) if value.type == "M" else value.value}
