"""The stand-ins inside the process, in the place where botocore sends a call: nothing but our code is left to time."""

import io
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from bench.standins import Refused, Standins


def listen(standins: Standins) -> None:
    """Answer every call of this process from here on."""

    def send(client: BaseClient, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return answered(standins, client.meta.service_model.service_name, operation, request)

    BaseClient._make_api_call = send  # type: ignore[attr-defined]  # noqa: SLF001 - the one place that calls pass


def answered(standins: Standins, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answer as boto3 would hand it over."""
    try:
        answer = standins.answer(service, operation, request)
    except Refused as error:
        about: Any = {"Error": {"Code": error.code, "Message": error.code}, "Item": error.item}
        raise ClientError(about, operation) from error
    if service == "lambda":
        payload = answer["Payload"]
        return answer | {"Payload": StreamingBody(io.BytesIO(payload), len(payload))}
    return answer
