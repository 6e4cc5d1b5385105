"""The evaluator itself, on truths that IAM's documents state and that no statement of the template tries."""

from typing import Any

import pytest

from tests.support.iam import Need, allowed, like

READ = {"Effect": "Allow", "Action": "s3:Get?bject", "Resource": "a-bucket/*"}


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
        allowed([READ | unknown], Need("other:Action", "a-bucket/a"))
