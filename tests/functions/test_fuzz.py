"""The fuzzer: a share of `make fuzz`, and that it would see what it looks for."""

import sys
from typing import get_args, get_type_hints

import pytest

from callback.checksum import Verdict
from tests.support import fuzz
from tests.support.without_coverage import without_coverage


def test_parsers_let_nothing_out_but_our_own_errors() -> None:
    """2,000 broken events: each is read or refused by a field's name, and every kind of outcome is met."""
    with without_coverage():
        found = fuzz.fuzz(2_000, seed=1)
    assert found.total() == 2 * 2_000
    assert {f"notification {status}" for status in get_args(get_type_hints(Verdict)["status"])} <= set(found)
    assert {f"notification refused for {field}" for field in fuzz.NOTIFICATION} <= set(found)
    assert {f"timer refused for {field}" for field in fuzz.TIMER} | {"timer of pass 2"} <= set(found)


def test_finding_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's error comes out as it is, with the seed, the number and the event in its notes."""
    monkeypatch.setattr(fuzz, "parse_notification", int)
    with pytest.raises(TypeError) as finding:
        fuzz.fuzz(1, seed=7)
    [note] = finding.value.__notes__
    assert note.startswith("seed 7, event 0: {")


def test_command_prints_what_it_fed_and_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Count, seed, kinds of outcome and time; the same seed prints the same kinds."""
    monkeypatch.setattr(sys, "argv", ["fuzz", "--count", "50", "--seed", "7"])
    fuzz.main()
    printed = capsys.readouterr().out.splitlines()
    fuzz.main()
    again = capsys.readouterr().out.splitlines()
    assert printed[0] == "50 events, seed 7"
    assert printed[:-1] == again[:-1]
    assert len(printed) > 5
