"""Planted markers: whole runs with card data, tokens and keys wherever they can be, and none where anybody reads."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from callback.clock import stamp
from callback.errors import FollowUpError
from tests.wire import Call, payload
from tests.world import CHARGE, NOTIFICATION, World, sample

KEYS = {"secretKey": "current-planted", "previousSecretKey": "previous-planted"}
CARDS = ("4111111111111111", "5555 5555 5555 4444", "514950xxxxxx9007")
SECRETS = {
    "number": CARDS[0],
    "pan": CARDS[1],
    "card_masking": CARDS[2],
    "last4": "last-digits-planted",
    "cvv": "cvv-planted",
    "securityCode": "code-planted",
    "nameOnCard": "MRS PLANTED",
    "holder_name": "MR PLANTED",
    "expiry": "12-planted",
    "exp_month": "month-planted",
    "token": "token-planted",
    "apiKey": "api-planted",
    "password": "password-planted",
    "cavv": "cavv-planted",
}
HEADERS = {
    "Authorization": "Basic basic-planted",
    "Cookie": "a=b; session=cookie-planted",
    "X-Api-Key": "header-planted",
    "X-Amz-Security-Token": "security-planted",
}
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
    body |= {"source": body["source"] | SECRETS, "metadata": json.dumps(SECRETS), "description": PROSE}
    return event | {"body": json.dumps(body | SECRETS)}


def _http_api() -> dict[str, Any]:
    return sample("http-api-v2") | {"body": _json()["body"], "isBase64Encoded": False}


def _base64() -> dict[str, Any]:
    body = base64.b64encode(_json()["body"].encode()).decode()
    return sample("authorized") | {"body": body, "isBase64Encoded": True}


def _form() -> dict[str, Any]:
    event = sample("browser-return")
    form = SECRETS | {f"card[{name}]": value for name, value in SECRETS.items()} | {"message": PROSE}
    return event | {"body": urlencode(dict(parse_qsl(event["body"])) | form | {"objectId": CHARGE})}


def _with_secrets_around(event: dict[str, Any]) -> dict[str, Any]:
    """The event with headers, cookies and a query that hold secrets, each in both versions' places."""
    event["headers"] = event["headers"] | HEADERS
    event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
    query = urlencode(SECRETS)
    around = {"cookies": [HEADERS["Cookie"]], "rawQueryString": query, "queryStringParameters": SECRETS}
    event["requestContext"]["requestId"] = NOTIFICATION
    event["requestContext"]["authorizer"] = {"token": "authorizer-planted"}
    return event | around


@pytest.fixture(params=[_json, _http_api, _base64, _form], ids=lambda make: make.__name__.strip("_"))
def event(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One notification with everything secret in it."""
    return _with_secrets_around(request.param())


@dataclass
class Run:
    """A world in which secrets are planted, and what Lambda itself was told: answers and errors."""

    world: World
    told: list[str] = field(default_factory=list)

    def deliver(self, event: object) -> None:
        """Lambda invokes DelayedNotify, and logs and keeps what it raises."""
        self._tell(lambda: self.world.deliver(event))

    def recheck(self, number: int = 2, **changes: object) -> None:
        """The timer is due, and Lambda invokes Recheck."""
        self.world.wait(60)
        self._tell(lambda: self.world.recheck(number, **changes))

    def _tell(self, invoke: Callable[[], object]) -> None:
        try:
            self.told.append(json.dumps(invoke()))
        except FollowUpError as error:
            self.told.append(f"{type(error).__name__}: {error}")

    def written(self) -> Iterator[tuple[str, str]]:
        """Everything that left the functions, and where it went; not the record's raw body."""
        yield "log", self.world.printed.getvalue()
        for told in self.told:
            yield "Lambda", told
        for call in self.world.wire.calls:
            item = {name: value for name, value in call.request.get("Item", {}).items() if name != "body"}
            yield call.name, json.dumps(call.request | {"Item": item}, default=str)
        for table in ("CREDIT_CARD_NOTIFY_TABLE", "CARD_PAYMENT_RECORD_TABLE", "CALLBACK_ERROR_LOG_TABLE"):
            for row in self.world.rows(table):
                yield table, json.dumps(row | {"body": None}, default=str)

    def leaks(self) -> list[tuple[str, str]]:
        """Return where a marker is, and what stands around it."""
        found = ((where, text, text.find(marker)) for where, text in self.written() for marker in MARKERS)
        return [(where, text[max(0, at - 60) : at + 40]) for where, text, at in found if at >= 0]


@pytest.fixture
def run(world: World) -> Run:
    """The world with keys of ours, an order and its payment record, and every line logged."""
    name = world.environment["KBANK_SECRET_ID"]
    world.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(KEYS))
    world.cold_start(DEBUG_MODE="true")
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(ANSWER)
    world.pay()
    world.order()
    return Run(world)


def test_completed_passes_leak_nothing(run: Run, event: dict[str, Any]) -> None:
    """Delivery and recheck, with an answer of ProcessPaidOrder that is full of secrets; the raw body is kept."""
    run.deliver(event)
    run.recheck()
    assert run.world.record()["state"] == "DONE"
    assert "planted" in run.world.record()["body"]
    assert run.leaks() == []


def test_failing_passes_leak_nothing(run: Run, event: dict[str, Any]) -> None:
    """ProcessPaidOrder fails in both functions, and says why with a card number and a key."""
    run.world.wire.answers["lambda.Invoke"] = lambda _call: payload(ANSWER, error="Unhandled")
    run.deliver(event)
    assert set(run.world.mails()[0]["Message"]["Body"]) == {"Text", "Html"}
    run.recheck(number=1)
    assert [told.split(":")[0] for told in run.told] == ["PassFailed", "PassFailed"]
    assert run.leaks() == []


def test_plain_error_text_of_a_pass_leaks_nothing(run: Run, event: dict[str, Any]) -> None:
    """So does an answer that is no JSON."""
    run.world.wire.answers["lambda.Invoke"] = lambda _call: payload(PROSE.encode(), error="Unhandled")
    run.deliver(event)
    assert run.world.error()["responseData"]
    assert run.leaks() == []


def test_timed_out_pass_leaks_nothing(run: Run, event: dict[str, Any]) -> None:
    """ProcessPaidOrder does not answer."""
    run.world.wire.before["lambda.Invoke"] = _late
    run.deliver(event)
    assert run.told[0].startswith("PassTimedOut")
    assert run.leaks() == []


@pytest.mark.parametrize("call", ["lambda.Invoke", "scheduler.CreateSchedule", "ses.SendEmail"])
def test_refusal_that_quotes_its_request_leaks_nothing(run: Run, event: dict[str, Any], call: str) -> None:
    """An AWS service refuses with a message full of secrets: also what we raise for Lambda to log is clean."""
    hooks = {"lambda.Invoke": _late} if call == "ses.SendEmail" else {}  # a mail needs an error to tell of
    run.world.wire.before |= hooks | {call: _quoting}
    run.deliver(event)
    assert run.world.error()["occurrences"] == 1
    assert run.leaks() == []


def test_summary_of_held_mails_leaks_nothing(run: Run) -> None:
    """An order id that is a card number is masked in the row that counts the mails and in the summary."""
    run.world.held_back(1)
    row = run.world.mail_limit() | {"hour": stamp(run.world.now)[:13]}
    run.world.table("CALLBACK_ERROR_LOG_TABLE").put_item(Item=row)
    run.world.pay(orderId=CARDS[0])
    run.world.wire.before["lambda.Invoke"] = _late
    run.deliver(_with_secrets_around(_form()))
    run.world.wire.before.clear()
    run.world.wait(3600)
    run.world.sweep()
    [mail] = run.world.mails()
    assert "2 error mails" in mail["Message"]["Body"]["Html"]["Data"]
    assert [marker for marker in MARKERS if marker in f"{mail} {run.world.mail_limit()}"] == []


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_refused_event_leaks_nothing(run: Run, event: dict[str, Any], keep: float) -> None:
    """A body that was cut is no notification any more, yet full of secrets."""
    cut = int(len(event["body"]) * keep) // 4 * 4
    run.deliver(event | {"body": event["body"][:cut], "headers": {**HEADERS, "Content-Type": "application/json"}})
    assert run.told[0].startswith("InvalidNotification")
    assert run.leaks() == []


def test_conflict_leaks_nothing(run: Run, event: dict[str, Any]) -> None:
    """The same id with another body."""
    run.deliver(event)
    raw = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    run.deliver(event | {"body": base64.b64encode(raw + b" ").decode(), "isBase64Encoded": True})
    assert run.told[1].startswith("NotificationConflict")
    assert run.leaks() == []


@pytest.mark.parametrize("changes", [{"dueAt": PROSE}, {"notificationId": "never-saved"}, {"number": CARDS[0]}])
def test_refused_recheck_leaks_nothing(run: Run, changes: dict[str, object]) -> None:
    """A timer's input that is wrong, or of no notification, with secrets in and beside its fields."""
    beside: dict[str, Any] = SECRETS | {"number": 2}  # the pass, to `recheck`
    run.recheck(**beside | changes)
    assert run.told[0].split(":")[0] in {"InvalidRecheck", "NotificationNotFound"}
    assert run.leaks() == []


def test_secret_that_is_no_json_leaks_nothing(run: Run, event: dict[str, Any]) -> None:
    """Who stored the bare key finds a warning, not the key, in the log."""
    name = run.world.environment["KBANK_SECRET_ID"]
    run.world.client("secretsmanager").put_secret_value(SecretId=name, SecretString="skey_planted")
    run.deliver(event)
    assert run.leaks() == []


def _late(_call: Call) -> None:
    raise ReadTimeoutError(endpoint_url="a test")


def _quoting(call: Call) -> None:
    raise ClientError({"Error": {"Code": "ValidationException", "Message": PROSE}}, call.operation)
