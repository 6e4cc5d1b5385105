"""Random events for the parsers: the samples of events/, broken in many ways by chance; its seed repeats a run."""

import argparse
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from reprlib import repr as shortened
from typing import Any

from callback.checksum import verify
from callback.errors import BadInput, FollowUpError, InvalidTimer
from callback.notification import parse_notification
from callback.redact import mask_body, redacted_event
from callback.timer import TimerInput
from local.samples import EVENTS, NAMES
from local.stack import SECRET

KEYS = {"current": SECRET["secretKey"], "previous": "skey_not_this_one"}
NOTIFICATION = {"event", "body", "id"}
TIMER = {"event"} | {about.alias or name for name, about in TimerInput.model_fields.items()}
FIELDS = NOTIFICATION | TIMER
# A third of the events are timers: what is no timer never gets past Recheck's first field.
_SAMPLES = [(EVENTS / f"{name}.json").read_text() for name in [*NAMES, *["recheck"] * (len(NAMES) // 2)]]
_DEEP = 20_000
_TEXTS = ["", " ", "chrg\n", "é", "๒๐๐", "\x00", "\ud800", "x" * 101, "x" * 2049, "1e999", "-0.0", "0" * 64, "%%%"]
_VALUES: list[Any] = [*_TEXTS, None, True, False, [], {}]
_VALUES += [0, 1, -1, 10**12, 10**400, 0.1, 1e308, float("nan"), float("inf")]
# What no value can be written as: it is only in a text of JSON, or of almost JSON.
_TOKENS = ["1E+1000", "1e999999999999999999999", "9" * 5000, "1." + "0" * 40, "NaN", "-Infinity", *'{}[]",:\\&=+']
_TOKENS += ["%ff", "[" * _DEEP, "&a=1" * 101, *_TEXTS, '"\\ud800"', '"\\u0000"', '{"id":"a","id":"b"}']
_NAMES = "headers multiValueHeaders requestContext requestId isBase64Encoded content-type extra objectId".split()
_NAMES += "checksum reference_order amount currency status transaction_state".split() + sorted(FIELDS)


def broken(chance: random.Random) -> object:
    """A sample after up to three changes, or, once in a while, something that is no event at all."""
    if chance.random() < 0.01:
        return _value(chance)
    event = json.loads(chance.choice(_SAMPLES))
    with suppress(ValueError, KeyError):
        event["body"] = json.loads(event["body"])
    for _ in range(chance.randrange(4)):
        _change(chance, event)
    with suppress(RecursionError):
        if isinstance(event.get("body"), dict | list):
            event["body"] = json.dumps(event["body"])
    _write_otherwise(chance, event)
    return event


def fuzz(count: int, seed: int) -> Counter[str]:
    """Feed the parsers that many events, and count the kinds of outcome; what is no error of theirs is raised."""
    chance, found = random.Random(seed), Counter[str]()  # noqa: S311 - a seed must repeat it
    for number in range(count):
        event = broken(chance)
        try:
            found[f"notification {_outcome(_verified, event)}"] += 1
            found[f"timer {_outcome(_timed, event)}"] += 1
        except Exception as error:
            error.add_note(f"seed {seed}, event {number}: {shortened(event)}")
            raise
    return found


def _verified(event: object) -> str:
    found = parse_notification(event)
    kept = [found.body_digest, mask_body(found.body), redacted_event(event), *found.ids.values()]
    assert max(len(str(text).encode()) for text in kept) <= 64_000
    return verify(found, KEYS).status


def _timed(event: object) -> str:
    return f"of pass {min(TimerInput.parse(event, InvalidTimer).number, 3)}"


def _outcome(read: Callable[[object], str], event: object) -> str:
    try:
        return read(event)
    except FollowUpError as refused:
        assert isinstance(refused, BadInput), refused  # noqa: PT017 - either way is right
        assert refused.field in FIELDS, refused  # noqa: PT017 - same
        "".join(map(str, [*refused.about.values(), refused])).encode()  # what the error log and the mail will say
        return f"refused for {refused.field}"


def _value(chance: random.Random) -> Any:
    value = chance.choice(_VALUES)
    for _ in range(_DEEP if chance.random() < 0.02 else chance.choice([0, 0, 1])):
        value = [value]
    return value


def _change(chance: random.Random, tree: dict[str, Any]) -> None:
    place, key = _somewhere(chance, tree) if tree else (tree, "id")
    match chance.choice(["put", "drop", "add", "wrap"]):
        case "drop" if tree:
            del place[key]
        case "add":
            chance.choice([tree, place] if isinstance(place, dict) else [tree])[chance.choice(_NAMES)] = _value(chance)
        case "wrap" if tree:
            place[key] = chance.choice([[place[key]], {"id": place[key]}, shortened(place[key])])
        case _:
            place[key] = _value(chance)


def _somewhere(chance: random.Random, tree: Any) -> tuple[Any, Any]:
    key = chance.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    inside = isinstance(tree[key], dict | list) and tree[key] and chance.random() < 0.7
    return _somewhere(chance, tree[key]) if inside else (tree, key)


def _write_otherwise(chance: random.Random, event: dict[str, Any]) -> None:
    body = event["body"] if isinstance(event.get("body"), str) else "{}"
    match chance.choice(["as it is"] * 3 + ["spliced", "base64", "form"]):
        case "spliced":
            start, end = sorted(chance.choices(range(len(body) + 1), k=2))
            event["body"] = body[:start] + chance.choice(_TOKENS) + body[chance.choice([start, end]) :]
        case "base64":
            raw = body.encode(errors="replace") + chance.choice([b"", b"", b"\xff\xfe", b"\xed\xa0\x80"])
            event["body"] = base64.b64encode(raw).decode()
            event["isBase64Encoded"] = chance.choice([True, True, "yes", 1, False])
        case "form":
            event["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}
            event["body"] = f"{chance.choice(['id', 'status'])}={chance.choice(_TEXTS)}&objectId=chrg_1"


def main() -> None:
    """`make fuzz`: print what was fed, and what came of it."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    asked, began = parser.parse_args(), time.monotonic()
    print(f"{asked.count} events, seed {asked.seed}", flush=True)
    for kind, count in sorted(fuzz(asked.count, asked.seed).items()):
        print(f"  {count:8} {kind}")
    print(f"{time.monotonic() - began:.0f} s, nothing but the parsers' own errors")


if __name__ == "__main__":
    main()
