"""`make lines`: how long each room is, and how much of it is code, beside the first edition."""

import tokenize
from pathlib import Path

from bench.facts import ROOT

# The first edition's lines, counted in the same way.
_BEFORE = {"functions": 2_216, "followups": 4_947, "local": 2_743, "bench": 2_839, "artefact": 478, "tests": 15_285}
_BEFORE |= {"README.md": 524, "template.yaml": 1_379}
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
    """Print a line for each room: all lines before and now, and the Python without blanks, comments and docstrings."""
    print(f"{'':<14} {'before':>7} {'now':>7} {'code':>7}")
    python = 0
    for room, before in _BEFORE.items():
        path = ROOT / room
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in _KINDS]
        lines = {file: len(file.read_text().splitlines()) for file in files}
        code = sum(code_lines(file) for file in files if file.suffix == ".py")
        print(f"{room:<14} {before:>7,} {sum(lines.values()):>7,} {code:>7,}")
        python += sum(lines[file] for file in files if file.suffix == ".py" and room != "tests")
    print(f"Python outside tests: before 12,680, now {python:,}")


if __name__ == "__main__":
    main()
