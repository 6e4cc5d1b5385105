"""Planted markers: whole runs with card data, tokens and keys wherever they can be, and none in any output."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from tests.support.aws import CHARGE, NOTIFICATION, World, sample
from tests.support.recorded_calls import payload, refuse
from tests.support.steps import set_secret, throttle

# Coverage doubles the time, and other tests measure the same lines.
pytestmark = pytest.mark.no_cover

CARDS = ("4111111111111111", "5555 5555 5555 4444", "514950xxxxxx9007")
SECRETS = dict(zip(("number", "pan", "card_masking"), CARDS, strict=True))
SECRETS |= {"trackData": "%B4111111111111111^PLANTED/MR^2512", "nameOnCard": "MRS PLANTED", "holder_name": "MR PLANTED"}
_NAMES = "last4 cvv cid verification_value securityCode expiry exp_month token apiKey password cavv"
SECRETS |= {name: f"{name}-planted" for name in _NAMES.split()}
HEADERS = {"Authorization": "Basic basic-planted", "Cookie": "a=b; session=cookie-planted"}
HEADERS |= {"X-Api-Key": "header-planted", "X-Amz-Security-Token": "security-planted"}
# As a program quotes them in an error: in words, as a form, as JSON, as JSON within JSON, as headers.
PROSE = f"card {CARDS[0]}, {CARDS[1].replace(' ', '-')} ({CARDS[2]}), skey_planted, tokn_planted, Bearer b-planted; "
PROSE += "; ".join([urlencode({f"card[{name}]": value for name, value in SECRETS.items()}), json.dumps(SECRETS)])
PROSE += "; ".join([json.dumps({"body": json.dumps(SECRETS)}), str(HEADERS), *map(": ".join, HEADERS.items())])
MARKERS = ("planted", "PLANTED", *CARDS, "5555+5555", "5555-5555", "xxxxxx9007")
ANSWER = {"paid": False, "errorMessage": PROSE, "request": SECRETS, "headers": HEADERS}

_BODY = json.loads(sample("authorized")["body"])
_BODY |= {"source": _BODY["source"] | SECRETS, "metadata": json.dumps(SECRETS), "description": PROSE} | SECRETS
_JSON = json.dumps(_BODY | {"transaction_state": PROSE})
_FORM = dict(parse_qsl(sample("browser-return")["body"])) | SECRETS | {"message": PROSE, "objectId": CHARGE}
_FORM |= {f"card[{name}]": value for name, value in SECRETS.items()}
EVENTS = {
    "json": sample("authorized") | {"body": _JSON},
    "base64": sample("http-api-v2") | {"body": base64.b64encode(_JSON.encode()).decode(), "isBase64Encoded": True},
    "form": sample("browser-return") | {"body": urlencode(_FORM)},
}


@dataclass
class Run:
    """A world, and a notification that is full of secrets."""

    world: World
    event: dict[str, Any]

    def invoke(self, run: Callable[..., object], *given: object, wait: float = 0, **named: object) -> None:
        """Let Lambda invoke a function after a while, and print what it answers or raises."""
        self.world.wait(wait)
        try:
            printed = json.dumps(run(*given, **named))
        except Exception as error:  # noqa: BLE001 - of any kind
            printed = f"{type(error).__name__}: {error}"
        self.world.printed.write(printed)

    def deliver(self, **changes: object) -> None:
        """Let the notification arrive."""
        self.invoke(self.world.deliver, self.event | changes)

    def written(self) -> Iterator[tuple[str, str]]:
        """Yield everything that left the functions, and where it went; in the refused queue the body is the event."""
        yield "printed", self.world.printed.getvalue()
        for call in self.world.wire.calls:
            yield call.name, json.dumps(call.request | {"MessageBody": None}, default=str)
        for table in ("CREDIT_CARD_NOTIFY_TABLE", "CARD_PAYMENT_RECORD_TABLE", "CALLBACK_ERROR_LOG_TABLE"):
            yield table, json.dumps(self.world.rows(table), default=str, ensure_ascii=False)


@pytest.fixture(params=EVENTS)
def run(world: World, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Put secrets into the notification, around it as both API versions do, and into the answer; none may get out."""
    headers = EVENTS[request.param]["headers"] | HEADERS
    event = EVENTS[request.param] | {"headers": headers, "cookies": [HEADERS["Cookie"]]}
    event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    event["requestContext"] = {"requestId": NOTIFICATION, "authorizer": {"token": "authorizer-planted"}}
    event |= {"rawQueryString": urlencode(SECRETS), "queryStringParameters": SECRETS}
    set_secret(world, json.dumps({"secretKey": "current-planted", "previousSecretKey": "previous-planted"}))
    world.cold_start(DEBUG_MODE="true")
    world.wire.answers |= {"lambda.Invoke": lambda _call: payload(ANSWER), "sqs.SendMessage": lambda _call: {}}
    world.pay()
    world.order()
    run = Run(world, event)
    yield run
    found = ((where, text, text.find(marker)) for where, text in run.written() for marker in MARKERS)
    assert [(where, text[max(0, at - 60) : at + 40]) for where, text, at in found if at >= 0] == []


def test_completed_passes_leak_nothing(run: Run) -> None:
    """Delivery and recheck, with an answer full of secrets; even if the merchant's secret is a bare key."""
    run.deliver()
    run.invoke(run.world.recheck, wait=62)
    assert (run.world.record()["state"], len(run.world.record()["body"]) > 500) == ("DONE", True)
    set_secret(run.world, "skey_planted")
    run.world.cold_start()
    run.deliver(requestContext={"requestId": "another"})


@pytest.mark.parametrize("answer", [ANSWER, PROSE.encode()], ids=["JSON", "prose"])
def test_failing_passes_leak_nothing(run: Run, answer: object) -> None:
    """ProcessPaidOrder fails until it is given up, with a card number and a key in its reason."""
    run.world.wire.answers["lambda.Invoke"] = lambda _call: payload(answer, error="Unhandled")
    run.deliver()
    run.invoke(run.world.recheck, 1, wait=73 * 3600)
    answered = {row["errorType"] for row in run.world.errors() if row["responseData"]}
    assert answered == {"PassFailed", "GaveUp"}


CALLS = """dynamodb.GetItem dynamodb.PutItem dynamodb.UpdateItem dynamodb.Query ses.SendEmail lambda.Invoke
secretsmanager.GetSecretValue scheduler.CreateSchedule""".split()


@pytest.mark.parametrize("name", CALLS)
def test_refusal_that_quotes_its_request_leaks_nothing(run: Run, name: str) -> None:
    """If an AWS service refuses with a message full of secrets, nothing is logged, kept, raised or printed of them."""
    run.deliver()
    run.world.cold_start(SETTLED_ORDER_STATUSES="PAID")
    throttle(run.world, times=9 if name == "ses.SendEmail" else 0)  # a mail needs an error
    run.world.wire.before[name] = refuse(PROSE, times=99)
    before = len(run.world.wire.calls)
    run.deliver(requestContext={"requestId": "another"})
    run.invoke(run.world.recheck, wait=62)
    run.invoke(run.world.sweep, wait=600)
    assert name in run.world.wire.names()[before:] or "objectId" in run.event["body"]  # a form asks for no secret


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_refused_event_leaks_nothing(run: Run, keep: float) -> None:
    """A body that was cut is no notification, yet full of secrets; so are a conflict and a letter."""
    text, is_encoded = run.event["body"], run.event["isBase64Encoded"]
    broken = ("" if is_encoded else "* ") + text[: int(len(text) * keep) // 4 * 4]  # else the rest would be a form
    changes = {"body": broken, "headers": HEADERS | {"Content-Type": "application/json"}}
    run.deliver(**changes)
    run.invoke(run.world.retry, {"requestPayload": run.event | changes}, PROSE)
    run.deliver()
    raw = base64.b64decode(text) if is_encoded else text.encode()
    run.deliver(body=base64.b64encode(raw + b" ").decode(), isBase64Encoded=True)
    assert {row["errorType"] for row in run.world.errors()} == {"InvalidNotification", "NotificationConflict"}
    assert len(run.world.wire.of("sqs.SendMessage")) == 2


@pytest.mark.parametrize("changes", [{"dueAt": PROSE}, {"notificationId": "never-saved"}, {"number": CARDS[0]}])
def test_refused_recheck_leaks_nothing(run: Run, changes: dict[str, Any]) -> None:
    """Wrong timer input, or that of no notification, has secrets in its fields and in other ones."""
    beside: dict[str, Any] = SECRETS | {"number": 2}  # the pass, to `recheck`
    run.invoke(run.world.recheck, **beside | changes)
    assert run.world.error()["errorType"] in {"InvalidTimer", "NotificationNotFound"}
