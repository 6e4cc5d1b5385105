"""What the bank sends: every kind of event, and every kind of nonsense."""

import base64
import hashlib
import importlib.util
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st

from callback.errors import ContradictionRefused, InvalidNotification, PaymentUnreadable
from callback.notification import Notification, parse_notification
from callback.redact import MASK
from local.stack import SECRET
from tests.support.aws import CHARGE, ORDER, World, sample
from tests.support.recorded_calls import payload, refuse

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
FORM_CHARGE = "chrg_test_22500005aa11bb22cc33dd44"
KEYWORDS = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")


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


def parsed(raw: str = "", **changes: object) -> Notification:
    """The notification in a changed message; `raw` is how the amount is spelled in it."""
    text = json.dumps(message(**changes))
    return parse_notification(event(text.replace('"amount": 200.5', f'"amount": {raw}') if raw else text))


def saved(world: World, bodies: list[Any]) -> list[dict[str, Any]]:
    """Deliver bodies, each as a notification of its own, and return their records."""
    for number, body in enumerate(bodies):
        world.deliver(event(body, requestContext={"requestId": f"n-{number:02}"}))
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


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_official_shape_is_read(shape: str, encoded: bool) -> None:  # noqa: FBT001 - as AWS says it
    """The samples that AWS's own tools make, plain or base64: the same notification comes out."""
    text = json.dumps(message())
    body = base64.encodebytes(text.encode()).decode() if encoded else text
    found = parse_notification(SHAPES[shape] | {"body": body, "isBase64Encoded": encoded})
    assert (found.charge_id, found.order_id, found.amount) == (CHARGE, ORDER, Decimal("200.5"))
    assert found.body == text
    given = SHAPES[shape]["requestContext"].get("requestId")
    assert found.notification_id == given if given else len(found.notification_id) == 64


@pytest.mark.parametrize(
    "headers", [{"headers": FORM}, {"headers": None, "multiValueHeaders": {"CONTENT-TYPE": [*FORM.values()]}}]
)
def test_browser_return_names_the_charge_and_an_outcome(headers: dict[str, Any]) -> None:
    """No checksum covers a form, so what else it claims is not taken."""
    form = f"objectId={CHARGE}&status=true&reference_order=X&amount=1.00&currency=THB&checksum={'0' * 64}"
    found = parse_notification(event(form) | headers)
    assert (found.charge_id, found.status, found.is_browser_return) == (CHARGE, "true", True)
    assert (found.order_id, found.amount, found.currency, found.checksum) == (None, None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": FORM},
        {"id": ..., "objectId": CHARGE},
        {"id": None, "objectId": CHARGE},
        {"id": "", "objectId": CHARGE},
    ],
)
def test_charge_is_found(changes: dict[str, Any]) -> None:
    """It is `id` or `objectId`; JSON that a proxy calls a form is still JSON."""
    headers = {"headers": changes.pop("headers", {})}
    assert parse_notification(event(message(**changes)) | headers).charge_id == CHARGE


@pytest.mark.parametrize("invisible", ["\ufeff", "\u200b\ufeff", "\r\n\t ", "\u00a0", "\u200e", "\u3000"], ids=ascii)
def test_invisible_characters_around_a_body_decide_nothing(invisible: str) -> None:
    """Byte order marks, blanks and line ends come with files, proxies and editors."""
    for body, headers in ((json.dumps(message()), {}), (f"objectId={CHARGE}", FORM)):
        assert parse_notification(event(f"{invisible}{body}{invisible}", headers=headers)).charge_id == CHARGE


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


def test_line_end_inside_a_text_refuses_nothing() -> None:
    """JSON forbids it, and some write it all the same."""
    assert (
        parse_notification(event(json.dumps(message(description="a b")).replace("a b", "a\n\tb"))).charge_id == CHARGE
    )


@pytest.mark.parametrize("headers", [None, {}, {"content-type": "text/plain"}])
def test_form_whose_content_type_was_lost_is_a_form(headers: object) -> None:
    """Proxies drop it, and the console's test events have none."""
    for before in ("", "a[b]=1&"):
        found = parse_notification(event(f"{before}objectId={CHARGE}&status=true", headers=headers))
        assert (found.charge_id, found.is_browser_return) == (CHARGE, True)


@pytest.mark.parametrize("flag", [False, "false", "False", None, "", 0])
def test_body_that_is_not_flagged_is_taken_as_it_is(flag: object) -> None:
    """Some who build events by hand write the flag as text."""
    assert parse_notification(event(f"objectId={CHARGE}", headers=FORM, isBase64Encoded=flag)).charge_id == CHARGE


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


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        ("1.0E7", "10000000"),
        ('"200.50000"', "200.5"),
        ('" 1e2 "', "100"),
        ("15", "15"),
        ("200.5" + "0" * 45, "200.5"),
        ("0E+1000", "0"),
        ("-0.0", "0"),
        ("99999999999.9999", "99999999999.9999"),
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
    odd: list[dict[str, Any]] = [
        {"status": True},
        {"status": ["success"]},
        {"transaction_state": {}},
        {"currency": None},
    ]
    odd += [{"amount": amount} for amount in (-1, None, True, "1,000.00", 10**400, 1.00001, float("nan"))]
    rows = saved(world, [message(**changed) for changed in odd])
    assert {(row["checksumStatus"], row["passesDone"]) for row in rows} == {("unverifiable", 1)}
    assert len(rows) == len(odd)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (1001, "1001"),
        (20261122093015000, "20261122093015000"),
        ("ORDER-1001 ", "ORDER-1001"),
        ("\u00a0\u200bORDER 1001\u3000\r\n", "ORDER 1001"),
        ("ORDER-ก1", "ORDER-ก1"),
        ("注文/🛒 #1&x=<b>", "注文/🛒 #1&x=<b>"),
        ("o" * 2048, "o" * 2048),
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


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_id_that_is_a_keyword_of_scheduler_is_named_correctly(world: World, keyword: str) -> None:
    """Scheduler replaces its keywords wherever they are in the text: the timer still names this charge and order."""
    charge, order = f"chrg_<aws.scheduler.{keyword}>", f"\\<aws.scheduler.{keyword}>"
    world.deliver(event(signed(id=charge, reference_order=order)))
    [request] = world.wire.of("scheduler.CreateSchedule")
    text = request["Target"]["Input"]
    for known in KEYWORDS:
        text = text.replace(f"<aws.scheduler.{known}>", f"the-{known}")
    timer = json.loads(text)
    assert (timer["chargeId"], timer["orderId"], timer["executionId"]) == (charge, order, "the-execution-id")
    world.wait(62)
    assert world.recheck(**timer) == {"state": "DONE", "passesDone": 2}


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


def test_record_stays_far_below_dynamodbs_limit(world: World) -> None:
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


def test_huge_answer_is_not_read_to_its_end(world: World) -> None:
    """Of 6 MB, 64 KB are looked at."""
    body = io.BytesIO(b"[" + b"1," * 3_000_000 + b"1]")
    body.close = lambda: None  # type: ignore[method-assign]
    world.wire.answers["lambda.Invoke"] = lambda _call: payload("") | {"Payload": StreamingBody(body, 6_000_003)}
    world.deliver()
    assert body.tell() == 64 * 1024
    assert 900 < len(world.record()["passes"][0]["outcome"]) <= 1000


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


CONTRADICTIONS = [
    ({"orderId": "ORDER-CHEAP"}, "orderId"),
    ({"orderId": 7}, "orderId"),
    ({"amount": Decimal("2.00")}, "amount"),
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
    order = str(paid.get("orderId", ORDER))
    assert world.record()["orderId"] == order
    about = {"orderId": order, "chargeId": CHARGE, "note": "delayed notify", "pass": 1, "checksumStatus": "valid"}
    assert world.passes() == [about]
    assert f"/orders/{order}" in response["body"]
    row = world.error()
    assert row["message"] == f"notification and payment record differ in {fields}"
    assert (row["errorType"], row["orderId"], world.payment()["checksumStatus"]) == (
        "OrderContradicted",
        order,
        "valid",
    )
    assert len(world.mails()) == len(world.metrics("Contradictions")) == 1
    assert world.log()[-1]["warnings"] == [row["message"]]


@pytest.mark.parametrize(("paid", "fields"), CONTRADICTIONS)
def test_contradiction_is_refused_by_policy(world: World, paid: dict[str, Any], fields: str) -> None:
    """Under `reject`: marked, refused and reported; nothing is saved or processed."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    with pytest.raises(ContradictionRefused, match=f"differ in {fields}$"):
        world.deliver()
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.passes() == []
    assert (world.payment()["checksumStatus"], world.error()["errorType"]) == ("valid", "ContradictionRefused")
    assert len(world.mails()) == len(world.metrics("Refused")) == 1


@pytest.mark.parametrize(
    "paid",
    [
        {"amount": Decimal("200.5000")},
        {"orderId": f" {ORDER}\u00a0"},
        {"orderId": "\uff2fRDER-1001", "currency": "thb"},
        {"orderId": "ORDER\u200b-1001"},
        {"amount": "200.5", "currency": 5},
        {"orderId": 7},
    ],
)
def test_same_in_other_words_is_no_contradiction(world: World, paid: dict[str, Any]) -> None:
    """Zeros and blanks at the end change nothing; what the shop left unusable contradicts nothing."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    world.deliver(event(signed(reference_order=... if paid.get("orderId") == 7 else ORDER)))
    assert (world.record()["passesDone"], world.errors()) == (1, [])


@pytest.mark.parametrize("order", [None, True, [ORDER], {"id": ORDER}, {ORDER}, b"x", " ", "4111111111111111"])
def test_payment_record_without_a_usable_order_names_none(world: World, order: object) -> None:
    """It may be written before the order is known: then the notification's own order is processed."""
    world.pay(orderId=order)
    world.deliver()
    assert (world.record()["orderId"], world.errors()) == (ORDER, [])


def test_unreadable_payment_record_stops_only_who_needs_it(world: World) -> None:
    """A notification that names its order goes on, counted; a browser return is tried again."""
    world.wire.before["dynamodb.GetItem"] = refuse("InternalServerError", times=9)
    world.deliver()
    assert world.record()["orderId"] == ORDER
    assert len(world.metrics("PaymentFailed")) == 1
    with pytest.raises(PaymentUnreadable):
        world.deliver(sample("browser-return"))
    assert world.record()["orderId"] == ORDER
