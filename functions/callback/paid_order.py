"""ProcessPaidOrder, invoked synchronously: one run of it is one pass."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from callback.errors import PassFailed, PassTimedOut
from callback.record import Record
from callback.redact import redacted_text, scrub

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MAX_OUTCOME = 1000


class PaidOrders:
    """Speaks to ProcessPaidOrder through a client without retries: a retry would run the pass again."""

    def __init__(self, client: "LambdaClient", function: str) -> None:
        self._client = client
        self._function = function

    def process(self, record: Record, note: str) -> str:
        """Run the record's next pass and return what ProcessPaidOrder answered, redacted and cut to size.

        The payload is ours, since nothing states one (README: contracts). Raises `PassFailed`.
        """
        payload = {
            "orderId": record.order_id,
            "chargeId": record.charge_id,
            "note": note,
            "pass": record.next_pass,
        }
        try:
            answer = self._client.invoke(FunctionName=self._function, Payload=json.dumps(payload))
            outcome = redacted_text(answer["Payload"].read().decode(errors="replace"))[:MAX_OUTCOME]
        except ReadTimeoutError as error:
            message = f"pass {record.next_pass}: ProcessPaidOrder did not answer in time; it may have finished"
            raise PassTimedOut(message) from error
        except (ClientError, BotoCoreError) as error:
            raise PassFailed(
                f"pass {record.next_pass}: ProcessPaidOrder could not be invoked: {scrub(str(error))}"
            ) from error
        if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
            raise PassFailed(
                f"pass {record.next_pass}: ProcessPaidOrder failed ({answer['FunctionError']})", answer=outcome
            )
        return outcome
