"""What the bank sends: every kind of event, and every kind of nonsense."""

import base64
import hashlib
import importlib.util
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback.errors import ContradictionRefused, InvalidNotification
from callback.notification import Notification, parse_notification
from callback.redact import MASK
from local.stack import SECRET
from tests.support.aws import CHARGE, ORDER, World, sample
from tests.support.recorded_calls import payload

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
FORM_CHARGE = "chrg_test_22500005aa11bb22cc33dd44"


def event(body: object, **changes: object) -> dict[str, Any]:
    """An event with that body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"body": text, "requestContext": {"requestId": "delivery-1"}, "headers": {}} | changes


def message(**changes: object) -> dict[str, Any]:
    """The bank's message, changed; a value of `...` takes the field away."""
    body = json.loads(sample("authorized")["body"]) | changes
    return {name: value for name, value in body.items() if value is not ...}


def signed(**changes: object) -> dict[str, Any]:
    """The bank's message, changed, with the checksum that the bank would give it."""
    body = message(**changes)
    parts = [body["id"], f"{Decimal(str(body['amount'])):.4f}", *(body[n] for n in ("currency", "status"))]
    code = str(body["failure_code"] or "")
    parts += [body["transaction_state"], code if code.strip() else "", SECRET["secretKey"]]
    return body | {"checksum": hashlib.sha256("".join(map(str, parts)).encode()).hexdigest()}


def nested(depth: int) -> list[Any]:
    """Lists in lists, deeper than most code recurses."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def parsed(raw: str) -> Notification:
    """The notification whose amount is spelled like this."""
    return parse_notification(event(json.dumps(message()).replace('"amount": 200.5', f'"amount": {raw}')))


def saved(world: World, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Deliver bodies or events, each as a notification of its own, and return their records."""
    for number, one in enumerate(events):
        arrives = one if "body" in one else event(one)
        own_id = {"requestContext": {"requestId": f"n-{number:02}"}} if arrives["requestContext"] else {}
        world.deliver(arrives | own_id)
    return sorted(world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["notificationId"]))


# --- what AWS wraps it in ---

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
    """The samples that AWS's own tools make, plain or base64: the same notification comes out."""
    text = json.dumps(message())
    for body, encoded in ((base64.encodebytes(text.encode()).decode(), True), (text, False)):
        found = parse_notification(SHAPES[shape] | {"body": body, "isBase64Encoded": encoded})
        assert (found.charge_id, found.order_id, found.amount) == (CHARGE, ORDER, Decimal("200.5"))
        assert found.body == text
        given_id = SHAPES[shape]["requestContext"].get("requestId")
        assert found.notification_id == given_id if given_id else len(found.notification_id) == 64


@pytest.mark.parametrize(
    "headers", [{"headers": FORM}, {"headers": None, "multiValueHeaders": {"CONTENT-TYPE": [*FORM.values()]}}]
)
def test_browser_return_names_the_charge_and_an_outcome(headers: dict[str, Any]) -> None:
    """No checksum covers a form, so what else it claims is not taken."""
    form = f"objectId={CHARGE}&status=true&reference_order=X&amount=1.00&currency=THB&checksum={'0' * 64}"
    found = parse_notification(event(form) | headers)
    assert (found.charge_id, found.status, found.is_browser_return) == (CHARGE, "true", True)
    assert (found.order_id, found.amount, found.currency, found.checksum) == (None, None, None, None)


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("around", ["", "\ufeff", "\u200b \r\n"], ids=ascii)
def test_base64_of_either_alphabet_is_read_with_or_without_padding(
    alphabet: Callable[[bytes], bytes], around: str
) -> None:
    """And a body that is plain JSON after all, whatever the flag says."""
    texts = [json.dumps(message(description="~?ÿ>" * length), ensure_ascii=False) for length in range(4)]
    encoded = [alphabet(text.encode()).decode() for text in texts]
    for text in [*encoded, *(each.rstrip("=") for each in encoded), *texts]:
        found = parse_notification(event(f"{around}{text}{around}", isBase64Encoded=True))
        assert found.charge_id == CHARGE


@pytest.mark.parametrize("encoding", ["cp874", "utf-16", "utf-32-be"])
def test_base64_in_another_encoding_refuses_no_paid_notification(world: World, encoding: str) -> None:
    """What decides is ASCII in all of them; card data beside it is masked."""
    text = json.dumps(signed(description="ก 4111111111111111"), ensure_ascii=False)
    world.deliver(event(base64.b64encode(text.encode(encoding)).decode(), isBase64Encoded=True))
    assert (world.record()["checksumStatus"], world.record()["passesDone"]) == ("valid", 1)
    assert "4111" not in world.record()["body"]


@pytest.mark.parametrize(
    "context", [None, {}, {"requestId": None}, {"requestId": ""}, "x", {"requestId": "X\nFAILED 1"}]
)
def test_event_without_a_usable_request_id_is_known_by_its_hash(context: object) -> None:
    """Then the canonical event's SHA-256 is its id: the same for every retry."""
    one = event(message(), requestContext=context)
    canonical = json.dumps(one, sort_keys=True, separators=(",", ":"))
    found = parse_notification(one).notification_id
    assert found == parse_notification(dict(reversed(one.items()))).notification_id
    assert found == hashlib.sha256(canonical.encode()).hexdigest()


# --- what decides nothing never refuses ---

TEXT, CHECKSUM = json.dumps(signed(description="???>>>~~~")), signed()["checksum"]
INVISIBLE = (
    "\ufeff",
    "\ufeff\ufeff",
    "\u200b\ufeff",
    "\r\n\t ",
    "\u00a0",
    "\u200e",
    "\u3000",
    "\u2066\u202a",
    "\u061c\u180e",
    "\x01\x1f",
)
NO_IDS: list[Any] = [..., None, "", " ", {}, [1], True]
SPELLINGS: list[dict[str, Any]] = [
    *(event(f"{around}{TEXT}{around}") for around in INVISIBLE),
    *(event(TEXT.replace("???", odd)) for odd in ("a\n\tb", "\x01\x1f")),
    event(f"{TEXT}\0"),
    *(event(message(checksum=odd)) for odd in (f" {CHECKSUM}", f"{CHECKSUM}\r\n", CHECKSUM.upper())),
    *(event(signed(**changes)) for changes in ({"id": 123}, {"amount": "+200.50"}, {"amount": "๒๐๐.๕๐"})),
    *(event(message(id=odd, objectId=CHARGE)) for odd in NO_IDS),
    event(base64.encodebytes(TEXT.encode()).decode().replace("\n", "\r\n"), isBase64Encoded=True),
    event(base64.b64encode(f"\ufeff{TEXT}".encode()).decode(), isBase64Encoded=True),
    *(event(TEXT, isBase64Encoded=flag) for flag in (True, False, "false", "False", None, "", 0)),
    *(event(TEXT, headers=odd) for odd in (FORM, [["content-type", "text/plain"]], {"Content-Type": None})),
    event(TEXT, requestContext=[]),
]


def test_spelling_and_wrapping_decide_nothing(world: World) -> None:
    """Invisible characters, flags as text, odd headers: valid, saved, and pass 1 run for its order."""
    found = [(row["checksumStatus"], row["orderId"], row["passesDone"]) for row in saved(world, SPELLINGS)]
    assert found == [("valid", ORDER, 1)] * len(SPELLINGS)
    assert {sent["orderId"] for sent in world.passes()} == {ORDER}


def test_form_needs_no_content_type(world: World) -> None:
    """Proxies drop it: a form is known by its first field, and the payment record knows the order."""
    world.pay()
    kinds: list[Any] = [None, {}, {"Content-Type": "text/plain"}, {"content-type": "multipart/form-data"}]
    bodies = [f"objectId={CHARGE}\r\n", f"\ufeffid=&objectId={CHARGE}&status=true", f"a[b]=1&objectId={CHARGE}"]
    rows = saved(world, [event(body, headers=kind) for kind in kinds for body in bodies])
    assert [(row["checksumStatus"], row["orderId"]) for row in rows] == [("missing", ORDER)] * 12


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        *(("1.0E7", "10000000"), ('"200.50000"', "200.5"), ('" 1e2 "', "100"), ("15", "15"), ("0E+1000", "0")),
        *(("200.5" + "0" * 45, "200.5"), ("-0.0", "0"), ("99999999999.9999", "99999999999.9999")),
        *((raw, None) for raw in ("-1", "1.00001", "1." + "0" * 34 + "1", "9" * 5000, "1e999999999999999999999")),
        *((raw, None) for raw in ("NaN", "-Infinity", '"Infinity"', '"1,000.00"', "true", "null", '""', "[]", "{}")),
    ],
)
def test_amount_counts_by_its_value(raw: str, amount: str | None) -> None:
    """However it is spelled; what is no amount is None, and refuses nothing."""
    assert parsed(raw).amount == (amount and Decimal(amount))


def test_field_that_decides_nothing_refuses_no_notification(world: World) -> None:
    """What the bank signed is saved and `valid`, however long, numeric or new its other fields are."""
    changes: list[dict[str, Any]] = [
        *({"failure_code": code} for code in ("x" * 101, "x" * 256, "x" * 5000, 101, 5.5, " ")),
        *({"failure_code": None, "failure_message": odd} for odd in (7, {"deep": [1]}, "\ud800")),
        *({"transaction_state": state} for state in ("A" * 101, "สำเร็จ" * 300)),
        *({"object": object_} for object_ in ("Charge", "qr", None, ...)),
        *({"amount": amount} for amount in ("200.50000", 1e7, 15, "0")),
        {"currency": 764},
        {"source": None, "metadata": [1], "livemode": "false", "a_new_field": {"deep": [1]}},
    ]
    rows = saved(world, [signed(**changed) for changed in changes])
    assert [(row["checksumStatus"], row["passesDone"]) for row in rows] == [("valid", 1)] * len(changes)
    assert "a_new_field" in rows[-1]["body"]


def test_what_cannot_be_hashed_is_unverifiable_and_processed(world: World) -> None:
    """A status that is no text, an amount that is no amount: saved, with both passes."""
    odd: list[dict[str, Any]] = [{"status": True}, {"status": ["success"]}, {"transaction_state": {}}]
    odd += [{"currency": None}]
    odd += [{"amount": amount} for amount in (-1, None, True, "1,000.00", 10**400, 1.00001, float("nan"))]
    rows = saved(world, [message(**changed) for changed in odd])
    assert {(row["checksumStatus"], row["passesDone"]) for row in rows} == {("unverifiable", 1)}
    assert len(rows) == len(odd)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        *((1001, "1001"), (20261122093015000, "20261122093015000"), ("ORDER-1001 ", "ORDER-1001")),
        *(("\u00a0\u200bORDER 1001\u3000\r\n", "ORDER 1001"), ("ORDER-ก1", "ORDER-ก1"), ("o" * 2048, "o" * 2048)),
        ("注文/🛒 #1&x=<b>", "注文/🛒 #1&x=<b>"),
    ],
)
def test_order_id_may_be_any_text_or_number(world: World, given: object, order: str) -> None:
    """Without the blanks around it, it is saved, processed, timed, and percent-encoded in the page."""
    response = world.deliver(event(signed(reference_order=given)))
    assert world.record()["orderId"] == order
    assert f"/orders/{quote(order, safe='')}" in response["body"]
    [request] = world.wire.of("scheduler.CreateSchedule")
    world.wait(62)
    assert world.recheck(**json.loads(request["Target"]["Input"])) == {"state": "DONE", "passesDone": 2}
    assert [sent["orderId"] for sent in world.passes()] == [order, order]


# --- what is refused, by name ---

BODIES = ("hello", "", " \ufeff", "[1]", '"text"', "\ud800")
IDS: tuple[object, ...] = (..., " ", "\ufeff", "c\nd", "c" * 2049, "อ" * 683, "\ud800", [], True)
ORDERS: tuple[object, ...] = (..., None, "", "\u200b", [], "o\nd", "o" * 2049)
CARDS = ("4111111111111111", "5555-5555-5555-4444", 378282246310005, "0004111111111111111", "4111:1111:1111:1111")
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
    *(("id", event(message(id=bad))) for bad in (*IDS, *CARDS)),
    *(("reference_order", event(message(reference_order=bad))) for bad in (*ORDERS, *CARDS)),
]


def test_what_cannot_be_kept_is_refused_by_name(world: World) -> None:
    """The error names the field; a row, a mail, a count and a re-raise for each; and nothing half-written."""
    for number, (field, bad) in enumerate(BAD):
        if isinstance(bad, dict) and "extra" not in bad:
            bad["requestContext"] = {"requestId": f"n-{number}"}
        with pytest.raises(InvalidNotification, match=f"^{field}: expected ") as refused:
            world.deliver(bad)
        assert refused.value.field == field
        world.wait(3600)
    assert [row["errorType"] for row in world.errors()] == ["InvalidNotification"] * len(BAD)
    assert len(world.mails()) == len(world.metrics("Refused") + world.metrics("RefusedUnproved")) == len(BAD)
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.rows("CARD_PAYMENT_RECORD_TABLE") == []
    assert (world.schedules(), world.passes()) == ([], [])


def test_refusal_names_the_delivery_and_what_else_is_known(world: World) -> None:
    """An operator finds a refused notification by the bank's delivery, even where the body cannot be read."""
    with pytest.raises(InvalidNotification):
        world.deliver(event("hello"))
    with pytest.raises(InvalidNotification):
        world.deliver(event(message(reference_order=...), requestContext={"requestId": "delivery-2"}))
    rows = {row["notificationId"]: row.get("chargeId") for row in world.errors()}
    assert rows == {"delivery-1": None, "delivery-2": CHARGE}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["body", "headers", "requestContext", "isBase64Encoded"]), _JSON)
    | st.builds(event, st.text(), headers=st.sampled_from([FORM, {}]), isBase64Encoded=st.booleans())
    | st.builds(lambda fields: event(message(**fields)), st.dictionaries(st.sampled_from(sorted(message())), _JSON))
    | _JSON
)
def test_any_event_gives_a_notification_or_our_error(anything: object) -> None:
    """Whatever comes, no library's error comes out, and an amount is one that DynamoDB takes."""
    try:
        found = parse_notification(anything)
    except InvalidNotification as refused:
        assert str(refused)  # noqa: PT017 - either way is right
    else:
        assert found.charge_id
        assert found.amount is None or len(str(found.amount)) <= 38


# --- what is kept ---


def test_record_is_far_below_dynamodbs_limit(world: World) -> None:
    """Every write bills the whole: long ids, 256 KB of body, and 100 passes with long answers in 4-byte letters."""
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(("💳" * 20_000).encode())
    body = signed(id="c" * 2048, reference_order="ก" * 682, transaction_state="💳" * 9000, description="💳" * 50_000)
    world.deliver(event(json.dumps(body, ensure_ascii=False), requestContext={"requestId": "r" * 1024}))
    record = world.record()
    assert len(record["body"].encode()) <= 32 * 1024
    assert _size(record | {"passes": record["passes"] * 100}) < 200 * 1024


def _size(value: object) -> int:
    if isinstance(value, dict):
        return sum(3 + len(name) + _size(inner) for name, inner in value.items())
    if isinstance(value, list):
        return sum(3 + _size(inner) for inner in value)
    return len(str(value).encode())


def test_body_is_kept_masked_and_its_digest_is_the_raw_bodys(world: World) -> None:
    """The digest tells a repeat from another body; what is secret in the body is not kept."""
    text = json.dumps(message(source={"number": "4111111111111111"}, description="card 4111 1111 1111 1111"))
    world.deliver(event(text))
    record = world.record()
    assert record["bodyDigest"] == hashlib.sha256(text.encode()).hexdigest()
    assert "1111" not in record["body"]
    assert (MASK in record["body"], CHARGE in record["body"]) == (True, True)


# --- whose word counts ---


@pytest.mark.parametrize("reference_order", [..., None, "", "\u00a0", "x\ny"])
def test_payment_record_knows_the_order_where_the_bank_does_not_say(world: World, reference_order: object) -> None:
    """Without a usable reference_order the payment record's order is taken, whatever its letters."""
    world.pay(orderId="ออเดอร์ 1")
    world.deliver(event(message(reference_order=reference_order)))
    assert world.record()["orderId"] == "ออเดอร์ 1"


def test_browser_return_takes_order_and_amount_from_the_payment_record(world: World) -> None:
    """A form states neither."""
    world.pay(chargeId=FORM_CHARGE, amount=Decimal("75.25"), currency="THB")
    world.deliver(sample("browser-return"))
    record = world.record()
    assert (record["orderId"], record["amount"], record["currency"]) == (ORDER, Decimal("75.25"), "THB")
    assert (record["status"], record["checksumStatus"]) == ("true", "missing")
    assert "transactionState" not in record
    world.pay(chargeId="chrg_2", amount=["odd"], currency=764)
    world.deliver(event("objectId=chrg_2", headers=FORM))
    assert [row["passesDone"] for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")] == [1, 1]


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"orderId": "ORDER-CHEAP"}, "orderId"),
    ({"orderId": 7}, "orderId"),
    ({"amount": Decimal("2.00")}, "amount"),
    ({"amount": "999.00"}, "amount"),
    ({"currency": "USD"}, "currency"),
    ({"orderId": "ORDER-CHEAP", "amount": 5, "currency": "USD"}, "orderId, amount, currency"),
]


@pytest.mark.parametrize(("paid", "fields"), CONTRADICTIONS)
def test_contradiction_processes_the_payment_records_order_and_is_reported(
    world: World, paid: dict[str, Any], fields: str
) -> None:
    """No checksum covers the order id, so the shop's own word counts: with a row, a mail and a count for its alarm."""
    world.pay(**{"amount": Decimal("200.50"), "currency": "THB"} | paid)
    response = world.deliver()
    order, record, row = str(paid.get("orderId", ORDER)), world.record(), world.error()
    assert (record["orderId"], record["amount"], record["currency"]) == (order, Decimal("200.50"), "THB")
    about = {"orderId": order, "chargeId": CHARGE, "note": "delayed notify", "pass": 1, "checksumStatus": "valid"}
    assert world.passes() == [about]
    assert f"/orders/{order}" in response["body"]
    assert row["message"] == f"notification and payment record differ in {fields}"
    assert (row["errorType"], row["orderId"]) == ("OrderContradicted", order)
    assert world.payment()["checksumStatus"] == "valid"
    assert len(world.mails()) == len(world.metrics("Contradictions")) == 1
    assert world.log()[-1]["warnings"] == [row["message"]]


def test_contradiction_is_refused_by_policy(world: World) -> None:
    """Under `reject`: marked, refused and reported; nothing is saved or processed."""
    world.cold_start(CHECKSUM_POLICY="reject")
    for number, (paid, fields) in enumerate(CONTRADICTIONS, 1):
        world.pay(**paid)
        with pytest.raises(ContradictionRefused, match=f"differ in {fields}$"):
            world.deliver(event(signed(), requestContext={"requestId": f"n-{number}"}))
        assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == []
        assert len(world.errors()) == len(world.mails()) == len(world.metrics("Refused")) == number
        assert world.payment()["checksumStatus"] == "valid"
        world.wait(3600)


@pytest.mark.parametrize(
    ("paid", "said"),
    [
        ({"amount": Decimal("200.5000")}, {}),
        ({"amount": "200.5", "currency": 5}, {}),
        ({"amount": "unknown"}, {}),
        ({"currency": " thb\u200b"}, {}),
        ({"orderId": f" {ORDER}\u00a0"}, {}),
        ({"orderId": "\uff2fRDER\u200b-1001"}, {}),
        ({"orderId": "ORDER\u00a01"}, {"reference_order": "ORDER 1"}),
        ({"orderId": "ORDER-e\u0301"}, {"reference_order": "ORDER-\u00e9"}),
        ({"orderId": "ใบสั่งซื้อที่จำ"}, {"reference_order": "ใบสั่งซื้อที่จ\u0e4dา"}),
        ({"orderId": Decimal(1001)}, {"reference_order": "1001"}),
        ({"orderId": 7}, {"reference_order": ...}),
    ],
)
def test_same_in_another_spelling_is_no_contradiction(world: World, paid: dict[str, Any], said: dict[str, Any]) -> None:
    """Under `reject`, too; the order is processed as the payment record spells it."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    world.deliver(event(signed(**said)))
    assert (world.record()["orderId"], world.record()["passesDone"]) == (str(paid.get("orderId", ORDER)), 1)
    assert world.errors() == []


@pytest.mark.parametrize("order", [None, True, [ORDER], {"id": ORDER}, {ORDER}, b"x", " ", "\u200b"])
def test_payment_record_without_a_usable_order_names_none(world: World, order: object) -> None:
    """It may be written before the order is known: then the notification's own order is processed."""
    world.pay(orderId=order)
    world.deliver()
    assert (world.record()["orderId"], world.errors()) == (ORDER, [])


@pytest.mark.parametrize("policy", ["warn", "reject"])
@pytest.mark.parametrize("order", ["a\nb", "4111111111111111", "x" * 2049], ids=["line", "card", "long"])
def test_order_of_the_payment_record_that_can_be_none_is_refused(world: World, policy: str, order: str) -> None:
    """It is never replaced by the notification's own order, which no checksum covers."""
    world.cold_start(CHECKSUM_POLICY=policy)
    world.pay(orderId=order)
    with pytest.raises((InvalidNotification, ContradictionRefused)):
        world.deliver(event(signed()))
    assert (world.passes(), len(world.errors())) == ([], 1)


def test_page_shows_no_order_that_is_a_card_number(world: World) -> None:
    """Under `reject` a browser return gets its page, whatever the payment record holds."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(orderId="5555 5555 5555 4444")
    page = world.deliver(event(f"objectId={CHARGE}&status=true", headers=FORM))["body"]
    assert 'href="https://shop.local.example/orders/"' in page
    assert world.passes() == world.errors() == []
