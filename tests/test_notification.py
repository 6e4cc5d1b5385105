"""What the bank sends: every kind of event, and every kind of nonsense."""

import base64
import hashlib
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback.errors import FollowUpError, InvalidNotification
from callback.notification import Notification, parse_notification
from tests.world import World, sample

JSON_SAMPLES = ["authorized", "pre-authorized", "declined", "large-amount", "base64", "http-api-v2"]
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


def event(body: object, **changes: object) -> dict[str, Any]:
    """An event with that body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"body": text, "requestContext": {"requestId": "delivery-1"}, "headers": {}} | changes


def message(**changes: object) -> dict[str, Any]:
    """The bank's message, changed; a value of `...` takes the field away."""
    body = json.loads(sample("authorized")["body"]) | changes
    return {name: value for name, value in body.items() if value is not ...}


def nested(depth: int) -> list[Any]:
    """Lists in lists, deeper than most code recurses."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def parsed(**changes: object) -> Notification:
    """The notification in a changed message."""
    return parse_notification(event(message(**changes)))


@pytest.mark.parametrize("name", [*JSON_SAMPLES, "wrong-checksum", "missing-checksum"])
def test_json_samples_are_read(name: str) -> None:
    """Plain or base64, REST or HTTP API: the charge, the order, the amount and the state come out alike."""
    found = parse_notification(sample(name))
    assert found.charge_id.startswith("chrg_test_")
    assert str(found.order_id).startswith("ORDER-")
    assert found.currency == "THB"
    assert isinstance(found.amount, Decimal)
    assert found.notification_id == sample(name)["requestContext"]["requestId"]


def test_browser_return_is_read() -> None:
    """A form names the charge and an outcome; its order is the payment record's to say."""
    found = parse_notification(sample("browser-return"))
    assert found.charge_id == "chrg_test_22500005aa11bb22cc33dd44"
    assert (found.order_id, found.amount, found.status, found.checksum) == (None, None, "true", None)


def test_form_cannot_name_an_order_or_an_amount() -> None:
    """No checksum covers a form, so what else it claims is not taken."""
    form = "objectId=chrg_test_1&reference_order=ORDER-X&amount=1.00&currency=THB&checksum=" + "0" * 64
    found = parse_notification(event(form, headers=FORM))
    assert (found.order_id, found.amount, found.currency, found.checksum) == (None, None, None, None)


def test_json_under_a_form_content_type_is_still_json() -> None:
    """Proxies mislabel JSON; a body that begins with a brace is no form."""
    assert parse_notification(event(message(), headers=FORM)).order_id == "ORDER-1001"


def test_header_names_may_have_any_case() -> None:
    """HTTP APIs send header names in lower case, REST APIs as they came."""
    headers = {"CONTENT-TYPE": "application/x-www-form-urlencoded"}
    assert parse_notification(event("objectId=chrg_test_1", headers=headers)).charge_id == "chrg_test_1"


def test_headers_may_come_as_lists_only() -> None:
    """Some proxies fill multiValueHeaders only."""
    headers = {"headers": None, "multiValueHeaders": {"Content-Type": ["application/x-www-form-urlencoded"]}}
    assert parse_notification(event("objectId=chrg_test_1") | headers).charge_id == "chrg_test_1"


def test_object_id_names_the_charge_too() -> None:
    """The charge id is `id` or `objectId`."""
    assert parsed(id=..., objectId="chrg_test_2").charge_id == "chrg_test_2"
    assert parsed(id=None, objectId="chrg_test_2").charge_id == "chrg_test_2"
    assert parsed(id="", objectId="chrg_test_2").charge_id == "chrg_test_2"


def test_amount_may_come_as_a_text() -> None:
    """Some of the bank's code writes amounts as texts; money is decimal either way."""
    assert parsed(amount="200.50").amount == Decimal("200.50")


def test_unknown_fields_are_tolerated_and_kept() -> None:
    """The bank may add fields; the raw body keeps them."""
    assert "a_new_field" in parsed(a_new_field={"deep": [1]}).body


@pytest.mark.parametrize("context", [None, {}, {"requestId": None}, {"requestId": ""}, "x"])
def test_event_without_a_request_id_is_known_by_its_hash(context: object) -> None:
    """Without a delivery id the canonical event's SHA-256 stands in: the same for every retry."""
    one, two = event(message(), requestContext=context), event(message(), requestContext=context)
    canonical = json.dumps(one, sort_keys=True, separators=(",", ":"))
    found = parse_notification(one).notification_id
    assert found == parse_notification(dict(reversed(two.items()))).notification_id
    assert found == hashlib.sha256(canonical.encode()).hexdigest()


BAD_BODIES: list[tuple[str, Any, str]] = [
    ("no JSON", "hello", "body"),
    ("no body", None, "body"),
    ("an empty body", "", "body"),
    ("a blank body", "  ", "body"),
    ("a list", "[1]", "body"),
    ("deep nonsense", "[" * 100_000, "body"),
    ("an absurd exponent", '{"id":"a","amount":1e999999999999999999999}', "body"),
    ("half a surrogate", "\ud800", "body"),
    ("no id", message(id=...), "id"),
    ("an empty id", message(id=""), "id"),
    ("a blank id", message(id=" "), "id"),
    ("a number as id", message(id=5), "id"),
    ("a number as objectId", message(id=..., objectId=5), "id"),
    ("a non-ASCII id", message(id="chrg_é"), "id"),
    ("an id with a newline", message(id="chrg\n"), "id"),
    ("an id longer than the key", message(id="c" * 2049), "id"),
    ("a non-ASCII order", message(reference_order="ออเดอร์"), "reference_order"),
    ("an order longer than the index key", message(reference_order="o" * 2049), "reference_order"),
    ("a number as order", message(reference_order=7), "reference_order"),
    ("another object", message(object="qr"), "object"),
    ("a negative amount", message(amount=-1), "amount"),
    ("a huge amount", message(amount=10**12), "amount"),
    ("a very huge amount", json.dumps(message()).replace("200.5", "9" * 5000), "amount"),
    ("an amount that is not a number", json.dumps(message()).replace("200.5", "NaN"), "amount"),
    ("an infinite amount", json.dumps(message()).replace("200.5", "-Infinity"), "amount"),
    ("a true amount", message(amount=True), "amount"),
    ("an amount with a comma", message(amount="1,000.00"), "amount"),
    ("an amount with an underscore", message(amount="1_000"), "amount"),
    ("an amount with five decimals", message(amount="1.00001"), "amount"),
    ("an amount with a tail of zeros", json.dumps(message()).replace("200.5", "200.5" + "0" * 45), "amount"),
    ("an amount with a far decimal", json.dumps(message()).replace("200.5", "1." + "0" * 34 + "1"), "amount"),
    ("a zero with an exponent", json.dumps(message()).replace("200.5", "0E+1000"), "amount"),
    ("a negative zero", json.dumps(message()).replace("200.5", "-0.0"), "amount"),
    ("an amount in other digits", message(amount="๒๐๐"), "amount"),
    ("a number as currency", message(currency=764), "currency"),
    ("a list as status", message(status=["success"]), "status"),
    ("a long state", message(transaction_state="A" * 101), "transaction_state"),
    ("an object as failure code", message(failure_code={}), "failure_code"),
    ("more than 256 KB", message(description="x" * 262_144), "body"),
]


@pytest.mark.parametrize(("body", "field"), [b[1:] for b in BAD_BODIES], ids=[b[0] for b in BAD_BODIES])
def test_bad_body_is_refused_by_name_and_nothing_is_written(world: World, body: Any, field: str) -> None:
    """Each kind of nonsense: our error names the field, one row, one mail, a re-raise, nothing half-written."""
    bad = event(body) if body is not None else event("") | {"body": None}
    with pytest.raises(InvalidNotification) as refused:
        world.deliver(bad)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: expected ")
    assert world.error()["errorType"] == "InvalidNotification"
    assert len(world.mails()) == 1
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == world.rows("CARD_PAYMENT_RECORD_TABLE") == []
    assert world.schedules() == []
    assert world.passes() == []


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (None, "event"),
        ([], "event"),
        ("text", "event"),
        (event("%%%", isBase64Encoded=True), "body"),
        (event(base64.b64encode(b"\xff\xfe").decode(), isBase64Encoded=True), "body"),
        (event("&".join(f"f{n}=1" for n in range(101)), headers=FORM), "body"),
        (event("status=true", headers=FORM), "id"),
        (event(message(), requestContext={"requestId": 5}), "requestContext.requestId"),
        (event(message(), requestContext={"requestId": "é"}), "requestContext.requestId"),
        (event(message(), requestContext={"requestId": "r" * 1025}), "requestContext.requestId"),
        (event(message(), requestContext=None, extra=nested(100_000)), "event"),
        (event(message(), headers={"content-type": nested(100_000)}), "event"),
    ],
)
def test_bad_event_is_refused_by_name(bad: object, field: str) -> None:
    """What is wrong around the body is named as well."""
    with pytest.raises(InvalidNotification) as refused:
        parse_notification(bad)
    assert refused.value.field == field


def test_no_order_id_anywhere_is_refused(world: World) -> None:
    """Neither the bank nor the payment record knows the order: an error of ours, nothing saved."""
    world.pay(orderId=None)
    with pytest.raises(InvalidNotification, match="reference_order: expected an order id"):
        world.deliver(sample("authorized") | {"body": json.dumps(message(reference_order=...))})
    assert world.rows("CREDIT_CARD_NOTIFY_TABLE") == []


@pytest.mark.parametrize("reference_order", [..., None, ""])
def test_payment_record_knows_the_order_where_the_bank_does_not_say(world: World, reference_order: object) -> None:
    """Without a reference_order the payment record's order is taken."""
    world.pay(orderId="ORDER-FROM-RECORD")
    world.deliver(event(message(reference_order=reference_order)))
    assert world.record()["orderId"] == "ORDER-FROM-RECORD"


def test_browser_return_takes_amount_and_order_from_the_payment_record(world: World) -> None:
    """A form states neither: the record of the charge does."""
    world.pay(chargeId="chrg_test_22500005aa11bb22cc33dd44", amount=Decimal("75.25"), currency="THB")
    world.deliver(sample("browser-return"))
    record = world.record()
    assert (record["orderId"], record["amount"], record["currency"]) == ("ORDER-1001", Decimal("75.25"), "THB")
    assert (record["status"], record["checksumStatus"]) == ("true", "missing")
    assert "transactionState" not in record


def test_difference_from_the_payment_record_is_a_warning(world: World) -> None:
    """The checksum does not prove the order id: a difference is logged by field, and processing continues."""
    world.pay(orderId="ORDER-OTHER", amount=Decimal("200.50"), currency="THB")
    world.deliver()
    assert [(line["level"], line["field"]) for line in world.log("differ")] == [("WARNING", "order_id")]
    assert world.record()["orderId"] == "ORDER-1001"


def test_error_names_the_ids_that_a_refused_event_shows(world: World) -> None:
    """Who asks where an order is finds a refused notification by it."""
    with pytest.raises(InvalidNotification):
        world.deliver(event(message(amount=-1)))
    row = world.error()
    assert row["orderId"] == "ORDER-1001"
    assert row["chargeId"] == "chrg_test_22500001aa11bb22cc33dd44"
    assert row["notificationId"] == "delivery-1"


@pytest.mark.parametrize(
    "bad",
    [
        event(message(reference_order="\ud800")),
        event(message(), requestContext={"requestId": "\ud800"}),
        event(message(), requestContext=None, extra=nested(100_000)),
    ],
    ids=["order", "delivery", "depth"],
)
def test_refusal_is_reported_whatever_the_event_holds(world: World, bad: object) -> None:
    """Half a surrogate in an id, or an event nested too deep to be written: one row and one mail, as for any other."""
    with pytest.raises(InvalidNotification):
        world.deliver(bad)
    assert world.error()["errorType"] == "InvalidNotification"
    assert len(world.mails()) == 1


def test_unreadable_body_is_told_by_its_delivery(world: World) -> None:
    """Even where nothing in the body can be read, the row and the mail carry the notification id."""
    with pytest.raises(InvalidNotification):
        world.deliver(event("hello"))
    assert world.error()["notificationId"] == "delivery-1"
    assert "delivery-1" in world.mails()[0]["Message"]["Body"]["Text"]["Data"]


@pytest.mark.parametrize("order_id", ["ออเดอร์-1", " A B\n"])
def test_order_id_of_the_payment_record_may_be_any_text(world: World, order_id: str) -> None:
    """The shop names its orders as it likes: both passes run, and the answer leads to the order's page."""
    world.pay(orderId=order_id)
    response = world.deliver(event(message(reference_order=...)))
    world.wait(60)
    [request] = world.wire.of("scheduler.CreateSchedule")
    given = json.loads(request["Target"]["Input"])
    assert world.recheck(**given) == {"state": "DONE", "passesDone": 2}
    assert [p["orderId"] for p in world.passes()] == [order_id, order_id]
    assert quote(order_id, safe="") in response["body"]


def test_order_id_longer_than_the_index_key_is_refused(world: World) -> None:
    """DynamoDB would refuse the record with an error of its own."""
    world.pay(orderId="อ" * 683)
    with pytest.raises(InvalidNotification, match="reference_order"):
        world.deliver(event(message(reference_order=...)))


@given(st.text())
def test_any_text_as_a_body_gives_a_notification_or_our_error(text: str) -> None:
    """Whatever comes, only errors of ours come out."""
    _reads_or_refuses(event(text))
    _reads_or_refuses(event(text, headers=FORM))
    _reads_or_refuses(event(text, isBase64Encoded=True))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(message())), _JSON))
def test_any_types_in_the_fields_give_a_notification_or_our_error(fields: dict[str, Any]) -> None:
    """Wrong types in known fields are refused or tolerated, never a library's error."""
    _reads_or_refuses(event(json.dumps(message() | fields)))


@given(st.dictionaries(st.sampled_from(["body", "headers", "requestContext", "isBase64Encoded"]), _JSON) | _JSON)
def test_any_event_gives_a_notification_or_our_error(anything: object) -> None:
    """Not only the body may be nonsense."""
    _reads_or_refuses(anything)


@given(st.dictionaries(st.text(), st.text()), st.randoms())
def test_identity_does_not_depend_on_the_order_of_fields(fields: dict[str, str], chance: Any) -> None:
    """The same event in another order of fields is the same notification."""
    whole = {"x-" + name: value for name, value in fields.items()} | {"body": json.dumps(message())}
    names = list(whole)
    chance.shuffle(names)
    shuffled = {name: whole[name] for name in names}
    assert parse_notification(whole).notification_id == parse_notification(shuffled).notification_id


def _reads_or_refuses(anything: object) -> None:
    try:
        assert parse_notification(anything).charge_id
    except FollowUpError as refused:
        assert isinstance(refused, InvalidNotification)  # noqa: PT017 - either way is right


@pytest.mark.parametrize(("attribute", "value"), [("orderId", "ORDER-X"), ("amount", 5), ("currency", "USD")])
def test_each_difference_is_warned_of(world: World, attribute: str, value: object) -> None:
    """Order, amount and currency are each compared."""
    world.pay(**{"amount": Decimal("200.50"), "currency": "THB", attribute: value})
    world.deliver()
    assert len(world.log("differ")) == 1


def test_body_limit_is_in_bytes() -> None:
    """256 KB is 262,144 bytes of UTF-8, exactly that many still pass."""
    text = json.dumps(message(description=""))
    filler = 262_144 - len(text.encode())
    parse_notification(event(text.replace('"description": ""', f'"description": "{"x" * filler}"')))
    with pytest.raises(InvalidNotification):
        parse_notification(event(text.replace('"description": ""', f'"description": "{"x" * (filler + 1)}"')))
    with pytest.raises(InvalidNotification):
        parse_notification(event(text.replace('"description": ""', f'"description": "{"ก" * (filler // 3 + 1)}"')))
