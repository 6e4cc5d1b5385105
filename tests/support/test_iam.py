"""The evaluator itself, on truths that IAM's documents state."""

from typing import Any

import pytest

from tests.support.iam import allowed, like, trusted

BUCKET = "arn:aws:s3:::a-bucket"


def _statement(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"} | elements


def _allows(*statements: dict[str, Any], action: str = "s3:GetObject", **context: str) -> bool:
    return allowed(statements, action, f"{BUCKET}/a/b", {name.replace("_", ":"): v for name, v in context.items()})


def test_nothing_is_allowed_by_default() -> None:
    """An implicit deny, as long as no statement applies."""
    assert not _allows()
    assert not _allows(_statement(Resource=BUCKET))


def test_explicit_deny_wins() -> None:
    """Whatever the order, one Deny overrides every Allow."""
    deny = _statement(Effect="Deny", Action="s3:*")
    assert _allows(_statement())
    assert not _allows(_statement(), deny)
    assert not _allows(deny, _statement())


@pytest.mark.parametrize("action", ["s3:GetObject", "S3:getobject", "s3:Get*", "s3:?etObject", ["s3:Put*", "s3:Get*"]])
def test_action_has_no_case_and_may_be_a_list(action: str | list[str]) -> None:
    """Prefix and name of an action have no case; one element of a list is enough."""
    assert _allows(_statement(Action=action))
    assert not _allows(_statement(Action=action), action="s3:DeleteObject")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a-*", "a-", True),
        ("a-*", "a-b:c/d", True),
        ("a-??", "a-bc", True),
        ("a-??", "a-b", False),
        ("a-??", "a-bcd", False),
        ("a", "A", False),
        ("[ab]", "a", False),
        ("[$LATEST]", "[$LATEST]", True),
        ("a.b", "axb", False),
        ("a", "a\n", False),
    ],
)
def test_wildcards_are_iams(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 - a column of the table
    """`*` is none or more characters, `?` exactly one, and nothing else is special: no fnmatch, no regex."""
    assert like(pattern, text) is matches


@pytest.mark.parametrize(
    ("operator", "value", "matches"),
    [
        ("StringEquals", "arn:aws:iam::123456789012:role/a", True),
        ("StringEquals", "arn:aws:iam::123456789012:role/A", False),
        ("StringEquals", "arn:aws:iam::123456789012:role/*", False),
        ("StringEquals", ["other", "arn:aws:iam::123456789012:role/a"], True),
        ("StringLike", "arn:aws:iam::*", True),
        ("ArnLike", "arn:aws:iam::*:role/*", True),
        ("ArnLike", "arn:aws:*:role/a", False),
        ("ArnEquals", "arn:aws:iam::123456789012:role/?", True),
        ("ArnEquals", "arn:aws:iam::210987654321:role/a", False),
    ],
)
def test_operators_compare_as_documented(operator: str, value: object, matches: bool) -> None:  # noqa: FBT001 - same
    """StringEquals is exact, StringLike knows wildcards; both Arn operators do, component by component."""
    guarded = _statement(Condition={operator: {"aws:PrincipalArn": value}})
    assert _allows(guarded, aws_PrincipalArn="arn:aws:iam::123456789012:role/a") is matches


def test_every_condition_must_hold() -> None:
    """Operators and keys are joined by AND; a key has no case, and one that the request lacks does not match."""
    tests = {"StringEquals": {"aws:a": "1", "AWS:B": "2"}, "StringLike": {"aws:c": "*"}}
    guarded = _statement(Condition=tests)
    assert _allows(guarded, aws_A="1", aws_b="2", aws_c="3")
    assert not _allows(guarded, aws_a="1", aws_b="3", aws_c="3")
    assert not _allows(guarded, aws_a="1", aws_b="2")


@pytest.mark.parametrize("unknown", [{"NotAction": "s3:*"}, {"Condition": {"StringNotEquals": {"aws:a": "1"}}}])
def test_what_is_not_modelled_raises(unknown: dict[str, Any]) -> None:
    """A statement that the evaluator cannot read is never taken for one that allows, or denies, nothing."""
    with pytest.raises(NotImplementedError):
        _allows(_statement(**unknown), action="other:Action")


def test_trust_is_for_the_named_service() -> None:
    """A service that the trust policy does not name cannot assume the role, nor one that misses its condition."""
    trust = {"Effect": "Allow", "Principal": {"Service": "a.amazonaws.com"}, "Action": "sts:AssumeRole"}
    guarded = trust | {"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}
    assert trusted([trust], "a.amazonaws.com", {})
    assert not trusted([trust], "b.amazonaws.com", {})
    assert not trusted([guarded], "a.amazonaws.com", {"aws:SourceAccount": "2"})
    assert trusted([guarded], "a.amazonaws.com", {"aws:SourceAccount": "1"})
    assert not trusted([trust | {"Principal": {"AWS": "a.amazonaws.com"}}], "a.amazonaws.com", {})
