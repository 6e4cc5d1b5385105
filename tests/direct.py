"""moto's DynamoDB without HTTP and without its parser, which is where thousands of stories would spend their time.

It knows the expressions that the functions use, and works on moto's own tables. The wire has held the request against
botocore's model before, and it passes as JSON here, so that moto shares no value with the functions. tests/test_direct.py
shows that the stories' calls are answered as they are by HTTP; all other tests go that way.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from botocore.client import BaseClient
from moto.backends import get_backend
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from local.emulator import ACCOUNT, REGION
from local.stack import SECRET
from tests.wire import Answer, Wire, by_http

Attributes = dict[str, Any]


@contextmanager
def asked_directly(wire: Wire) -> Iterator[None]:
    """Answer what passes this wire with `directly`, and the merchant's key and the mails without moto."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "moto", directly)
        patch.setitem(wire.answers, "secretsmanager.GetSecretValue", lambda _call: {"SecretString": json.dumps(SECRET)})
        patch.setitem(wire.answers, "ses.SendEmail", lambda _call: {"MessageId": "1"})
        yield


def directly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Answer as `by_http` does, but without `ResponseMetadata`; what is none of `OPERATIONS` goes that way."""
    if client.meta.service_model.service_name != "dynamodb" or operation not in OPERATIONS:
        return by_http(client, operation, request)
    table: Any = get_backend("dynamodb")[ACCOUNT][REGION].tables[request["TableName"]]
    try:
        return OPERATIONS[operation](table, json.loads(json.dumps(request)))
    except _ConditionFailed as failed:
        answer = failed.answer | {"Error": {"Message": failed.answer["message"], "Code": _FAILED}}
        raise client.exceptions.from_code(_FAILED)(answer, operation) from None


class _ConditionFailed(Exception):
    def __init__(self, item: Attributes) -> None:
        super().__init__()
        self.answer = {"message": "The conditional request failed"} | ({"Item": _json(item)} if item else {})


_FAILED = "ConditionalCheckFailedException"


def _get(table: Any, request: dict[str, Any]) -> Answer:
    item = _stored(table, request["Key"])
    names = re.findall(r"#(\w+)", request["ProjectionExpression"])
    return {"Item": _json({name: item[name] for name in names if name in item})} if item else {}


def _put(table: Any, request: dict[str, Any]) -> Answer:
    _check(request, _stored(table, request["Item"]))
    _store(table, {name: DynamoType(value) for name, value in request["Item"].items()})
    return {}


def _update(table: Any, request: dict[str, Any]) -> Answer:
    old = _stored(table, request["Key"])
    _check(request, old)
    values = _values(request)
    new = {name: DynamoType(value) for name, value in request["Key"].items()} | old
    for clause, name, value in _changes(request["UpdateExpression"]):
        if clause == "REMOVE":
            new.pop(name, None)
        elif clause == "ADD":
            new[name] = old[name] + values[value] if name in old else values[value]
        else:
            new[name] = _value(old, value, values)
    _store(table, new)
    return {"Attributes": _json(new)}


def _query(table: Any, request: dict[str, Any]) -> Answer:
    [index] = [index for index in table.global_indexes if index.name == request["IndexName"]]
    keys = {key["KeyType"]: key["AttributeName"] for key in index.schema}
    holds, values = _condition(request["KeyConditionExpression"]), _values(request)
    found = [item.attrs for item in table.all_items() if keys["RANGE"] in item.attrs and holds(item.attrs, values)]
    assert len(found) <= request["Limit"], "pages are not modelled here"
    names = {*keys.values(), *table.table_key_attrs}
    ordered = sorted(found, key=lambda item: item[keys["RANGE"]].value)
    items = [_json({name: item[name] for name in item if name in names}) for item in ordered]
    return {"Items": items, "Count": len(items), "ScannedCount": len(items)}


OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], Answer]] = {
    "GetItem": _get,
    "PutItem": _put,
    "Query": _query,
    "UpdateItem": _update,
}


def _stored(table: Any, key: dict[str, Any]) -> Attributes:
    item = table.get_item(*(DynamoType(key[name]) for name in table.table_key_attrs))
    return item.attrs if item else {}


def _store(table: Any, attributes: Attributes) -> None:
    key = [attributes[name] for name in table.table_key_attrs]
    item = Item(key[0], key[1] if key[1:] else None, {})
    item.attrs.update(attributes)
    if key[1:]:
        table.items[key[0]][key[1]] = item
    else:
        table.items[key[0]] = item


def _json(attributes: Attributes) -> dict[str, Any]:
    return {name: _typed(value) for name, value in attributes.items()}


def _typed(value: DynamoType) -> dict[str, Any]:
    if value.type == "L":
        return {"L": [_typed(each) for each in value.value]}
    return {value.type: _json(value.value) if value.type == "M" else value.value}


def _values(request: dict[str, Any]) -> Attributes:
    return {name: DynamoType(value) for name, value in request.get("ExpressionAttributeValues", {}).items()}


# --- expressions; each text is translated once ---

_OPERATORS = {"=": operator.eq, "<": operator.lt, "<=": operator.le}


def _check(request: dict[str, Any], item: Attributes) -> None:
    text = request.get("ConditionExpression")
    if text and not _condition(text)(item, _values(request)):
        raise _ConditionFailed(item)


@cache
def _condition(text: str) -> Callable[[Attributes, Attributes], bool]:
    python = re.sub(r"attribute_exists\(#(\w+)\)", r"('\1' in item)", text)
    python = re.sub(r"attribute_not_exists\(#(\w+)\)", r"('\1' not in item)", python)
    python = re.sub(r"#(\w+) (<=|<|=) (:\w+)", r"holds(item.get('\1'), '\2', values['\3'])", python)
    python = python.replace(" AND ", " and ").replace(" OR ", " or ")
    made: Callable[[Attributes, Attributes], bool] = eval(  # noqa: S307 - the texts are the functions' own
        f"lambda item, values: {python}", {"holds": _holds}
    )
    return made


def _holds(left: DynamoType | None, sign: str, right: DynamoType) -> bool:
    return left is not None and left.type == right.type and bool(_OPERATORS[sign](left, right))


@cache
def _changes(text: str) -> list[tuple[str, str, str]]:
    parts = re.split(r"\s*\b(SET|REMOVE|ADD) ", text)[1:]
    changes = []
    for clause, body in zip(parts[::2], parts[1::2], strict=True):
        for change in re.split(r", (?![^(]*\))", body):
            name, _, value = change.lstrip("#").partition(" ")
            changes.append((clause, name, value.removeprefix("= ")))
    return changes


def _value(item: Attributes, text: str, values: Attributes) -> DynamoType:
    if text.startswith(":"):
        return values[text]
    function, name, value = re.findall(r"[:\w]+", text)
    if function == "if_not_exists":
        return item.get(name, values[value])
    return DynamoType({"L": [*item[name].value, *values[value].value]})
