"""Dead letters as Lambda and Scheduler write them, ready for `sqs.send_message(QueueUrl=…, **letter)`.

From the examples of the Lambda developer guide ("Capturing records of Lambda asynchronous invocations") and of the
EventBridge Scheduler user guide ("Retrieve the dead-letter event").
"""

import json
from typing import Any

Letter = dict[str, Any]


def on_failure(function_arn: str, request_id: str, payload: object, error: Exception | None) -> Letter:
    """Lambda's record of an event whose three tries failed, or, without an error, that grew too old in its queue."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": "2026-11-22T09:33:20.568Z",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{function_arn}:$LATEST",
            "condition": "RetriesExhausted" if error else "EventAgeExceeded",
            "approximateInvokeCount": 3,
        },
        "requestPayload": payload,
    }
    if error:
        record["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        record["responsePayload"] = function_error(error, request_id)
    return {"MessageBody": json.dumps(record, separators=(",", ":"))}


def function_error(error: Exception, request_id: str = "8f0c5a55-1b0e-4c53-9d0e-3f1f6ae0f0aa") -> dict[str, Any]:
    """What the Python runtime answers for a handler that raised."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": ['  File "/var/task/recheck/__init__.py", line 20, in lambda_handler\n'],
    }


def scheduler_letter(
    given: str, schedule_arn: str, code: str = "AWSLambda.TooManyRequestsException", message: str = "Rate Exceeded."
) -> Letter:
    """Scheduler's dead letter: the target's Input itself, and about it nine attributes."""
    attributes = {
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
        "EXECUTION_ID": "ad06616e51cdf74a",
        "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": "10",
        "SCHEDULED_TIME": "2026-11-22T09:31:18Z",
        "SCHEDULE_ARN": schedule_arn,
        "TARGET_ARN": "arn:aws:scheduler:::aws-sdk:lambda:invoke",
    }
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return {"MessageBody": given, "MessageAttributes": typed}
