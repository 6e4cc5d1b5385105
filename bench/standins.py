"""Stand-ins of the AWS services around the functions, which answer at once: in the process, or by HTTP on 127.0.0.1."""

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from bench.facts import template
from bench.notifications import KEY, WAITING, WARMING, ids, notification
from bench.tables import Refused, Table
from tests.support.expressions import Typed

Answer = dict[str, Any]


class Standins:
    """All services. Every charge has its payment record and its order."""

    def __init__(self) -> None:
        self.tables = {name: Table(name) for name in template()["tables"]}
        names = ("CREDIT_CARD_NOTIFY_TABLE", "CARD_PAYMENT_RECORD_TABLE", "ORDER_TABLE")
        self.records, payments, orders = (self.tables[template()["environment"][name]] for name in names)
        self.records.default, payments.default, orders.default = _waiting, _payment, _order
        self.calls: Counter[str] = Counter()

    def answer(self, service: str, operation: str, request: dict[str, Any]) -> Answer:
        """Answer a call, with its request as boto3 takes it, or raise `Refused`."""
        self.calls[f"{service}.{operation}"] += 1
        if service == "dynamodb":
            return self.tables[request["TableName"]].answer(operation, request)
        if operation == "Invoke":
            paid = json.dumps({"orderId": json.loads(request["Payload"])["orderId"], "paid": True}).encode()
            return {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(paid), len(paid))}
        return {"SecretString": json.dumps({"secretKey": KEY}), "MessageId": "1", "ScheduleArn": "arn"}


def waiting_record(number: int) -> Typed:
    """Return a notification's record after its first pass: its second pass is due."""
    due, body = "2026-01-01T00:00:00.000000Z", notification(number)["body"]
    texts = ids(number) | {
        "state": "PENDING",
        "checksumStatus": "valid",
        "nextPassDue": due,
        "firstDue": due,
        "body": body,
    }
    done = {"M": {"number": {"N": "1"}, "at": {"S": due}, "outcome": {"S": "{}"}}}
    counts = {name: {"N": "1"} for name in ("passesDone", "attempts", "attemptsBefore", "sweepShard")}
    return {name: {"S": text} for name, text in texts.items()} | counts | {"passes": {"L": [done]}}


def number_of(charge: str) -> int:
    """Return the number of a charge's notification."""
    return int(charge[-22:], 16)


def _waiting(charge: str) -> Typed:
    # Not in the index, since it has no `sweepAt`, so that no sweep finds it.
    return waiting_record(number_of(charge)) if number_of(charge) in WAITING else {}


def _payment(charge: str) -> Typed:
    money = {"amount": {"N": "200.5"}, "currency": {"S": "THB"}}
    return {"chargeId": {"S": charge}, "orderId": {"S": ids(number_of(charge))["orderId"]}} | money


def _order(order: str) -> Typed:
    return {"orderId": {"S": order}, "returnUrl": {"S": f"https://shop.local.example/thanks/{order}"}}


def in_process(standins: Standins) -> None:
    """Answer every call of this process at the one place that all of boto3's calls pass through."""

    def send(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        try:
            return standins.answer(client.meta.service_model.service_name, operation, request)
        except Refused as error:
            about: Any = {"Error": {"Code": error.code, "Message": error.code}, "Item": error.item}
            raise ClientError(about, operation) from error

    BaseClient._make_api_call = send  # type: ignore[attr-defined]  # noqa: SLF001 - the one place that calls pass


@contextmanager
def serving() -> Iterator[str]:
    """Serve stand-ins by HTTP from a thread of this process, which is not the measured one; return their URL."""
    _Handler.standins = Standins()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _run_time_s(request: Mapping[str, Any]) -> float:
    another, _, latency_ms = request["FunctionName"].partition("process-paid-order-")
    number = int(json.loads(request["Payload"])["orderId"].split("-")[1])
    return 0 if another or number >= WARMING else int(latency_ms) / 1000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # it keeps connections open
    disable_nagle_algorithm = True
    standins: Standins
    lock = threading.Lock()

    def do_POST(self) -> None:
        body, status = self.rfile.read(int(self.headers.get("Content-Length", 0))), 200
        service, operation, request = self._asked(body)
        try:
            with self.lock:
                answer = self.standins.answer(service, operation, request)
            payload = answer["Payload"].read() if operation == "Invoke" else json.dumps(answer).encode()
        except Refused as error:
            status, refusal = error.status, {"__type": error.code, "Message": error.code, "Item": error.item}
            payload = json.dumps(refusal).encode()
        if operation == "Invoke":
            time.sleep(_run_time_s(request))  # ProcessPaidOrder's
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.wfile.write(head.encode() + payload)

    def _asked(self, body: bytes) -> tuple[str, str, dict[str, Any]]:
        if self.path.startswith("/schedules/"):
            return "scheduler", "CreateSchedule", {}
        if "/functions/" in self.path:
            return "lambda", "Invoke", {"FunctionName": self.path.split("/")[3], "Payload": body}
        prefix, _, operation = self.headers.get("X-Amz-Target", "ses.SendEmail").partition(".")
        is_table = prefix == "DynamoDB_20120810"
        return "dynamodb" if is_table else prefix, operation, json.loads(body) if is_table else {}

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    do_PUT = do_POST  # noqa: N815 - the library's name
