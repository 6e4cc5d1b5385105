"""How long each room is, and how much of it is code: `python -m bench.lines`."""

import tokenize
from pathlib import Path

from bench.facts import ROOT

_ROOMS = ("functions", "followups", "local", "bench", "artefact", "tests", "README.md", "template.yaml")
_KINDS = {".py", ".html", ".js", ".css", ".md", ".yaml"}
_BEGINS_A_STATEMENT = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_NO_CODE = {*_BEGINS_A_STATEMENT, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}


def code_lines(file: Path) -> int:
    """Count the lines that hold a token; a string that begins a statement is a docstring."""
    lines, begins = set[int](), True
    with file.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type not in _NO_CODE and not (begins and token.type == tokenize.STRING):
                lines.update(range(token.start[0], token.end[0] + 1))
            if token.type not in {tokenize.COMMENT, tokenize.NL}:
                begins = token.type in _BEGINS_A_STATEMENT
    return len(lines)


def main() -> None:
    """Print a line for each room: all lines, and the Python without blanks, comments and docstrings."""
    print(f"{'':<14} {'lines':>7} {'code':>7}")
    for room in _ROOMS:
        path = ROOT / room
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in _KINDS]
        lines = sum(len(file.read_text().splitlines()) for file in files)
        code = sum(code_lines(file) for file in files if file.suffix == ".py")
        print(f"{room:<14} {lines:>7,} {code:>7,}")


if __name__ == "__main__":
    main()
