"""`make lines`: lines of code in each room, without blank lines, comments and docstrings."""

import ast
import tokenize
from pathlib import Path

from bench.template import ROOT

ROOMS = {"functions": "at most 1,400", "followups": "", "local": "", "bench": "", "artefact": "", "tests": ""}
_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER),
}
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)


def code_lines(file: Path) -> int:
    """Count the lines on which there is a token, and no docstring."""
    with file.open("rb") as source:
        tokens = [token for token in tokenize.tokenize(source.readline) if token.type not in _NO_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - _docstring_lines(ast.parse(file.read_text())))


def _docstring_lines(tree: ast.Module) -> set[int]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)]
    first = [node.body[0] for node in nodes if node.body and ast.get_docstring(node, clean=False) is not None]
    return {line for statement in first for line in range(statement.lineno, (statement.end_lineno or 0) + 1)}


def main() -> None:
    """Print a line for each room."""
    for room, most in ROOMS.items():
        files = [file for file in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in file.parts]
        print(f"{room:<10} {sum(map(code_lines, files)):>7,} lines of code in {len(files):>3} files  {most}".rstrip())


if __name__ == "__main__":
    main()
