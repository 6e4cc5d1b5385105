"""The floor as a Lambda function: boto3 with the needed clients made at its init, as everyone writes it."""

import json
from typing import Any

from bench.subjects.floor import Calls, steps_of

_deliver, _again = steps_of(Calls())


def lambda_handler(event: dict[str, Any], _context: object) -> object:
    """Make the calls of DelayedNotify for the charge of the event."""
    _deliver(int(json.loads(event["body"])["id"][-22:], 16))
    return {}
