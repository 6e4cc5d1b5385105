"""The evaluator itself, on truths that IAM's documents state."""

from typing import Any

import pytest

from tests.support.iam import allowed, like, trusted

BUCKET = "arn:aws:s3:::a-bucket"


def _statement(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"} | elements


def _allows(*statements: dict[str, Any], action: str = "s3:GetObject", **context: str) -> bool:
    return allowed(statements, action, f"{BUCKET}/a/b", {name.replace("_", ":"): v for name, v in context.items()})


def test_nothing_is_allowed_by_default_and_deny_wins() -> None:
    """An implicit deny, as long as no statement applies; one Deny overrides every Allow; an action has no case."""
    deny = _statement(Effect="Deny", Action="s3:*")
    assert _allows(_statement())
    assert _allows(_statement(Action="S3:get?bject"))
    for statements in ([], [_statement(Resource=BUCKET)], [_statement(), deny], [deny, _statement()]):
        assert not _allows(*statements)
    assert not _allows(_statement(), action="s3:DeleteObject")


def test_wildcards_are_iams() -> None:
    """`*` is none or more characters, `?` exactly one, and nothing else is special: no fnmatch, no regex."""
    for pattern, text in (("a-*", "a-"), ("a-*", "a-b:c/d"), ("a-??", "a-bc"), ("[$LATEST]", "[$LATEST]")):
        assert like(pattern, text)
    for pattern, text in (("a-??", "a-b"), ("a-??", "a-bcd"), ("a", "A"), ("[ab]", "a"), ("a.b", "axb"), ("a", "a\n")):
        assert not like(pattern, text)


def test_every_condition_must_hold() -> None:
    """Exactly, and joined by AND; a key has no case, and one that the request lacks does not match."""
    guarded = _statement(Condition={"StringEquals": {"aws:a": "1", "AWS:B": "2"}})
    assert _allows(guarded, aws_A="1", aws_b="2")
    assert not _allows(guarded, aws_a="1", aws_b="3")
    assert not _allows(guarded, aws_a="1")


@pytest.mark.parametrize("unknown", [{"NotAction": "s3:*"}, {"Condition": {"StringLike": {"aws:a": "1"}}}])
def test_what_is_not_modelled_raises(unknown: dict[str, Any]) -> None:
    """A statement that the evaluator cannot read is never taken for one that allows, or denies, nothing."""
    with pytest.raises(NotImplementedError):
        _allows(_statement(**unknown), action="other:Action")


def test_trust_is_for_the_named_service() -> None:
    """A service that the trust policy does not name cannot assume the role, nor one that misses its condition."""
    trust = {"Effect": "Allow", "Principal": {"Service": "a.amazonaws.com"}, "Action": "sts:AssumeRole"}
    guarded = trust | {"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}}
    assert trusted([guarded], "a.amazonaws.com", {"aws:SourceAccount": "1"})
    assert not trusted([trust], "b.amazonaws.com", {})
    assert not trusted([guarded], "a.amazonaws.com", {"aws:SourceAccount": "2"})
