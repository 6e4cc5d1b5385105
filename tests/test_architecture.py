"""The rooms and their walls: what imports what, and where AWS clients and the environment are touched."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulator import ROOT
from tests.fresh_python import told_by

DEPLOYED = sorted((ROOT / "functions").rglob("*.py"))
TOOLS = sorted((ROOT / "followups").rglob("*.py"))
MEASURED = sorted((ROOT / "bench").rglob("*.py"))


def test_composition_is_in_one_place() -> None:
    """Only callback/app.py reads the environment and makes AWS clients."""
    touching = {file.name for file in DEPLOYED if {"environ", "getenv", "client", "Session"} & set(_attributes(file))}
    assert touching == {"app.py"}


def test_import_makes_no_client_and_reads_no_variable_of_ours() -> None:
    """A handler can be imported with an empty environment; work begins with the first invocation."""
    program = """
import botocore.session
def refuse(*_, **__): raise AssertionError("a client at import")
botocore.session.Session.create_client = refuse
import delayednotify, recheck
"""
    told_by("-c", program)


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_deployed_imports_nothing_of_the_other_rooms(file: Path) -> None:
    """functions/ stands alone: the local stack, the tests and the tools may import it, never the other way."""
    imported = {name.split(".")[0] for name in _imports(file)}
    assert not imported & {"artefact", "local", "tests", "followups", "bench"}


@pytest.mark.parametrize("file", TOOLS, ids=lambda file: str(file.relative_to(ROOT)))
def test_operators_tools_need_only_what_is_deployed(file: Path) -> None:
    """followups/ acts on real accounts: nothing of the local stack or the tests comes with it."""
    imported = {name.split(".")[0] for name in _imports(file)}
    assert not imported & {"artefact", "local", "tests", "bench"}


@pytest.mark.parametrize("file", MEASURED, ids=lambda file: str(file.relative_to(ROOT)))
def test_measurements_need_only_what_is_deployed(file: Path) -> None:
    """bench/ runs in an environment of its own: it measures functions/ as they are, and brings its own stand-ins."""
    imported = {name.split(".")[0] for name in _imports(file)}
    assert not imported & {"local", "tests", "followups"}


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: str(file.relative_to(ROOT)))
def test_money_is_never_a_float(file: Path) -> None:
    """No deployed module makes a float."""
    assert "float" not in {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}


def _attributes(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
