"""`make lines`: lines of code in each room, without blank lines, comments and docstrings."""

import tokenize
from pathlib import Path

from bench.facts import ROOT

ROOMS = {"functions": "at most 1,400", "followups": "", "local": "", "bench": "", "artefact": "", "tests": ""}
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
    """Print a line for each room."""
    for room, most in ROOMS.items():
        files = [file for file in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in file.parts]
        print(f"{room:<10} {sum(map(code_lines, files)):>7,} lines of code in {len(files):>3} files  {most}".rstrip())


if __name__ == "__main__":
    main()
