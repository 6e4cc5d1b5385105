"""The stand-ins by HTTP on 127.0.0.1, in a process of their own, so that their work is nobody's billed time."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from bench.environment import WAITING, WARMING, charge_id, notification_id
from bench.expressions import Typed
from bench.standins import Refused, Standins, latency_of

_TARGETS = {"DynamoDB_20120810": "dynamodb", "secretsmanager": "secretsmanager", "AmazonSQS": "sqs"}


class Connection(asyncio.Protocol):
    """One client: a request is parsed as soon as it is whole, and answered at once, or when its latency is over."""

    def __init__(self, standins: Standins) -> None:
        self._standins = standins
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the request is whole."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("expect") == "100-continue" and not body:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(body) >= int(headers.get("content-length", 0)):
            self._data = b""
            self._answer(first.split(" ")[1], headers, body)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
        service, operation, request = _asked(path, headers, body)
        wait = 0.0
        try:
            answer = self._standins.answer(service, operation, request)
            payload = answer["Payload"] if service == "lambda" else json.dumps(answer).encode()
            status = answer.get("StatusCode", 200)
            if service == "lambda" and int(json.loads(request["Payload"])["orderId"].split("-")[1]) not in WARMING:
                wait = latency_of(request["FunctionName"])
        except Refused as error:
            payload, status = _refusal(error), error.status
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        asyncio.get_running_loop().call_later(wait, self._transport.write, head.encode() + payload)


def _asked(path: str, headers: dict[str, str], body: bytes) -> tuple[str, str, dict[str, Any]]:
    if path.startswith("/schedules/"):
        name = {"Name": unquote(path.removeprefix("/schedules/"))}
        return "scheduler", "CreateSchedule", json.loads(body) | name
    if "/functions/" in path:
        function = unquote(path.split("/functions/")[1].split("/", maxsplit=1)[0])
        about = {"FunctionName": function, "InvocationType": headers.get("x-amz-invocation-type")}
        return "lambda", "Invoke", about | {"Payload": body}
    service, _, operation = headers.get("x-amz-target", "ses.SendEmail").partition(".")
    return _TARGETS.get(service, service), operation, json.loads(body) if service in _TARGETS else {}


def _refusal(error: Refused) -> bytes:
    told = {"__type": error.code, "Message": error.code}
    return json.dumps(told | ({"Item": error.item} if error.item else {})).encode()


def furnished(standins: Standins, numbers: range) -> Standins:
    """Give every charge its payment record and its order, and some a second pass that is due, which no sweep finds."""
    payments, orders = (standins.tables[name] for name in ("CardPaymentRecordTable", "OrderTable"))
    for number in numbers:
        order = {"orderId": {"S": f"ORDER-{number}"}}
        money = {"amount": {"N": "200.5"}, "currency": {"S": "THB"}}
        payments.put({"chargeId": {"S": charge_id(number)}, **order, **money}, "", {})
        orders.put(order | {"returnUrl": {"S": f"https://shop.local.example/thanks/{number}"}}, "", {})
    for number in WAITING:
        record = waiting_record(number, "2026-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", 0)
        standins.tables["CreditCardNotifyTable"].put(record, "", {})
    standins.forget_units()
    return standins


def waiting_record(number: int, due: str, sweep_at: str, shard: int) -> Typed:
    """Return a record whose second pass is due."""
    texts = {"chargeId": charge_id(number), "notificationId": notification_id(number), "orderId": f"ORDER-{number}"}
    texts |= {"state": "PENDING", "nextPassDue": due, "firstDue": due, "sweepAt": sweep_at, "checksumStatus": "valid"}
    counts = {"passesDone": 1, "attempts": 1, "attemptsBefore": 1, "sweepShard": shard}
    typed: Typed = {name: {"S": text} for name, text in texts.items()} | {"passes": {"L": []}}
    return typed | {name: {"N": str(count)} for name, count in counts.items()}


@contextmanager
def serving(numbers: int = 60_000) -> Iterator[str]:
    """Run the stand-ins for a while, and return where they are."""
    command = [sys.executable, "-m", "bench.server", str(numbers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline() if process.stdout else "")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _serve(numbers: int) -> None:
    standins = furnished(Standins(), range(numbers))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(standins), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
