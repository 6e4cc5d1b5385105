"""The mutants: which faults are made, and what becomes of those that no test notices."""

import re

import pytest

from tests.support.mutants import LISTED, MODULES, judged, listed, source_of
from tests.support.mutate import mutants


def _names(source: str) -> set[str]:
    return {mutant.name.removeprefix("m: ").removeprefix("m.f: ") for mutant in mutants(source, "m")}


KINDS = {
    "x = a < b": {"`a < b` is `a <= b`"},
    "x = a and b": {"`a and b` is `a`", "`a and b` is `b`"},
    "d = {'k': v}": {"without `'k': v`"},
    "f(a=b)": {"without `f(a=b)`", "without `a=b` of `f`"},
    "LIMIT = 5": {"`5` is `6`"},
    "if a: pass": {"not (a)"},
    "def f():\n return a": {"nothing for `return a`"},
    "def f():\n raise Mine('its wording is free')": {"without `raise Mine('its wording is free')`"},
    # What DynamoDB checks is code, too.
    "C = '#a = :a AND #b <= :b'": {
        f"`'#a = :a AND #b <= :b'` is `'{c}'`" for c in ("#a = :a", "#b <= :b", "#a = :a AND #b < :b")
    },
    "log.bind(outcome='a word of a log line')": set(),
    "x = 'the wording of an error'": set(),
    "def f(a: int | None = None): 'A docstring.'": set(),
}


@pytest.mark.parametrize(("source", "expected"), KINDS.items())
def test_fault_is_of_a_kind_that_the_flow_could_suffer_from(source: str, expected: set[str]) -> None:
    """A bound, a condition, a field or a write less; not what no requirement speaks of."""
    assert _names(source) == expected


def test_survivor_that_is_not_listed_is_named_and_so_is_a_listed_one_that_is_gone() -> None:
    """The list says neither less nor more than what is true of the modules that were tried."""
    said = judged("record", ["record.f: new", "record.f: known"], {"record.f: known", "record: old", "sweep: old"})
    assert said == ["  NOT NOTICED by any test: record.f: new", "  LISTED, yet noticed: record: old"]


def test_listed_survivors_are_mutants_that_are_made() -> None:
    """No entry outlives the code that it was about, even if the mutants are not run for a while."""
    known = listed(LISTED.read_text())
    modules = {re.split("[.:]", name)[0] for name in known}
    assert modules <= set(MODULES)
    assert known <= {mutant.name for name in modules for mutant in mutants(source_of(name), name)}
