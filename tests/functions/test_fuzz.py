"""Events that are broken in many ways: each is read, or refused for a named field. `make fuzz` tries many more."""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args, get_type_hints

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callback.checksum import Verdict, verify
from callback.errors import BadInput, InvalidTimer
from callback.notification import parse_notification
from callback.redact import mask_body, redacted_event
from callback.timer import TimerInput
from local.samples import EVENTS, NAMES
from local.stack import SECRET
from tests.support.without_coverage import without_coverage

FEW = 1000
COUNT = int(os.environ.get("COUNT") or FEW)
KEYS = {"current": SECRET["secretKey"], "previous": "skey_not_this_one"}
TIMER = {"event"} | {about.alias or name for name, about in TimerInput.model_fields.items()}
TEXTS = st.sampled_from(["", " ", "chrg\n", "é", "๒๐๐", "\x00", "\ud800", "x" * 2049, "1e999", "-0.0", "0" * 64, "%%%"])
VALUES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([10**400, [], {}])
VALUES |= st.builds(lambda value, depth: json.loads("[" * depth + value + "]" * depth), st.just("1"), st.just(900))
# What no Python value is written as: it can only be in a text that is JSON, or nearly.
TOKENS = ["1E+1000", "1e999999999999999999999", "9" * 5000, "1." + "0" * 40, "NaN", "-Infinity", *'{}[]",:\\&=+']
TOKENS += ["%ff", "[" * 20_000, "&a=1" * 101, '"\\ud800"', '"\\u0000"', '{"id":"a","id":"b"}', "\xff\xfe"]
CHANGED = "headers requestContext isBase64Encoded checksum reference_order amount currency status".split()
CHANGED += ["transaction_state", "objectId", "body", "id", *sorted(TIMER - {"event"})]


@st.composite
def broken_events(draw: Callable[[Any], Any]) -> object:
    """Draw a notification or a timer after up to three changes; now and then no event at all."""
    if draw(st.integers(0, 50)) == 50:
        return draw(VALUES)
    sample = draw(st.sampled_from(["recheck"]) | st.sampled_from(NAMES))
    event = json.loads((EVENTS / f"{sample}.json").read_text())
    body: Any = {}
    with suppress(KeyError, ValueError):
        body = json.loads(event["body"])
    for name, value in draw(st.dictionaries(st.sampled_from(CHANGED), VALUES, max_size=3)).items():
        (body if name in body else event)[name] = value
    if body and event.get("body"):
        event["body"] = draw(written(json.dumps(body)))
        event["isBase64Encoded"] = draw(st.just(event.get("isBase64Encoded")) | st.sampled_from([True, "yes", 1]))
    return event


def written(body: str) -> Any:
    """Draw a body as it is, in base64, as a form, or with something in its middle."""
    ends = (b"", b"\xff\xfe", b"\xed\xa0\x80")
    encoded = st.sampled_from([base64.b64encode(body.encode() + end).decode() for end in ends])
    form = st.builds("{}={}&objectId=chrg_1".format, st.sampled_from(["id", "status"]), TEXTS)
    values = [at + 1 for at, letter in enumerate(body) if letter == ":"]
    where, token = st.sampled_from(values) | st.integers(0, len(body)), st.sampled_from(TOKENS)
    return st.just(body) | encoded | form | st.builds(lambda at, what: body[:at] + what + body[at:], where, token)


def outcome(read: Callable[[object], str], event: object) -> str:
    """Return what became of an event."""
    try:
        return read(event)
    except BadInput as refused:
        "".join(map(str, [*refused.about.values(), refused])).encode()  # as the error log and the mail have it
        return f"refused for {refused.field}"


def verified(event: object) -> str:
    """Return the verdict on what was read; all that is kept of it is bounded."""
    found = parse_notification(event)
    kept = [found.body_digest, mask_body(found.body), redacted_event(event), *found.ids.values()]
    assert max(len(str(text).encode()) for text in kept) <= 64_000
    return verify(found, KEYS).status


def timed(event: object) -> str:
    """Accept a timer; the pass that it names is one of a plan."""
    assert 1 <= TimerInput.parse(event, InvalidTimer).number <= 100
    return "accepted"


def test_every_event_is_read_or_refused_for_a_named_field(figure: Callable[[str], None]) -> None:
    """No event makes a parser fail in another way; every verdict and every refusal occurs."""
    found = Counter[str]()

    @settings(max_examples=COUNT, suppress_health_check=list(HealthCheck), derandomize=COUNT == FEW)
    @given(broken_events())
    def try_one(event: object) -> None:
        found[f"notification {outcome(verified, event)}"] += 1
        found[f"timer {outcome(timed, event)}"] += 1

    with without_coverage():
        try_one()
    figure("\n".join(f"{count:8} {kind}" for kind, count in sorted(found.items())))
    verdicts = {f"notification {status}" for status in get_args(get_type_hints(Verdict)["status"])}
    refusals = {f"notification refused for {field}" for field in ("event", "body", "id")}
    assert set(found) == verdicts | refusals | {f"timer refused for {field}" for field in TIMER} | {"timer accepted"}
