"""moto's DynamoDB asked directly while thousands of stories are told: its own handler, without HTTP around it.

Honest, since what is left out is not ours and decides nothing: botocore's signing, its HTTP and its parsing, and moto's
the other way round. The wire has held the request against botocore's model before, and it passes as JSON here too, so
that moto shares no value with us. tests/test_direct.py shows that the stories' calls are answered as they are by HTTP,
and all other tests go that way.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.parsing import expressions
from moto.dynamodb.responses import DynamoHandler

from local.emulator import ACCOUNT, REGION
from tests.wire import Answer, Wire, by_http

OPERATIONS = {"GetItem", "PutItem", "Query", "UpdateItem"}
_Parser: Any = expressions.UpdateExpressionParser  # type: ignore[attr-defined]


@contextmanager
def asked_directly(wire: Wire) -> Iterator[None]:
    """Answer what passes this wire with `directly`, and have moto parse each text of an update once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "moto", directly)
        # moto works on copies of what it parsed, so that one may serve for all.
        patch.setattr(_Parser, "make", cache(_Parser.make))
        yield


def directly(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Answer as `by_http` does, but without `ResponseMetadata`; what is none of `OPERATIONS` goes that way."""
    model: Any = client.meta.service_model
    if model.service_name != "dynamodb" or operation not in OPERATIONS:
        return by_http(client, operation, request)
    handler: Any = DynamoHandler()
    handler.current_account, handler.region = ACCOUNT, REGION
    handler.body = handler.params = json.loads(json.dumps(request))
    try:
        answer = getattr(handler, xform_name(operation))().result
    except JsonRESTError as error:
        raise _raised(client, operation, json.loads(error.description)) from None
    return {name: answer[name] for name in model.operation_model(operation).output_shape.members if name in answer}


def _raised(client: Any, operation: str, body: dict[str, Any]) -> Exception:
    code = body["__type"].rpartition("#")[2]
    shape = client.meta.service_model.shape_for_error_code(code)
    answer = {name: body[name] for name in (shape.members if shape else ()) if name in body}
    answer["Error"] = {"Message": body["message"], "Code": code}
    made: Exception = client.exceptions.from_code(code)(answer, operation)
    return made
