"""What the bank sends: every kind of event, and every kind of nonsense."""

import base64
import hashlib
import importlib.util
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from callback.errors import ContradictionRefused, InvalidNotification
from callback.notification import parse_notification
from tests.support.aws import CHARGE, ORDER, World
from tests.support.recorded_calls import payload
from tests.support.steps import FORM, down, event, fails, message, nested, signed


def saved(world: World, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Deliver bodies or events, each under its own id, and return their records."""
    for number, one in enumerate(events):
        world.deliver((one if "body" in one else event(one)) | {"requestContext": {"requestId": f"n-{number:02}"}})
    return sorted(world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["notificationId"]))


# --- how AWS wraps it ---

_SAMPLES = Path(str(importlib.util.find_spec("samcli").origin)).parent / "lib/generated_sample_events/events"  # type: ignore[union-attr]
V1, V2, ALB = (
    json.loads((_SAMPLES / f"{name}.json").read_text())
    for name in ("apigateway/AwsProxy", "apigateway/HttpApi", "alb/ALBRequest")
)
SHAPES = {
    "REST API": V1,
    "HTTP API": V2,
    "load balancer": ALB,
    "function URL": V2 | {"requestContext": {"accountId": "anonymous", "requestId": "e1506fd5-9e7b"}, "cookies": []},
    "console's test": V1 | {"headers": None, "multiValueHeaders": None, "requestContext": {"requestId": "test-invoke"}},
    "headers as lists": V1 | {"headers": None, "multiValueHeaders": {"content-type": ["application/json"]}},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_official_shape_is_read(shape: str) -> None:
    """The sample events of AWS's own tools, plain or base64, give the same notification."""
    text = json.dumps(message())
    for body, encoded in ((base64.encodebytes(text.encode()).decode(), True), (text, False)):
        found = parse_notification(SHAPES[shape] | {"body": body, "isBase64Encoded": encoded})
        assert (found.charge_id, found.order_id, found.amount) == (CHARGE, ORDER, Decimal("200.5"))
        assert found.body == text
        given_id = SHAPES[shape]["requestContext"].get("requestId")
        assert found.notification_id == given_id if given_id else len(found.notification_id) == 64


@pytest.mark.parametrize("context", [None, {}, [], "x", *({"requestId": odd} for odd in ("", "X\nF", "r" * 1025))])
def test_event_without_a_usable_request_id_is_known_by_its_hash(context: object) -> None:
    """Its id is then the canonical event's SHA-256, the same for every retry."""
    one = event(message(), requestContext=context)
    canonical = json.dumps(one, sort_keys=True, separators=(",", ":"))
    found = parse_notification(one).notification_id
    assert found == parse_notification(dict(reversed(one.items()))).notification_id
    assert found == hashlib.sha256(canonical.encode()).hexdigest()


# --- no field that decides nothing causes a refusal ---

TEXT, CHECKSUM = json.dumps(signed(description="???>>>~~~")), signed()["checksum"]
THAI = json.dumps(signed(description="ก 4111111111111111"), ensure_ascii=False)  # what decides is ASCII
INVISIBLE = ["\ufeff", "\ufeff\ufeff", "\u200b\ufeff", "\r\n\t ", "\u00a0", "\u200e", "\u3000", "\u2066\u202a"]
INVISIBLE += ["\u061c\u180e", "\x01\x1f"]
PADDED = [f"{TEXT}{' ' * length}".encode() for length in range(3)]
ENCODED = [base64.encodebytes(TEXT.encode()).replace(b"\n", b"\r\n"), base64.b64encode(f"\ufeff{TEXT}".encode())]
ENCODED += [base64.urlsafe_b64encode(text) for text in PADDED]
ENCODED += [base64.b64encode(text).rstrip(b"=") for text in PADDED]
ENCODED += [base64.b64encode(THAI.encode(kind)) for kind in ("cp874", "utf-16", "utf-32-be")]
SPELLINGS: list[dict[str, Any]] = [
    *(event(f"{around}{TEXT}{around}") for around in INVISIBLE),
    *(event(TEXT.replace("???", odd)) for odd in ("a\n\tb", "\x01\x1f")),
    event(f"{TEXT}\0"),
    *(event(message(checksum=odd)) for odd in (f" {CHECKSUM}", f"{CHECKSUM}\r\n", CHECKSUM.upper())),
    *(event(signed(**changes)) for changes in ({"id": 123}, {"amount": "+200.50"}, {"amount": "๒๐๐.๕๐"})),
    *(event(message(id=odd, objectId=CHARGE)) for odd in (..., None, "", " ", {"a": 1}, [1], True)),
    *(event(text.decode(), isBase64Encoded=True) for text in ENCODED),
    *(event(TEXT, isBase64Encoded=flag) for flag in (True, False, "false", "False", None, "", 0)),
    *(event(TEXT, headers=odd) for odd in (FORM, [["content-type", "text/plain"]], {"Content-Type": None})),
]


def test_spelling_and_wrapping_do_not_matter(world: World) -> None:
    """With invisible characters, other encodings, flags as text or odd headers it is valid, and pass 1 is run."""
    rows = saved(world, SPELLINGS)
    assert {(row["checksumStatus"], row["orderId"], row["passesDone"]) for row in rows} == {("valid", ORDER, 1)}
    assert len(rows) == len(SPELLINGS)
    assert "4111" not in str(rows)
    assert {sent["orderId"] for sent in world.passes()} == {ORDER}


def test_browser_return_is_known_by_its_first_field_and_names_the_charge_alone(world: World) -> None:
    """Proxies drop the content type. No checksum covers a form, so order and amount come from the payment record."""
    world.pay(amount=Decimal("75.25"), currency="THB")
    claims = f"&reference_order=X&amount=1.00&currency=USD&checksum={'0' * 64}"
    kinds: list[Any] = [None, {}, {"Content-Type": "text/plain"}, {"content-type": "multipart/form-data"}, FORM]
    bodies = [f"objectId={CHARGE}\r\n", f"\ufeffid=&objectId={CHARGE}&status=true", f"a[b]=1&objectId={CHARGE}{claims}"]
    bodies += [f"%EF%BB%BFobjectId={CHARGE}", f"a=1&\r\n+objectId={CHARGE}"]
    returns = [event(body, headers=kind) for kind in kinds for body in bodies]
    returns += [event(f'"="&objectId={CHARGE}', headers=None, multiValueHeaders={"CONTENT-TYPE": [*FORM.values()]})]
    rows = saved(world, returns)
    kept = {(row["orderId"], row["amount"], row["currency"], row["checksumStatus"]) for row in rows}
    assert (kept, len(rows)) == ({(ORDER, Decimal("75.25"), "THB", "missing")}, len(returns))
    assert ([row.get("status") for row in rows[:3]], "transactionState" in rows[0]) == ([None, "true", None], False)
    assert "secretsmanager.GetSecretValue" not in world.wire.names()
    world.deliver(event(message(amount="?"), "unusable"))  # what the bank itself says, or none
    assert sum("amount" in row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")) == len(returns)


NONE = ["-1", "1.00001", "1." + "0" * 34 + "1", "9" * 5000, "1e999999999999999999999", "NaN", "-Infinity", '"Infinity"']
AMOUNTS = [*((raw, None) for raw in (*NONE, '"1,000.00"', "true", "null", '""', "[]", "{}")), ("1.0E7", "10000000")]
AMOUNTS += [('"200.50000"', "200.5"), ('" 1e2 "', "100"), ("15", "15"), ("0E+1000", "0"), ("-0.0", "0")]
AMOUNTS += [("200.5" + "0" * 45, "200.5"), ("99999999999.9999", "99999999999.9999")]


@pytest.mark.parametrize(("raw", "amount"), AMOUNTS)
def test_amount_counts_by_its_value(raw: str, amount: str | None) -> None:
    """However it is written; anything that is no amount becomes None and refuses nothing."""
    spelled = json.dumps(message()).replace('"amount": 200.5', f'"amount": {raw}')
    assert parse_notification(event(spelled)).amount == (amount and Decimal(amount))


HASHED: list[dict[str, Any]] = [
    *({"failure_code": code} for code in ("x" * 101, "x" * 256, "x" * 5000, 101, 5.5, " ")),
    *({"failure_code": None, "failure_message": odd} for odd in (7, {"deep": [1]}, "\ud800")),
    *({"transaction_state": state} for state in ("A" * 101, "สำเร็จ" * 300)),
    *({"amount": amount} for amount in ("200.50000", 1e7, 15, "0")),
    {"currency": 764, "object": None},
    {"source": None, "metadata": [1], "livemode": "false", "a_new_field": {"deep": [1]}},
]
NOT_HASHED: list[dict[str, Any]] = [
    *({"status": True}, {"status": ["success"]}, {"transaction_state": {}}, {"currency": None}),
    *({"amount": amount} for amount in (-1, None, True, "1,000.00", 10**400, 1.00001, float("nan"))),
]


def test_field_that_decides_nothing_refuses_no_notification(world: World) -> None:
    """However long, numeric or new the fields are, the notification is saved, even if it cannot be hashed."""
    down(world, "CardPaymentRecordTable")
    rows = saved(world, [*(signed(**changes) for changes in HASHED), *(message(**changes) for changes in NOT_HASHED)])
    assert {row["passesDone"] for row in rows} == {1}
    statuses = ["valid"] * len(HASHED) + ["unverifiable"] * len(NOT_HASHED)
    assert [row["checksumStatus"] for row in rows] == statuses
    assert "a_new_field" in rows[len(HASHED) - 1]["body"]


NAMED = [(1001, "1001"), (20261122093015000, "20261122093015000"), ("\u00a0\u200bORDER 1001\u3000\r\n", "ORDER 1001")]
NAMED += [(order, order) for order in ("ORDER-ก1", "o" * 2048, "注文/🛒 #1&x=<b>")]


@pytest.mark.parametrize(("given", "order"), NAMED)
def test_order_id_may_be_any_text_or_number(world: World, given: object, order: str) -> None:
    """It is saved without blanks around it, processed twice, and percent-encoded in the page."""
    response = world.deliver(event(signed(reference_order=given)))
    assert world.record()["orderId"] == order
    assert f"/orders/{quote(order, safe='')}" in response["body"]
    [request] = world.wire.of("scheduler.CreateSchedule")
    world.wait(62)
    assert world.recheck(**json.loads(request["Target"]["Input"])) == {"state": "DONE", "passesDone": 2}
    assert [sent["orderId"] for sent in world.passes()] == [order, order]


# --- what is refused, and by which name ---

BODIES = ("hello", "", " \ufeff", "[1]", '"text"', "\ud800")
IDS: tuple[object, ...] = (..., " ", "\ufeff", "c\nd", "c" * 2049, "อ" * 683, "\ud800", [], True)
ORDERS: tuple[object, ...] = (..., None, "", "\u200b", [], "o\nd", "o" * 2049)
CARDS = ("4111111111111111", "5555-5555-5555-4444", 378282246310005, "0004111111111111111", "4111:1111:1111:1111")
TRACKS = ("%B4111111111111111^DOE", "4111111111111111=2512", "B5555555555554444D25")
BAD: list[tuple[str, Any]] = [
    ("event", []),
    ("event", "text"),
    ("event", event("[" * 100_000)),
    ("event", event(message(), requestContext=None, extra=nested(100_000))),
    ("event", event(message(), headers={"content-type": nested(100_000)})),
    *(("body", event(body)) for body in BODIES),
    ("body", event("") | {"body": None}),
    ("body", event("%%%", isBase64Encoded=True)),
    ("body", event(base64.b64encode(b"\xff\xfe").decode(), isBase64Encoded=True)),
    ("body", event("&".join(f"f{n}=1" for n in range(101)), headers=FORM)),
    ("id", event("status=true", headers=FORM)),
    *(("id", event(message(id=bad))) for bad in (*IDS, *CARDS, *TRACKS)),
    *(("reference_order", event(message(reference_order=bad))) for bad in (*ORDERS, *CARDS, *TRACKS)),
    ("reference_order", event(f"objectId={CHARGE}", headers=FORM)),
]


def test_unusable_notification_is_refused_by_the_name_of_a_field(world: World) -> None:
    """The error names the field; each has a row, a mail and a count and is re-raised; nothing else is written."""
    for number, (field, bad) in enumerate(BAD):
        name = f"n-{number}" if field != "event" else None
        arrives = bad | {"requestContext": {"requestId": name}} if name else bad
        refused = fails(InvalidNotification, world.deliver, arrives)
        assert (refused.field, f"{field}: expected " in str(refused)) == (field, True)
        row = max(world.errors(), key=lambda row: str(row["lastAt"]))
        assert (row.get("notificationId"), "chargeId" in row) == (name, field == "reference_order")
        world.wait(3600)
    assert [row["errorType"] for row in world.errors()] == ["InvalidNotification"] * len(BAD)
    assert len(world.mails()) == len(world.metrics("Refused") + world.metrics("RefusedUnproved")) == len(BAD)
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.rows("CARD_PAYMENT_RECORD_TABLE") == []
    assert (world.schedules(), world.passes()) == ([], [])


def test_record_stays_far_below_dynamodbs_limit(world: World) -> None:
    """Every write is billed for the whole item, even with long ids, a 256 KB body and 100 passes with long answers."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(("💳" * 20_000).encode())
    body = signed(id="c" * 2048, reference_order="ก" * 682, transaction_state="💳" * 9000, description="💳" * 50_000)
    world.deliver(event(json.dumps(body, ensure_ascii=False), "r" * 1024))
    record = world.record()
    assert (len(record["body"].encode()) <= 32 * 1024, len(record["transactionState"])) == (True, 256)
    whole = json.dumps(record | {"passes": record["passes"] * 100}, default=str, ensure_ascii=False)
    assert len(whole.encode()) < 200 * 1024


# --- bank and payment record disagree ---

CONTRADICTIONS: list[tuple[Any, str]] = [({"orderId": order}, "orderId") for order in ("ORDER-CHEAP", 7)]
CONTRADICTIONS += [({"amount": amount}, "amount") for amount in (Decimal("2.00"), "999.00")]
CONTRADICTIONS += [({"currency": "USD"}, "currency")]
CONTRADICTIONS += [({"orderId": "O", "amount": 5, "currency": "USD"}, "orderId, amount, currency")]


@pytest.mark.parametrize(("paid", "fields"), CONTRADICTIONS)
def test_contradiction_is_reported_or_refused_by_policy(world: World, paid: dict[str, Any], fields: str) -> None:
    """No checksum covers the order id: the shop's own is processed, with row, mail and count; none under `reject`."""
    paid = {"amount": Decimal("200.50"), "currency": "THB"} | paid
    world.pay(**paid)
    response, differ = world.deliver(), f"notification and payment record differ in {fields}"
    order, record, row = str(paid.get("orderId", ORDER)), world.record(), world.error()
    assert (record["orderId"], record["amount"], record["currency"]) == (order, Decimal("200.50"), "THB")
    about = {"orderId": order, "chargeId": CHARGE, "note": "delayed notify", "pass": 1, "checksumStatus": "valid"}
    assert world.passes() == [about]
    assert f"/orders/{order}" in response["body"]
    assert (row["errorType"], row["orderId"], row["message"]) == ("OrderContradicted", order, differ)
    assert world.log()[-1]["warnings"] == [differ]
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    assert str(fails(ContradictionRefused, world.deliver, event(signed(), "refused"))) == differ
    assert (world.record(), len(world.passes()), world.payment()["checksumStatus"]) == (record, 1, "valid")
    assert (len(world.mails()), len(world.metrics("Contradictions")), len(world.metrics("Refused"))) == (2, 1, 1)


ALIKE: list[tuple[Any, Any]] = [(f" {ORDER}\u00a0", ORDER), ("\uff2fRDER\u200b-1001", ORDER), (Decimal(1001), "1001")]
ALIKE += [("ORDER\u00a01", "ORDER 1"), ("ORDER-e\u0301", "ORDER-\u00e9"), ("ใบสั่งซื้อที่จำ", "ใบสั่งซื้อที่จ\u0e4dา")]
ALIKE += [("ออเดอร์ 1", odd) for odd in (..., None, "", "\u00a0", "x\ny")] + [(7, ...)]
SAME: list[tuple[Any, Any, str]] = [({"orderId": paid}, sent, str(paid)) for paid, sent in ALIKE]
SAME += [({"orderId": odd}, ORDER, ORDER) for odd in (None, True, [ORDER], {"id": ORDER}, {ORDER}, b"x", " ", "\u200b")]
SAME += [({"amount": amount}, ORDER, ORDER) for amount in (Decimal("200.5000"), "unknown", ["odd"])]
SAME += [({"amount": "200.5", "currency": currency}, ORDER, ORDER) for currency in (5, " thb\u200b")]


@pytest.mark.parametrize(("paid", "sent", "order"), SAME)
def test_other_spelling_is_no_contradiction(world: World, paid: Any, sent: object, order: str) -> None:
    """Even under `reject`; the order is the payment record's, as spelled there, or else the notification's."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    world.deliver(event(signed(reference_order=sent)))
    assert (world.record()["orderId"], world.record()["passesDone"], world.errors()) == (order, 1, [])


@pytest.mark.parametrize("order", ["a\nb", "4111111111111111", "x" * 2049], ids=["line", "card", "long"])
def test_unusable_order_of_the_payment_record_is_refused(world: World, order: str) -> None:
    """It is never replaced by the notification's own order, which no checksum covers."""
    world.pay(orderId=order)
    for policy in ("warn", "reject"):
        world.cold_start(CHECKSUM_POLICY=policy)
        fails(InvalidNotification, world.deliver)
    assert (world.passes(), len(world.errors())) == ([], 1)
