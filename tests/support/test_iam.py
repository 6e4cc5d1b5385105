"""The evaluator itself, on truths that IAM's documents state and that no statement of the template tries."""

from typing import Any

import pytest

from tests.support.iam import Need, allowed, like

READ = {"Effect": "Allow", "Action": "s3:Get?bject", "Resource": "a-bucket/*"}


def _allows(*statements: dict[str, Any]) -> bool:
    return allowed(statements, Need("s3:GetObject", "a-bucket/a/b", (("aws:A", "1"),)))


def test_one_deny_overrides_every_allow() -> None:
    """In any order; no statement is no permission; each condition must hold, whatever the case of its key."""
    deny = READ | {"Effect": "Deny", "Action": "s3:*"}
    assert _allows(READ | {"Condition": {"StringEquals": {"AWS:a": "1"}}})
    for statements in ([], [READ, deny], [deny, READ], [READ | {"Condition": {"StringEquals": {"a": "1", "b": "2"}}}]):
        assert not _allows(*statements)


def test_wildcards_are_iams() -> None:
    """`*` is none or more characters, `?` exactly one, and nothing else is special: no fnmatch, no regex."""
    for pattern, text in (("a-*", "a-"), ("a-*", "a-b:c/d"), ("a-??", "a-bc"), ("[$LATEST]", "[$LATEST]")):
        assert like(pattern, text)
    for pattern, text in (("a-??", "a-b"), ("a-??", "a-bcd"), ("a", "A"), ("[ab]", "a"), ("a.b", "axb"), ("a", "a\n")):
        assert not like(pattern, text)


@pytest.mark.parametrize("unknown", [{"NotAction": "s3:*"}, {"Condition": {"StringLike": {"aws:a": "1"}}}])
def test_what_is_not_modelled_raises(unknown: dict[str, Any]) -> None:
    """A statement that the evaluator cannot read is never taken for one that allows, or denies, nothing."""
    with pytest.raises(NotImplementedError):
        _allows(READ | {"Action": "other:Action"} | unknown)
