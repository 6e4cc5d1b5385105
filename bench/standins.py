"""Stand-ins of the AWS services around the functions, which answer at once: in the process, or by HTTP on 127.0.0.1."""

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from bench.facts import template
from bench.notifications import KEY, WAITING, WARMING, charge_id, notification, notification_id, order_id
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
        if request.get("InvocationType") == "Event":
            return {"StatusCode": 202, "Payload": b""}
        if operation == "Invoke":
            paid = {"orderId": json.loads(request["Payload"])["orderId"], "paid": True}
            return {"StatusCode": 200, "Payload": json.dumps(paid).encode()}
        return {"SecretString": json.dumps({"secretKey": KEY}), "MessageId": "1", "ScheduleArn": "arn"}


def waiting_record(number: int) -> Typed:
    """Return a notification's record after its first pass: its second pass is due."""
    due, body = "2026-01-01T00:00:00.000000Z", notification(number)["body"]
    texts = {"chargeId": charge_id(number), "notificationId": notification_id(number), "orderId": order_id(number)}
    texts |= {"state": "PENDING", "checksumStatus": "valid", "nextPassDue": due, "firstDue": due, "body": body}
    done = {"M": {"number": {"N": "1"}, "at": {"S": due}, "outcome": {"S": "{}"}}}
    counts = {name: {"N": "1"} for name in ("passesDone", "attempts", "attemptsBefore", "sweepShard")}
    return {name: {"S": text} for name, text in texts.items()} | counts | {"passes": {"L": [done]}}


def _waiting(charge: str) -> Typed:
    # Not in the index, since it has no `sweepAt`, so that no sweep finds it.
    return waiting_record(_number(charge)) if _number(charge) in WAITING else {}


def _payment(charge: str) -> Typed:
    money = {"amount": {"N": "200.5"}, "currency": {"S": "THB"}}
    return {"chargeId": {"S": charge}, "orderId": {"S": order_id(_number(charge))}} | money


def _order(order: str) -> Typed:
    return {"orderId": {"S": order}, "returnUrl": {"S": f"https://shop.local.example/thanks/{order}"}}


def _number(charge: str) -> int:
    return int(charge[-22:], 16)


def in_process(standins: Standins) -> None:
    """Answer every call of this process in the place that all of boto3's calls pass."""

    def send(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        try:
            answer = standins.answer(client.meta.service_model.service_name, operation, request)
        except Refused as error:
            about: Any = {"Error": {"Code": error.code, "Message": error.code}, "Item": error.item}
            raise ClientError(about, operation) from error
        if operation != "Invoke":
            return answer
        return answer | {"Payload": StreamingBody(io.BytesIO(answer["Payload"]), len(answer["Payload"]))}

    BaseClient._make_api_call = send  # type: ignore[attr-defined]  # noqa: SLF001 - the one place that calls pass


@contextmanager
def serving() -> Iterator[str]:
    """Serve stand-ins by HTTP from a thread of this process, which is not the measured one; return their URL."""
    _Handler.standins = Standins()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which keeps connections
    disable_nagle_algorithm = True
    standins: Standins
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, operation, request = self._asked(body)
        try:
            with self.lock:
                answer = self.standins.answer(service, operation, request)
            payload = answer["Payload"] if operation == "Invoke" else json.dumps(answer).encode()
            status = answer.get("StatusCode", 200)
        except Refused as error:
            refusal = {"__type": error.code, "Message": error.code} | ({"Item": error.item} if error.item else {})
            payload, status = json.dumps(refusal).encode(), error.status
        if status == 200 and operation == "Invoke" and int(json.loads(body)["orderId"].split("-")[1]) < WARMING:
            time.sleep(int(request["FunctionName"].split("-")[-1]) / 1000)  # ProcessPaidOrder's run time
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.wfile.write(head.encode() + payload)

    def _asked(self, body: bytes) -> tuple[str, str, dict[str, Any]]:
        if self.path.startswith("/schedules/"):
            return "scheduler", "CreateSchedule", {}
        if "/functions/" in self.path:
            about = {"FunctionName": self.path.split("/")[3], "Payload": body}
            return "lambda", "Invoke", about | {"InvocationType": self.headers.get("X-Amz-Invocation-Type")}
        prefix, _, operation = self.headers.get("X-Amz-Target", "ses.SendEmail").partition(".")
        is_table = prefix == "DynamoDB_20120810"
        return "dynamodb" if is_table else prefix, operation, json.loads(body) if is_table else {}

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    do_PUT = do_POST  # noqa: N815 - the library's name
