"""ProcessPaidOrder, invoked synchronously: one run of it is one pass."""

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from callback.errors import PassFailed, PassTimedOut
from callback.record import NOTE, Record
from callback.redact import redacted_text, scrub

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_MAX_ANSWER_BYTES = 64 * 1024
_MAX_OUTCOME = 1000
# A connection that was kept alive and died while the function was frozen, or that never came about: nothing ran.
_DEAD_CONNECTION = (ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError)


class PaidOrders:
    """Invokes ProcessPaidOrder through a client without retries: a retry after a timeout would run the pass twice."""

    def __init__(self, client: "LambdaClient", function: str) -> None:
        self._client = client
        self._function = function

    def process(self, record: Record) -> str:
        """Run the record's next pass and return ProcessPaidOrder's answer, redacted and cut. Raises `PassFailed`."""
        number = record.next_pass
        payload = {
            "orderId": record.order_id,
            "chargeId": record.charge_id,
            "note": NOTE,
            "pass": number,
            "checksumStatus": record.checksum_status,
        }
        try:
            answer = self._invoke(json.dumps(payload))
            outcome = _outcome(answer["Payload"])
        except ReadTimeoutError as error:
            raise PassTimedOut(number, "ProcessPaidOrder did not answer in time; it may have finished") from error
        except (ClientError, BotoCoreError) as error:
            raise PassFailed(number, f"ProcessPaidOrder could not be invoked: {scrub(str(error))}") from error
        if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
            raise PassFailed(number, f"ProcessPaidOrder failed ({answer['FunctionError']})", answer=outcome)
        return outcome

    def _invoke(self, payload: str) -> Any:  # noqa: ANN401 - the client's own type of answer
        try:
            return self._client.invoke(FunctionName=self._function, Payload=payload)
        except _DEAD_CONNECTION:
            return self._client.invoke(FunctionName=self._function, Payload=payload)


def _outcome(stream: Any) -> str:  # noqa: ANN401 - botocore's stream has no type
    text = stream.read(_MAX_ANSWER_BYTES).decode(errors="replace")
    stream.close()  # whatever more there is
    return redacted_text(text)[:_MAX_OUTCOME]
