"""IAM's answer: policy statements evaluated, as far as the template needs it; what is not modelled raises.

Sources: the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy element reference".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Statement = dict[str, Any]
Context = Mapping[str, str]
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def allowed(statements: Iterable[Statement], action: str, resource: str, context: Context) -> bool:
    """Whether a statement allows the request and none denies it."""
    return {s["Effect"] for s in statements if _applies(s, action, resource, context)} == {"Allow"}


def trusted(statements: Iterable[Statement], service: str, context: Context) -> bool:
    """Whether a role's trust policy lets a service assume the role."""
    # A trust policy names no resource: it is about the role that it is on.
    naming = [s | {"Resource": "*"} for s in statements if s["Principal"].get("Service") == service]
    return allowed(naming, "sts:AssumeRole", "", context)


def conditions(statement: Statement) -> Iterator[tuple[str, str, str]]:
    """A statement's conditions: operator, context key and the value that must match."""
    for name, tests in statement.get("Condition", {}).items():
        for key, value in tests.items():
            yield name, key, value


def like(pattern: str, text: str) -> bool:
    """`*` is any number of characters and `?` exactly one; the brackets of fnmatch are themselves."""
    wild = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(wild.get(c, re.escape(c)) for c in pattern), text))


def _applies(statement: Statement, action: str, resource: str, context: Context) -> bool:
    unknown = (set(statement) - _ELEMENTS) | (set(statement.get("Condition", {})) - {"StringEquals"})
    if unknown:
        raise NotImplementedError(f"{sorted(unknown)} in {statement}")
    found = {key.lower(): value for key, value in context.items()}  # keys have no case
    return (
        like(statement["Action"].lower(), action.lower())
        and like(statement["Resource"], resource)
        and all(found.get(key.lower()) == value for _, key, value in conditions(statement))
    )
