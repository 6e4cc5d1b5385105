"""DynamoDB's expressions, as far as the functions use them; each text is translated once."""

import re
from collections.abc import Callable
from functools import cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any

Typed = dict[str, Any]
"""An item as it is sent: `{"orderId": {"S": "..."}}`."""

_COMPARISON = re.compile(r"([#:]\w+)\s*(<=|>=|<>|=|<|>)\s*([#:]\w+)")
_EXISTS = re.compile(r"(attribute_(?:not_)?exists)\(\s*(#\w+)\s*\)")
_TYPE = re.compile(r"attribute_type\((#\w+), (:\w+)\)")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD)\b")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"<=": le, ">=": ge, "<>": ne, "=": eq, "<": lt, ">": gt}


@cache
def condition(text: str) -> Callable[[Typed, Typed], bool]:
    """Translate a condition into a function of an item and of the values; an alias is `#` and the attribute's name."""
    python = _EXISTS.sub(lambda m: f"({m[2][1:]!r} {'not in' if 'not' in m[1] else 'in'} item)", text)
    python = _TYPE.sub(lambda m: f"(values[{m[2]!r}]['S'] in item.get({m[1][1:]!r}, ()))", python)
    python = _COMPARISON.sub(r'holds(item, values, "\1", "\2", "\3")', python)
    for word in ("AND", "OR", "NOT"):
        python = re.sub(rf"\b{word}\b", word.lower(), python)
    code = compile(f"lambda item, values: {python}", "condition", "eval")
    made: Callable[[Typed, Typed], bool] = eval(code, {"holds": _holds})  # noqa: S307 - the texts are our own
    return made


@cache
def update(text: str) -> tuple[tuple[str, str, str], ...]:
    """Take an update apart: (clause, attribute, what it becomes)."""
    parts = _CLAUSE.split(text)[1:]
    found = []
    for clause, body in zip(parts[::2], parts[1::2], strict=True):
        for change in re.split(r",\s*(?![^(]*\))", body.strip()):
            attribute, _, value = change.strip().partition(" ")
            found.append((clause, attribute.lstrip("#"), value.lstrip("= ")))
    return tuple(found)


def updated(item: Typed, text: str, values: Typed) -> Typed:
    """Return the item as it is after an update; what it was stays as it was."""
    new = dict(item)
    for clause, attribute, value in update(text):
        if clause == "REMOVE":
            new.pop(attribute, None)
        elif clause == "ADD":
            new[attribute] = {"N": str(int(item.get(attribute, {"N": "0"})["N"]) + int(values[value]["N"]))}
        else:
            new[attribute] = _value(item, value, values)
    return new


def _value(item: Typed, text: str, values: Typed) -> Any:
    if text.startswith(":"):
        return values[text]
    function, first, second = re.findall(r"\w+|#\w+|:\w+", text.replace("#", "").replace(":", ""))
    given = values[f":{second}"]
    if function == "if_not_exists":
        return item.get(first, given)
    return {"L": item[first]["L"] + given["L"]}


def _holds(item: Typed, values: Typed, left: str, operator: str, right: str) -> bool:
    a, b = (values.get(name) if name[0] == ":" else item.get(name[1:]) for name in (left, right))
    return bool(a and b and a.keys() == b.keys() and _OPERATORS[operator](_plain(a), _plain(b)))


def _plain(value: Typed) -> Any:
    return int(value["N"]) if "N" in value else next(iter(value.values()))
