"""Every AWS call of a test, where botocore sends it: recorded, held against botocore's own model, failed at will.

moto answers. It accepts nonsense (a 65-character schedule name, a time in the past), so its answer proves little.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.validate import ParamValidator
from moto.backends import get_backend
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.responses import DynamoHandler

from local.emulator import ACCOUNT, REGION
from tests.support.expressions import condition, updated
from tests.support.without_coverage import unmeasured

Answer = dict[str, Any]
_send: Any = BaseClient._make_api_call  # type: ignore[attr-defined]


def backend(service: Any) -> Any:
    """What moto has of a service, without a call, which would take much longer."""
    return get_backend(service)[ACCOUNT][REGION]


def by_http(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Let botocore send it, and moto answer."""
    answer: Answer = unmeasured(_send, client, operation, request)
    return answer


def directly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Ask moto's DynamoDB without HTTP, which would take most of the tests' time; send all else by HTTP.

    boto3's resources, which use no aliases, send values without a type. A request passes as JSON, so that moto shares
    no value with the functions.
    """
    if client.meta.service_model.service_name != "dynamodb" or "ExpressionAttributeNames" not in request:
        return by_http(client, operation, request)
    handler: Any = DynamoHandler()
    handler.current_account, handler.region = ACCOUNT, REGION
    handler.body = json.loads(json.dumps(request))
    ask = partial(_update, handler.body) if operation == "UpdateItem" else getattr(handler, xform_name(operation))
    try:
        answer: Answer = dynamo_to_dict(unmeasured(ask).result)
    except JsonRESTError as refused:
        about, code = json.loads(refused.description), refused.relative_error_type
        item = {"Item": about["Item"]} if "Item" in about else {}
        raised: Any = client.exceptions.from_code(code)
        raise raised({"Error": {"Message": about["message"], "Code": code}} | item, operation) from None
    return answer


def _update(asked: dict[str, Any]) -> SimpleNamespace:
    """Do as moto does, which takes longer for this than for all the rest; a number never equals a text."""
    table: Any = backend("dynamodb").tables[asked["TableName"]]
    text, values = asked.get("ConditionExpression"), asked["ExpressionAttributeValues"]
    item = table.get_item(*(DynamoType(asked["Key"][name]) for name in table.table_key_attrs))
    old = dynamo_to_dict(item.attrs) if item else {}
    if text and not condition(text)(old, values):
        raise ConditionalCheckFailed(item=old)
    new = updated(asked["Key"] | old, asked["UpdateExpression"], values)
    assert not any(f"#{name} =" in asked["UpdateExpression"] for name in asked["Key"]), "DynamoDB changes no key"
    table.put_item(new)
    return SimpleNamespace(result={"Attributes": new})


@dataclass(frozen=True)
class Call:
    """One request; `patience` is how many seconds its client waits for an answer, retries included."""

    service: str
    operation: str
    request: dict[str, Any]
    patience: float = 0

    @property
    def name(self) -> str:
        return f"{self.service}.{self.operation}"


@dataclass(repr=False)  # a failing test would print every call there was
class RecordedCalls:
    """What is sent while it is listened to; `before[name]` and `after[name]` run around calls of that name.

    `around`, if set, is given every call and its effect, which it may prevent, repeat or fail.
    """

    calls: list[Call] = field(default_factory=list)
    before: dict[str, Callable[[Call], None]] = field(default_factory=dict)
    after: dict[str, Callable[[Call], None]] = field(default_factory=dict)
    answers: dict[str, Callable[[Call], Answer]] = field(default_factory=dict)
    around: Callable[[Call, Callable[[], Answer]], Answer] | None = None
    listening: int = 0

    def __enter__(self) -> Self:
        self.listening += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.listening -= 1

    def send(self, client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        if not self.listening:
            return by_http(client, operation, request)
        config: Any = client.meta.config  # read_timeout and retries are made at run time
        patience = config.read_timeout * (config.retries or {}).get("total_max_attempts", 5)
        call = Call(client.meta.service_model.service_name, operation, request, patience)
        self.calls.append(call)
        shape = client.meta.service_model.operation_model(operation).input_shape
        assert violations(shape, request) == "", call

        def effect() -> Answer:
            if before := self.before.get(call.name):
                before(call)
            known = self.answers.get(call.name)
            answer = known(call) if known else directly(client, operation, request)
            if after := self.after.get(call.name):
                after(call)
            return answer

        return self.around(call, effect) if self.around else effect()

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [call.request for call in self.calls if call.name == name]


def listening(monkeypatch: pytest.MonkeyPatch) -> RecordedCalls:
    """Return a wire that every client of boto3's goes through."""
    wire = RecordedCalls()
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *sent: wire.send(*sent))  # noqa: PLW0108 - binds the client
    return wire


class _Validator(ParamValidator):
    """Unlike botocore's own, it checks patterns, maxima and enumerations."""

    VALIDATED_METADATA_ATTRS = ParamValidator.VALIDATED_METADATA_ATTRS | {"max", "pattern", "enum"}

    def _validate(self, params: Any, shape: Any, errors: Any, name: str) -> None:
        super()._validate(params, shape, errors, name)  # type: ignore[misc]
        rules, size = shape.metadata, len(params) if isinstance(params, str | bytes) else params
        wrong = isinstance(size, int) and size > rules.get("max", size)
        wrong |= isinstance(params, str) and not re.search(rules.get("pattern") or "", params)
        if wrong or params not in (rules.get("enum") or [params]):
            errors.report(name, "invalid type", param=params, valid_types=[str(rules)])


def violations(shape: Any, request: Any) -> str:
    """Say where a request breaks the service model; empty where it does not."""
    return str(_Validator().validate(request, shape).generate_report()) if shape else ""


def client_error(code: str, call: Call) -> ClientError:
    """What boto3 raises where AWS answers a call with this code."""
    return ClientError({"Error": {"Code": code, "Message": f"{code} for a test"}}, call.operation)


def refuse(code: str, times: int = 1) -> Callable[[Call], None]:
    left = iter(range(times))

    def hook(call: Call) -> None:
        for _ in left:
            raise client_error(code, call)

    return hook


def payload(answer: object, error: str | None = None) -> Answer:
    """A Lambda function's answer, as boto3 hands it over; `error` is the FunctionError."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    made: Answer = {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(body), len(body))}
    return made | ({"FunctionError": error} if error else {})
