"""IAM's answer: policy statements evaluated, as far as the template needs it; what is not modelled raises.

Sources: the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy element reference".
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Statement = dict[str, Any]
Context = Mapping[str, str]


def allowed(statements: Iterable[Statement], action: str, resource: str, context: Context) -> bool:
    """Whether a statement allows the request and none denies it."""
    return {s["Effect"] for s in statements if _applies(s, action, resource, context)} == {"Allow"}


def trusted(statements: Iterable[Statement], service: str, context: Context) -> bool:
    """Whether a role's trust policy lets a service assume the role."""
    # A trust policy names no resource: it is about the role that it is on.
    naming = [s | {"Resource": "*"} for s in statements if service in listed(s["Principal"].get("Service", []))]
    return allowed(naming, "sts:AssumeRole", "", context)


def conditions(statement: Statement) -> Iterator[tuple[str, str, Any]]:
    """A statement's conditions: operator, context key and the value or values, of which one must match."""
    for name, tests in statement.get("Condition", {}).items():
        for key, values in tests.items():
            yield name, key, values


def like(pattern: str, text: str) -> bool:
    """`*` is any number of characters and `?` exactly one; the brackets of fnmatch are themselves."""
    wild = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(wild.get(c, re.escape(c)) for c in pattern), text))


def listed(value: Any) -> list[str]:
    """Every element may be one string or a list of them."""
    return [value] if isinstance(value, str) else list(value)


def _arn_like(pattern: str, text: str) -> bool:
    # "Each of the six colon-delimited components of the ARN is checked separately."
    wanted, found = pattern.split(":", 5), text.split(":", 5)
    return len(wanted) == len(found) and all(map(like, wanted, found))


_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": operator.eq,
    "StringLike": like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
}


def _applies(statement: Statement, action: str, resource: str, context: Context) -> bool:
    unknown = (set(statement) - _ELEMENTS) | (set(statement.get("Condition", {})) - set(_OPERATORS))
    if unknown:
        raise NotImplementedError(f"{sorted(unknown)} in {statement}")
    return (
        any(like(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
        and any(like(pattern, resource) for pattern in listed(statement["Resource"]))
        and all(_meets(context, *condition) for condition in conditions(statement))
    )


def _meets(context: Context, name: str, key: str, values: Any) -> bool:
    # Keys have no case, and a key that the request does not have matches nothing.
    found = [value for given, value in context.items() if given.lower() == key.lower()]
    return any(_OPERATORS[name](wanted, value) for wanted in listed(values) for value in found)
