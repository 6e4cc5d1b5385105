"""The fuzzer: a share of `make fuzz`, and that it would find what it searches for."""

import sys
from typing import Any, get_args, get_type_hints

import pytest

from callback.checksum import Verdict
from tests.support import fuzz
from tests.support.steps import fails
from tests.support.without_coverage import without_coverage


def test_parsers_raise_only_their_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """800 broken events: each is read or refused by a field's name; another error comes with how to repeat it."""
    with without_coverage():
        found = fuzz.fuzz(800, seed=1)
    assert found.total() == 2 * 800
    assert {f"notification {status}" for status in get_args(get_type_hints(Verdict)["status"])} <= set(found)
    assert {f"notification refused for {field}" for field in fuzz.NOTIFICATION} <= set(found)
    assert {f"timer refused for {field}" for field in fuzz.TIMER} | {"timer of pass 2"} <= set(found)
    monkeypatch.setattr(fuzz, "parse_notification", int)
    assert fails(TypeError, fuzz.fuzz, 1, seed=7).__notes__[0].startswith("seed 7, event 0: {")


def test_same_seed_prints_the_same_outcomes(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Count, seed, kinds of outcome and time."""
    monkeypatch.setattr(sys, "argv", ["fuzz", "--count", "50", "--seed", "7"])
    fuzz.main()
    printed = capsys.readouterr().out.splitlines()
    fuzz.main()
    assert printed[0] == "50 events, seed 7"
    assert printed[:-1] == capsys.readouterr().out.splitlines()[:-1]
    assert len(printed) > 5
