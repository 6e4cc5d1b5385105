"""What `make check` holds by import-linter (pyproject.toml) no test repeats; these are the rules that it cannot see."""

import ast

from local.emulator import ROOT
from tests.support.fresh_python import run_python


def test_import_makes_no_client_and_reads_no_variable() -> None:
    """A handler can be imported with an empty environment; work begins with the first invocation."""
    program = """
import botocore.session
def refuse(*_, **__): raise AssertionError("a client at import")
botocore.session.Session.create_client = refuse
import delayednotify, recheck
"""
    run_python("-c", program)


def test_money_is_never_a_float() -> None:
    """No deployed module makes a float."""
    deployed = [ast.parse(file.read_text()) for file in (ROOT / "functions").rglob("*.py")]
    names = {node.id for tree in deployed for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "app" in names
    assert "float" not in names
