"""The rooms and their walls: what imports what, and where AWS clients and the environment are touched."""

import ast
from pathlib import Path

import pytest

from local.emulator import ROOT
from tests.support.fresh_python import run_python

ROOMS = {"artefact", "bench", "followups", "functions", "local", "tests"}
# What each room needs of the others: what is deployed needs none, and the operators' tools need only that. The
# measurements share the tests' model of AWS's queues.
NEEDS = {"functions": set[str](), "followups": {"functions"}, "bench": {"functions", "artefact", "tests"}}
TREES = {file: ast.parse(file.read_text()) for room in NEEDS for file in sorted((ROOT / room).rglob("*.py"))}
DEPLOYED = [file for file in TREES if file.is_relative_to(ROOT / "functions")]


def test_composition_is_in_one_place() -> None:
    """Only callback/app.py reads the environment and makes AWS clients."""
    assert {file.name for file in DEPLOYED if {"boto3", "os"} & _imports(file)} == {"app.py"}


def test_import_makes_no_client_and_reads_no_variable() -> None:
    """A handler can be imported with an empty environment; work begins with the first invocation."""
    program = """
import botocore.session
def refuse(*_, **__): raise AssertionError("a client at import")
botocore.session.Session.create_client = refuse
import delayednotify, recheck
"""
    run_python("-c", program)


@pytest.mark.parametrize("room", NEEDS)
def test_room_imports_only_what_it_needs(room: str) -> None:
    """The arrows run one way: everything may import functions/, functions/ imports none of it."""
    files = [file for file in TREES if file.is_relative_to(ROOT / room)]
    imported = {name.split(".")[0] for file in files for name in _imports(file)}
    assert imported & ROOMS <= NEEDS[room] | {room}


def test_money_is_never_a_float() -> None:
    """No deployed module makes a float."""
    names = {node.id for file in DEPLOYED for node in ast.walk(TREES[file]) if isinstance(node, ast.Name)}
    assert "float" not in names


def _imports(file: Path) -> set[str]:
    nodes = list(ast.walk(TREES[file]))
    found = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return found | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
