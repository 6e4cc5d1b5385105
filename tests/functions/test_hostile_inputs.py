"""Inputs that differ from the usual in what decides nothing: each is saved, proved and processed for its order."""

import base64
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from callback.schema import is_id
from tests.functions.test_notification import event, message, signed
from tests.functions.test_redact import numbers
from tests.support.aws import CHARGE, ORDER, World

TEXT = json.dumps(signed(description="???>>>~~~"))
CHECKSUM = signed()["checksum"]


def encoded(text: str, encode: Callable[[bytes], bytes] = base64.b64encode) -> str:
    """A body as base64."""
    return encode(text.encode()).decode()


BODIES: dict[str, str] = {
    "a raw line end and a tab in a text": TEXT.replace("???", "a\n\tb"),
    "other control characters in a text": TEXT.replace("???", "\x01\x1f"),
    "NUL behind it": f"{TEXT}\0",
    "several byte order marks": f"\ufeff\ufeff{TEXT}",
    "a number as charge id": json.dumps(signed(id=123)),
    "an amount with its sign": json.dumps(signed(amount="+200.50")),
    "an amount in Thai digits": json.dumps(signed(amount="๒๐๐.๕๐")),
    "a blank before the checksum": json.dumps(message(checksum=f" {CHECKSUM}")),
    "a line end behind the checksum": json.dumps(message(checksum=f"{CHECKSUM}\r\n")),
    "a checksum in upper case": json.dumps(message(checksum=CHECKSUM.upper())),
    "a failure code as a number": json.dumps(signed(failure_code=101)),
    "a new field, deep": json.dumps(signed(a_new_field={"b": [[{"c": None}]]})),
}
AROUND: dict[str, dict[str, Any]] = {
    "base64": {"body": encoded(TEXT), "isBase64Encoded": True},
    "base64 without padding": {
        "body": encoded(TEXT + " " * (len(TEXT.encode()) % 3)).rstrip("="),
        "isBase64Encoded": True,
    },
    "base64 for URLs": {"body": encoded(TEXT, base64.urlsafe_b64encode), "isBase64Encoded": True},
    "base64 behind a byte order mark": {"body": f"\ufeff{encoded(TEXT)}", "isBase64Encoded": True},
    "base64 before a zero-width space": {"body": f"{encoded(TEXT)}\u200b", "isBase64Encoded": True},
    "base64 with line ends": {"body": encoded(TEXT, base64.encodebytes).replace("\n", "\r\n"), "isBase64Encoded": True},
    "base64 of a text with a byte order mark": {"body": encoded(f"\ufeff{TEXT}"), "isBase64Encoded": True},
    "base64 that is none": {"isBase64Encoded": True},
    "false as a text": {"isBase64Encoded": "false"},
    "headers that are a list": {"headers": [["content-type", "text/plain"]]},
    "a content type that is none": {"headers": {"Content-Type": None}},
    "a context that is a list": {"requestContext": []},
}


@pytest.mark.parametrize("name", [*BODIES, *AROUND])
def test_what_decides_nothing_refuses_and_unproves_nothing(world: World, name: str) -> None:
    """Valid, saved under its charge, and pass 1 run for its order."""
    world.deliver(event(BODIES.get(name, TEXT)) | AROUND.get(name, {}))
    record = world.record()
    assert (record["checksumStatus"], record["orderId"], record["passesDone"]) == ("valid", ORDER, 1)
    assert [sent["orderId"] for sent in world.passes()] == [ORDER]


@pytest.mark.parametrize(
    "order", [None, True, ["a"], {"a": 1}, {"x"}, b"ab", "  ", "\u200b", "a\nb", "4111111111111111"]
)
def test_payment_record_without_a_usable_order_names_none(world: World, order: object) -> None:
    """It may be written before the order is known: then the notification's own counts, and nothing contradicts it."""
    world.pay(orderId=order)
    world.deliver()
    assert (world.record()["orderId"], world.errors()) == (ORDER, [])


@pytest.mark.parametrize(
    ("paid", "said"),
    [
        ({"currency": "thb"}, {}),
        ({"currency": " THB\u200b"}, {}),
        ({"orderId": "ORDER-e\u0301"}, {"reference_order": "ORDER-\u00e9"}),
        ({"orderId": "ใบสั่งซื้อที่จำ"}, {"reference_order": "ใบสั่งซื้อที่จ\u0e4dา"}),
        ({"orderId": "ORDER-1001"}, {"reference_order": "ORDER-\u200b1001"}),
        ({"orderId": "ORDER\u00a01"}, {"reference_order": "ORDER 1"}),
        ({"orderId": Decimal(1001)}, {"reference_order": "1001"}),
        ({"amount": Decimal("200.5000")}, {}),
        ({"amount": "200.50"}, {}),
    ],
)
def test_same_in_another_spelling_is_no_contradiction(world: World, paid: dict[str, Any], said: dict[str, Any]) -> None:
    """Under `reject`, too; the order is processed as the payment record spells it."""
    world.cold_start(CHECKSUM_POLICY="reject")
    world.pay(**paid)
    world.deliver(event(signed(**said)))
    assert (world.record()["orderId"], world.errors()) == (str(paid.get("orderId", ORDER)), [])


@pytest.mark.parametrize("headers", [None, {}, {"Content-Type": "text/plain"}, {"content-type": "multipart/form-data"}])
@pytest.mark.parametrize(
    "body", [f"objectId={CHARGE}", f"objectId={CHARGE}\r\n", f"\ufeffid=&objectId={CHARGE}&status=true"]
)
def test_form_needs_no_content_type(world: World, headers: dict[str, str] | None, body: str) -> None:
    """Proxies drop it: the payment record knows the order."""
    world.pay()
    world.deliver(event(body, headers=headers))
    assert (world.record()["orderId"], world.record()["checksumStatus"]) == (ORDER, "missing")


def test_ordinary_ids_are_no_card_numbers() -> None:
    """Of what shops and the bank use for ids fewer than 1 in 500 is refused."""
    chance = random.Random(5)  # noqa: S311 - a seed must repeat it
    names = ("order", "created", "millis", "micros", "charge", "uuid", "hash")
    ids = [known[name] for known in (numbers(chance) for _ in range(4000)) for name in names]
    refused = [id_ for id_ in ids if not is_id(id_)]
    print(f"{len(ids)} ordinary ids, {len(refused) / len(ids):.2%} refused", *refused[:9], sep="\n")  # noqa: T201 - to be seen with -s
    assert len(refused) < len(ids) / 500
