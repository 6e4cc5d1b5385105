"""Card data in every layout through the whole flow: none is readable in any place, and what is no card data stays.

The masker alone has its own, larger corpus in tests/functions/test_redact.py.
"""

import html
import json
import random
import re
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.functions import test_redact
from tests.functions.test_leaks import Run
from tests.functions.test_notification import FORM, event, signed
from tests.functions.test_redact import ORDINARY, numbers, readable, written
from tests.support.aws import World
from tests.support.outages import worlds
from tests.support.recorded_calls import Call, payload

CARD, AMEX, LONG = "4012888888881881", "371449635398431", "6205500000000000004"
GROUPS = [CARD[at : at + 4] for at in range(0, 16, 4)]
CODE = "9378"
# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = pytest.mark.no_cover

SEPARATORS = [
    *test_redact.SEPARATORS,
    *"\u200d\u00ad\u2060\u2003\u2010\u2012\u2015\ufe0f\u034f\uff0d\uff0f",
    "\r\n",
    " / ",
    "\\n",
    "\\u200b",
]
SEPARATORS += ["%0A", "%E2%80%8B"]
DIGITS = [*test_redact.DIGITS, 0x06F0, 0x07C0, 0x0966, 0x1D7E2, 0x1FBF0, "%25253{}"]
# The number and nothing else: not even as an id.
WHOLE = [separator.join(GROUPS) for separator in SEPARATORS]
WHOLE += [written(CARD, digits) for digits in DIGITS]
WHOLE += ["\u200d".join(CARD), "\u0332".join(CARD), "".join(f"{digit}\ufe0f\u20e3" for digit in CARD)]
WHOLE += [f"{CARD[:8]} {CARD[8:]}", f"{GROUPS[0]} {GROUPS[1]}-{GROUPS[2]} {GROUPS[3]}"]
WITHIN = [f"PAN{CARD}", f"{CARD}THB", f"x{CARD}y", f"#{CARD}#", f"${CARD}", f"id_{CARD}_x", f"บัตร{CARD}หมดอายุ"]
WITHIN += [f"%B{CARD}^DOE/JOHN^2512101", f"%b{CARD}^doe/john^2512", f";{CARD}=2512101", f"%B{CARD}^^2512101?"]
WITHIN += [f"{CARD}|12|2027|{CODE}", f"DOE,{CARD},1227,{CODE}", f"{CARD} 12/27 {CODE}", f"{CARD}/1227/{CODE}"]
WITHIN += [f"{CARD}D2512101", f"{CARD}.00", f"<pan>{CARD}</pan>", f'{{"x": {CARD}']
# Whatever parts the usual groups, of whatever kind.
BETWEEN = [
    *",:;|\u00b7\u2022~*'#=&\u2043\u2028\x85\x0b\x1f\u2800",
    ", ",
    " \u2022 ",
    "][",
    ") (",
    "    ",
    "        ",
    "___",
]
WITHIN += [f"card {separator.join(GROUPS)}." for separator in BETWEEN]
OTHERS = {AMEX: ["3714 496353 98431", "3714-4963-5398-431", AMEX], LONG: ["6205 5000 0000 0000 004", LONG]}
CODES = [f"cvv={CODE}&pin={CODE}", f"csc={CODE}", f"the CVV is {CODE}", f"CVC2: {CODE}", f"CID {CODE}"]
CODES += [f'"cvn": "{CODE}"', f'"cvd" : {CODE}', f'"cv2":{CODE},', f'"verification_value": "{CODE}"', f"cvv%3D{CODE}"]
CODES += [
    f"security code {CODE}",
    f"PIN: {CODE}",
    f"X-Card-Cvv: {CODE}",
    f'"trackData": "{CODE}"',
    f"cvv2Result={CODE}",
]
CODES += [f"passcode is {CODE}", f"<cvv>{CODE}</cvv>", f"card[cvc]={CODE}"]
CODES += [f"CAV2 {CODE}", f"CID (4 digits): {CODE}", f"security code (on back): {CODE}", f"CVV was entered as {CODE}"]
PLANTED = "planted"
SECRETS = [
    "pwd=planted",
    "passphrase=planted",
    "jwt=planted",
    "private_key=planted",
    "access_key=planted",
    "api key: planted",
]
SECRETS += [
    "X-Amz-Signature=planted",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.planted",
    "skey_test_planted",
    "tokn_test_planted",
]
SECRETS += [
    "Authorization: Bearer planted",
    "Cookie: session=planted",
    "magstripe=planted",
    "iccData=planted",
    "pinblock=planted",
]
LAYOUTS = [
    *((CARD, text) for text in WHOLE + WITHIN),
    *((card, text) for card, texts in OTHERS.items() for text in texts),
]
LAYOUTS += [*((CODE, text) for text in CODES), *((PLANTED, text) for text in SECRETS)]


def is_readable(secret: str, text: str) -> bool:
    """Whether a number's half, a code or a token can be read in a text beside its hashes."""
    text = re.sub(r"\b[0-9a-f]{32,}\b|\"Timestamp\": ?\d+", "", text)
    return readable(secret, text) if len(secret) > len(PLANTED) else secret in text


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One world for all."""
    with worlds() as world:
        yield world


@pytest.fixture
def run(shared: World) -> Run:
    """Nothing has happened yet; the payment record knows the order."""
    shared.empty()
    shared.wire.before.clear()
    shared.pay()
    shared.order()
    return Run(shared)


def everywhere(run: Run, text: str) -> None:
    """Let a text come by every way in which a text can come."""
    world = run.world
    world.wire.answers["lambda.Invoke"] = lambda _call: payload({"errorMessage": text}, error="Unhandled")
    world.wire.answers["sqs.SendMessage"] = lambda _call: {}
    around = {"headers": {"X-Note": text}, "queryStringParameters": {"note": text}, "rawQueryString": f"note={text}"}
    body = signed(failure_code=text, description=text, metadata={"a": [text]}, transaction_state=text)
    run.deliver(event(body) | around)
    world.wait(61)
    world.wire.answers["lambda.Invoke"] = lambda _call: payload(f"{text} of ProcessPaidOrder".encode())
    run.recheck(1, notificationId="delivery-1")
    refusals = [text, f"objectId=&note={text}", json.dumps(body)[:-9], {**body, "id": text if text in WHOLE else ""}]
    for number, refused in enumerate(refusals):
        run.deliver(event(refused, requestContext={"requestId": f"n-{number}"}, headers=FORM if number == 1 else {}))
    run.invoke(lambda: world.retry({"requestPayload": event(text)}, text))
    world.wire.before = dict.fromkeys(("dynamodb.UpdateItem", "dynamodb.Query"), lambda call: _quoting(call, text))
    run.recheck(2, notificationId="delivery-1")
    run.invoke(world.sweep)


def _quoting(call: Call, text: str) -> None:
    if "error-log" not in call.request["TableName"]:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": text}}, call.operation)


# --- what nobody may read ---


@pytest.mark.parametrize(("secret", "text"), LAYOUTS, ids=ascii)
def test_card_data_is_readable_nowhere(run: Run, secret: str, text: str) -> None:
    """Not in the log, what Lambda prints, rows, mails, records, outcomes, timers, metrics or another's input."""
    everywhere(run, text)
    assert len(run.lambdas) == 9
    found = {where for where, written in run.written() if is_readable(secret, html.unescape(written))}
    assert found == set()


# --- what everybody may read ---


# What the masker once took for card data.
TAKEN = ["taxid: 0105556176239", "misc code 1234", "disc code: 4455", "Magdalena: 5", "expiresAt=1803115817"]
TAKEN += [
    "invalid signature for charge chrg_1",
    "discard=12",
    "wildcard=*",
    "code of 12",
    "panel no 123",
    "pin board 123",
]
TAKEN += [
    "2026, 2027, 2028, 2029",
    "rows 5555-5556-5557-5558",
    "4021, 1233, 8765, 1234",
    "1.5;2.5;3.5",
    "10.0.0.1:5432",
]


@pytest.mark.parametrize("template", [*ORDINARY, *TAKEN])
def test_ordinary_text_stays_readable_in_record_and_outcome(run: Run, template: str) -> None:
    """As the bank and ProcessPaidOrder wrote it; numbers in JSON by their value."""
    text = template.format(**numbers(random.Random(template)))  # noqa: S311 - the same each time
    run.world.wire.answers["lambda.Invoke"] = lambda _call: payload(text.encode())
    run.deliver(event(signed(description=text)))
    record = run.world.record()
    kept = (json.loads(record["body"])["description"], record["passes"][0]["outcome"])
    assert [json.loads(each) for each in kept] == [json.loads(text)] * 2 if text[0] == "{" else kept == (text, text)
