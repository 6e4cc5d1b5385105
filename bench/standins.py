"""The AWS services around the functions, answering at once: the same for everyone who is measured."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.environment import SECRET, TABLES
from bench.tables import ConditionNotMet, Table
from bench.template import table_shape

Answer = dict[str, Any]


class Refused(Exception):
    """A service's error: its code, its HTTP status and, for a condition, the item that stands there."""

    def __init__(self, code: str, status: int = 400, item: Any = None) -> None:  # noqa: ANN401 - a typed item
        super().__init__(code)
        self.code = code
        self.status = status
        self.item = item


@dataclass
class Standins:
    """All services. `limit`, if set, is asked before each call and may refuse it; `spent` hears what it was billed."""

    tables: dict[str, Table] = field(default_factory=lambda: {n: Table(table_shape(n)) for n in TABLES.values()})
    calls: Counter[str] = field(default_factory=Counter)
    schedules: set[str] = field(default_factory=set)
    limit: Callable[[str, dict[str, Any]], None] | None = None
    spent: Callable[[Counter[str]], None] | None = None
    on_event: Callable[[dict[str, Any]], None] | None = None
    on_schedule: Callable[[dict[str, Any]], None] | None = None

    def forget_units(self) -> None:
        """Count what is billed anew."""
        for table in self.tables.values():
            table.units.clear()

    def answer(self, service: str, operation: str, request: dict[str, Any]) -> Answer:
        """Answer a call, with its request as boto3 takes it, or raise `Refused`."""
        name = f"{service}.{operation}"
        self.calls[name] += 1
        if self.limit:
            self.limit(name, request)
        if service == "dynamodb":
            table = self.tables[request["TableName"]]
            before = table.units.copy()
            answer = self._dynamodb(table, operation, request)
            if self.spent and table.shape.indexes:
                self.spent(table.units - before)
            return answer
        by_name: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "lambda.Invoke": self._invoke,
            "scheduler.CreateSchedule": self._create_schedule,
            "secretsmanager.GetSecretValue": lambda _: {"SecretString": json.dumps(SECRET)},
            "ses.SendEmail": lambda _: {"MessageId": "1"},
            "sqs.SendMessage": lambda _: {"MessageId": "1"},
        }
        return by_name[name](request)

    @staticmethod
    def _dynamodb(table: Table, operation: str, request: dict[str, Any]) -> Answer:
        values, wanted = request.get("ExpressionAttributeValues", {}), request.get("ConditionExpression")
        try:
            if operation == "GetItem":
                found = table.get(request["Key"])
                return {"Item": found} if found else {}
            if operation == "Query":
                return table.query(values, request["Limit"], request.get("ExclusiveStartKey"))
            if operation == "PutItem":
                table.put(request["Item"], wanted, values)
                return {}
            return {"Attributes": table.update(request["Key"], request["UpdateExpression"], wanted, values)}
        except ConditionNotMet as found_there:
            raise Refused("ConditionalCheckFailedException", item=found_there.item) from found_there

    def _invoke(self, request: dict[str, Any]) -> Answer:
        if request.get("InvocationType") == "Event":
            if self.on_event:
                self.on_event(json.loads(request["Payload"]))
            return {"StatusCode": 202, "Payload": b""}
        asked = json.loads(request["Payload"])
        return {"StatusCode": 200, "Payload": json.dumps({"orderId": asked["orderId"], "paid": True}).encode()}

    def _create_schedule(self, request: dict[str, Any]) -> Answer:
        if request["Name"] in self.schedules:
            raise Refused("ConflictException", 409)
        self.schedules.add(request["Name"])
        if self.on_schedule:
            self.on_schedule(request)
        return {"ScheduleArn": f"arn:aws:scheduler:ap-southeast-1:123456789012:schedule/{request['Name']}"}


def latency_of(function: str) -> float:
    """Return how many seconds the function of a name takes."""
    found = re.search(r"process-paid-order-(\d+)$", function)
    return int(found[1]) / 1000 if found else 0
