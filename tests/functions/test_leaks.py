"""Planted markers: whole runs with card data, tokens and keys wherever they can be, and none where anybody reads."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.support.aws import CHARGE, NOTIFICATION, World, sample
from tests.support.recorded_calls import Call, payload

KEYS = {"secretKey": "current-planted", "previousSecretKey": "previous-planted"}
CARDS = ("4111111111111111", "5555 5555 5555 4444", "514950xxxxxx9007")
SECRETS = dict(zip(("number", "pan", "card_masking"), CARDS, strict=True))
SECRETS |= {"trackData": "%B4111111111111111^PLANTED/MR^2512", "nameOnCard": "MRS PLANTED", "holder_name": "MR PLANTED"}
_NAMES = "last4 cvv cid verification_value securityCode expiry exp_month token apiKey password cavv"
SECRETS |= {name: f"{name}-planted" for name in _NAMES.split()}
HEADERS = {"Authorization": "Basic basic-planted", "Cookie": "a=b; session=cookie-planted"}
HEADERS |= {"X-Api-Key": "header-planted", "X-Amz-Security-Token": "security-planted"}
# As a program quotes them in an error: in words, as a form, as JSON, as JSON within JSON, as headers.
PROSE = "; ".join(
    [
        f"card {CARDS[0]}, {CARDS[1].replace(' ', '-')} ({CARDS[2]}), skey_planted, tokn_planted, Bearer b-planted",
        urlencode({f"card[{name}]": value for name, value in SECRETS.items()}),
        json.dumps(SECRETS),
        json.dumps({"body": json.dumps(SECRETS)}),
        str(HEADERS),
        "\n".join(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
)
MARKERS = ("planted", "PLANTED", *CARDS, "5555+5555", "5555-5555", "xxxxxx9007")
# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = pytest.mark.no_cover
ANSWER = {"paid": False, "errorMessage": PROSE, "request": SECRETS, "headers": HEADERS}


def _json() -> dict[str, Any]:
    event = sample("authorized")
    body = json.loads(event["body"])
    body |= {"source": body["source"] | SECRETS, "metadata": json.dumps(SECRETS), "description": PROSE} | SECRETS
    return event | {"body": json.dumps(body | {"transaction_state": PROSE})}


def _base64() -> dict[str, Any]:
    body = base64.b64encode(_json()["body"].encode()).decode()
    return sample("http-api-v2") | {"body": body, "isBase64Encoded": True}


def _form() -> dict[str, Any]:
    event = sample("browser-return")
    form = SECRETS | {f"card[{name}]": value for name, value in SECRETS.items()} | {"message": PROSE}
    return event | {"body": urlencode(dict(parse_qsl(event["body"])) | form | {"objectId": CHARGE})}


@pytest.fixture(params=[_json, _base64, _form], ids=lambda make: make.__name__.strip("_"))
def event(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One notification with everything secret in it, and around it in both versions' places."""
    event: dict[str, Any] = request.param()
    event["headers"] = event["headers"] | HEADERS
    event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
    event["requestContext"] |= {"requestId": NOTIFICATION, "authorizer": {"token": "authorizer-planted"}}
    query = {"rawQueryString": urlencode(SECRETS), "queryStringParameters": SECRETS}
    return event | {"cookies": [HEADERS["Cookie"]]} | query


@dataclass
class Run:
    """A world in which secrets are planted, and what Lambda itself saw: answers and errors."""

    world: World
    lambdas: list[str] = field(default_factory=list)

    def invoke(self, invocation: Callable[[], object]) -> None:
        """Lambda invokes a function, and logs and keeps what it raises."""
        try:
            self.lambdas.append(json.dumps(invocation()))
        except Exception as error:  # noqa: BLE001 - foreign errors, too
            self.lambdas.append(f"{type(error).__name__}: {error}")

    def deliver(self, event: object) -> None:
        """A notification arrives."""
        self.invoke(lambda: self.world.deliver(event))

    def recheck(self, number: int = 2, **changes: object) -> None:
        """The timer is due."""
        self.world.wait(62)
        self.invoke(lambda: self.world.recheck(number, **changes))

    def written(self) -> Iterator[tuple[str, str]]:
        """Everything that left the functions, and where it went; in the refused queue the body is the event."""
        yield "log", self.world.printed.getvalue()
        for text in self.lambdas:
            yield "Lambda", text
        for call in self.world.wire.calls:
            yield call.name, json.dumps(call.request | {"MessageBody": None}, default=str)
        for table in ("CREDIT_CARD_NOTIFY_TABLE", "CARD_PAYMENT_RECORD_TABLE", "CALLBACK_ERROR_LOG_TABLE"):
            for row in self.world.rows(table):
                yield table, json.dumps(row, default=str, ensure_ascii=False)

    def leaks(self) -> list[tuple[str, str]]:
        """Return where a marker is, and what is around it."""
        found = ((where, text, text.find(marker)) for where, text in self.written() for marker in MARKERS)
        return [(where, text[max(0, at - 60) : at + 40]) for where, text, at in found if at >= 0]


@pytest.fixture
def run(world: World) -> Run:
    """The world with keys, an order and its payment record of its own."""
    name = world.environment["KBANK_SECRET_ID"]
    world.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(KEYS))
    world.cold_start(DEBUG_MODE="true")
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(ANSWER)
    world.pay()
    world.order()
    return Run(world)


def test_completed_passes_leak_nothing(run: Run, event: dict[str, Any]) -> None:
    """Delivery and recheck, with an answer of ProcessPaidOrder that is full of secrets."""
    run.deliver(event)
    run.recheck()
    assert (run.world.record()["state"], len(run.world.record()["body"]) > 500) == ("DONE", True)
    assert run.leaks() == []


@pytest.mark.parametrize("answer", [ANSWER, PROSE.encode()], ids=["JSON", "prose"])
def test_failing_passes_leak_nothing(run: Run, event: dict[str, Any], answer: object) -> None:
    """ProcessPaidOrder fails until it is given up, and says why with a card number and a key."""
    run.world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    run.deliver(event)
    run.world.wait(72 * 3600)
    run.recheck(number=1)
    assert [text.split(":")[0] for text in run.lambdas] == ["PassFailed", "GaveUp"]
    assert run.world.errors()[0]["responseData"]
    assert run.leaks() == []


CALLS = ["dynamodb.GetItem", "dynamodb.PutItem", "dynamodb.UpdateItem", "secretsmanager.GetSecretValue"]
CALLS += ["lambda.Invoke", "scheduler.CreateSchedule", "ses.SendEmail"]


@pytest.mark.parametrize("call", CALLS)
def test_refusal_that_quotes_its_request_leaks_nothing(run: Run, event: dict[str, Any], call: str) -> None:
    """An AWS service refuses a delivery with a message full of secrets: also what Lambda prints of it is clean."""
    run.world.wire.before |= {"lambda.Invoke": _late} if call == "ses.SendEmail" else {}  # a mail needs an error
    run.world.wire.before[call] = _quoting
    run.deliver(event)
    assert call in run.world.wire.names() or "objectId" in event["body"]  # a form asks for no secret
    assert run.leaks() == []


@pytest.mark.parametrize("call", ["dynamodb.UpdateItem", "dynamodb.GetItem", "dynamodb.Query", "lambda.Invoke"])
def test_errors_of_claim_and_sweep_leak_nothing(run: Run, event: dict[str, Any], call: str) -> None:
    """So do Recheck and the sweep, in what they log, keep and raise."""
    run.world.cold_start(SETTLED_ORDER_STATUSES="PAID")
    run.deliver(event)
    run.world.wire.before[call] = _quoting
    run.recheck()
    run.world.wait(600)
    run.invoke(run.world.sweep)
    assert call in run.world.wire.names()
    assert run.leaks() == []


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_refused_event_leaks_nothing(run: Run, event: dict[str, Any], keep: float) -> None:
    """A body that was cut is no notification any more, yet full of secrets; so is a conflict, and the retry queue."""
    cut = int(len(event["body"]) * keep) // 4 * 4
    start = "" if event["isBase64Encoded"] else "* "  # else the rest of a form would be a form
    broken = event | {"body": start + event["body"][:cut], "headers": {**HEADERS, "Content-Type": "application/json"}}
    run.world.wire.answers["sqs.SendMessage"] = lambda _call: {}
    run.deliver(broken)
    run.invoke(lambda: run.world.retry({"requestPayload": broken}, PROSE))
    assert run.lambdas[0].startswith("InvalidNotification")
    run.deliver(event)
    raw = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    run.deliver(event | {"body": base64.b64encode(raw + b" ").decode(), "isBase64Encoded": True})
    assert run.lambdas[-1].startswith("NotificationConflict")
    assert len(run.world.wire.of("sqs.SendMessage")) == 2
    assert run.leaks() == []


@pytest.mark.parametrize("changes", [{"dueAt": PROSE}, {"notificationId": "never-saved"}, {"number": CARDS[0]}])
def test_refused_recheck_leaks_nothing(run: Run, changes: dict[str, object]) -> None:
    """A timer's input that is wrong, or of no notification, with secrets in and beside its fields."""
    beside: dict[str, Any] = SECRETS | {"number": 2}  # the pass, to `recheck`
    run.recheck(**beside | changes)
    assert run.lambdas[0].split(":")[0] in {"InvalidTimer", "NotificationNotFound"}
    assert run.leaks() == []


def test_secret_that_is_no_json_leaks_nothing(run: Run, event: dict[str, Any]) -> None:
    """A bare key in the secret is a warning in the log, not a key in it."""
    name = run.world.environment["KBANK_SECRET_ID"]
    run.world.client("secretsmanager").put_secret_value(SecretId=name, SecretString="skey_planted")
    run.deliver(event)
    assert run.leaks() == []


def _late(_call: Call) -> None:
    raise ReadTimeoutError(endpoint_url="a test")


def _quoting(call: Call) -> None:
    raise ClientError({"Error": {"Code": "ValidationException", "Message": PROSE}}, call.operation)
