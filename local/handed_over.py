"""What the emulator runs in a function's place while containers run the function: it hands the invocation on.

So timers, the sweep and whoever else invokes a function by the emulator reach the function's container.
"""

import json
import os
from typing import Any

import boto3
from botocore.config import Config


def handler(event: object, _context: object) -> object:
    """Invoke the function of the same name in its container, and fail as it fails."""
    make: Any = boto3.client
    limits = Config(read_timeout=120, retries={"total_max_attempts": 1})
    containers = make("lambda", endpoint_url=os.environ["CONTAINERS"], config=limits)
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    answer = json.load(containers.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"])
    # `sam local` does not mark an error as Lambda does.
    if isinstance(answer, dict) and "errorType" in answer:
        raise RuntimeError(f"{answer['errorType']}: {answer.get('errorMessage')}")
    return answer
