"""What README.md and docs/ tell a reader to type, and where they lead."""

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ListShape, StructureShape

from local.emulator import ROOT

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(f for room in ("docs", "requirements") for f in sorted((ROOT / room).rglob("*.md"))),
]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE_MAKE = re.compile(r"`(make [a-z-]+[^`]*)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_OF_EVERY_AWS_COMMAND = {"query", "output", "profile", "region"}
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True, order=True)
class Command:
    """One command, as a shell would split it: without its comment, its redirections and the variables before it."""

    document: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """What a list names it by."""
        return " ".join(self.words)


def commands() -> list[Command]:
    """Every command in a fenced block of the language sh, and each make target that a text or a table names."""
    return sorted({command for file in DOCUMENTS for command in _commands(file)})


def _commands(file: Path) -> list[Command]:
    name, text = str(file.relative_to(ROOT)), file.read_text()
    whole = "\n".join(blocks(file, "sh")).replace("\\\n", " ")
    lines = [line for line in whole.splitlines() if line.strip()]
    inline = _INLINE_MAKE.findall(_FENCE.sub("", text))
    split = [_split(line) for line in [*lines, *inline]]
    return [Command(name, words) for words in split if words]


def _split(line: str) -> tuple[str, ...]:
    words = shlex.split(line, comments=True)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    redirected = next((at for at, word in enumerate(words) if word in {"<", ">", "|"}), len(words))
    return tuple(words[:redirected])


def blocks(file: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [found[3] for found in _FENCE.finditer(file.read_text()) if found[2] == language]


def links(file: Path) -> list[str]:
    """Where a document leads, in itself or in the repository."""
    text = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", file.read_text()))
    return [link for link in _LINK.findall(text) if not re.match(r"[a-z]+:", link)]


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", file.read_text()), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def aws_request(command: Command) -> tuple[str, str, dict[str, Any]]:
    """Return the request that a command of the AWS CLI makes: service, operation, parameters."""
    service, name, *options = command.words[1:]
    model = service_model(service)
    operation = next(one for one in model.operation_names if xform_name(one, "-") == name)
    shape = model.operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    members = {xform_name(member, "-"): member for member in shape.members}
    given: dict[str, Any] = {}
    for option, value in zip(options[::2], options[1::2], strict=True):
        name = option.removeprefix("--")
        if name not in _OF_EVERY_AWS_COMMAND:
            inner = shape.members[members[name]]
            given[members[name]] = json.loads(value) if isinstance(inner, StructureShape | ListShape) else value
    return service, operation, given


@cache
def service_model(service: str) -> Any:
    """Botocore's model of a service."""
    return botocore.session.get_session().get_service_model(service)
