"""Every AWS call of a test, where botocore sends it: recorded, held against botocore's own model, failed at will.

moto accepts nonsense (a 65-character schedule name, a time in the past), so its answer proves little.
"""

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.response import StreamingBody

from tests.support.without_coverage import unmeasured

Answer = dict[str, Any]
Sends = Callable[[BaseClient, str, dict[str, Any]], Answer]
_send: Sends = BaseClient._make_api_call  # type: ignore[attr-defined]


def by_http(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
    """Let botocore send it, and moto answer."""
    answer: Answer = unmeasured(_send, client, operation, request)
    return answer


@dataclass(frozen=True)
class Call:
    """One request; `patience` is how many seconds its client waits for an answer, retries included."""

    service: str
    operation: str
    request: dict[str, Any]
    patience: float = 0

    @property
    def name(self) -> str:
        """`service.Operation`."""
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
    moto: Sends = by_http
    listening: int = 0
    here: threading.local = field(default_factory=threading.local)  # another thread's calls are heard all the same

    def __enter__(self) -> Self:
        """Listen."""
        self.listening += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self.listening -= 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Look at moto in the middle of a call, unheard."""
        before = getattr(self.here, "is_aside", False)
        self.here.is_aside = True
        try:
            yield
        finally:
            self.here.is_aside = before

    def send(self, client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        """Stand in for `BaseClient._make_api_call`."""
        if not self.listening or getattr(self.here, "is_aside", False):
            return by_http(client, operation, request)
        config: Any = client.meta.config  # read_timeout and retries are made at run time
        patience = config.read_timeout * (config.retries or {}).get("total_max_attempts", 5)
        call = Call(client.meta.service_model.service_name, operation, request, patience)
        self.calls.append(call)
        shape = client.meta.service_model.operation_model(operation).input_shape
        wrong = list(violations(shape, request, call.name)) if shape else []
        assert not wrong, wrong

        def effect() -> Answer:
            self.before.get(call.name, _nothing)(call)
            known = self.answers.get(call.name)
            answer = known(call) if known else self.moto(client, operation, request)
            self.after.get(call.name, _nothing)(call)
            return answer

        return self.around(call, effect) if self.around else effect()

    def names(self) -> list[str]:
        """The calls so far, in order."""
        return [call.name for call in self.calls]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The requests of one operation, in order."""
        return [call.request for call in self.calls if call.name == name]


def listening(monkeypatch: pytest.MonkeyPatch) -> RecordedCalls:
    """Return a wire that every client of boto3's goes through."""
    wire = RecordedCalls()

    def send(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        return wire.send(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", send)
    return wire


def violations(shape: Shape, value: Any, path: str) -> list[str]:
    """Return where a request breaks the service model: unlike botocore, by pattern, length and enumeration too."""
    wrong: list[str] = []
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        wrong += [f"{path}: {name} is missing" for name in shape.required_members if name not in value]
        for name, inner in value.items():
            member = shape.members.get(name)
            wrong += violations(member, inner, f"{path}.{name}") if member else [f"{path}: {name} is unknown"]
    elif isinstance(shape, ListShape) and isinstance(value, list):
        wrong += [
            found for index, item in enumerate(value) for found in violations(shape.member, item, f"{path}[{index}]")
        ]
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        wrong += [found for name, item in value.items() for found in violations(shape.value, item, f"{path}.{name}")]
    else:
        wrong += _leaf_violations(shape, value, path)
    return wrong


def _leaf_violations(shape: Shape, value: Any, path: str) -> list[str]:
    rules = shape.metadata
    size = value if isinstance(value, int) else len(value) if isinstance(value, str | bytes) else None
    wrong = []
    if size is not None and not rules.get("min", size) <= size <= rules.get("max", size):
        wrong.append(f"{path}: size {size} is outside {rules.get('min')}..{rules.get('max')}")
    if "pattern" in rules and isinstance(value, str) and not re.search(rules["pattern"], value):
        wrong.append(f"{path}: {value!r} does not match {rules['pattern']}")
    if rules.get("enum") and value not in rules["enum"]:
        wrong.append(f"{path}: {value!r} is none of {rules['enum']}")
    return wrong


def refuse(code: str, times: int = 1) -> Callable[[Call], None]:
    """Make the next calls fail as AWS does."""
    left = [times]

    def hook(call: Call) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise ClientError({"Error": {"Code": code, "Message": f"{code} for a test"}}, call.operation)

    return hook


class Interrupt(BaseException):
    """Ctrl-C, or the end of the process."""


def interrupting(own: Callable[[Call], bool], number: int, when: str) -> Callable[[Call, Callable[[], Answer]], Answer]:
    """Return an `around` that ends the process "before" or "after" the n-th call of its own."""
    left = [number]

    def around(call: Call, effect: Callable[[], Answer]) -> Answer:
        left[0] -= own(call)
        this = own(call) and left[0] == 0
        if this and when == "before":
            raise Interrupt
        answer = effect()
        if this:
            raise Interrupt
        return answer

    return around


def payload(answer: object, error: str | None = None) -> Answer:
    """A Lambda function's answer, as boto3 hands it over; `error` is the FunctionError."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    made: Answer = {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(body), len(body))}
    return made | ({"FunctionError": error} if error else {})


def _nothing(_call: Call) -> None:
    pass
