"""What README.md and docs/ tell a reader to type, and where they lead."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile, pairwise, takewhile
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore import xform_name
from markdown_it import MarkdownIt
from markdown_it.token import Token

from followups.cli import Operator
from local.emulator import ROOT

DOCUMENTS = [file for of in ("*.md", "docs/**/*.md", "requirements/**/*.md") for file in sorted(ROOT.glob(of))]
_OF_EVERY_AWS_COMMAND = {"query", "output", "profile", "region"}


@dataclass(frozen=True, order=True)
class Command:
    """One command, as a shell would split it: without its comment, its redirections and the variables before it."""

    document: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def commands() -> list[Command]:
    """Every command in a fenced block of the language sh, and each make target that a text or a table names."""
    return sorted({command for file in DOCUMENTS for command in _commands(file)})


def _commands(file: Path) -> list[Command]:
    lines = "\n".join(blocks(file, "sh")).replace("\\\n", " ").splitlines()
    inline = [token.content for token in _tokens(file) if token.type == "code_inline"]
    lines += [text for text in inline if re.match(r"make [a-z-]", text)]
    split = [_split(line) for line in lines]
    return [Command(str(file.relative_to(ROOT)), words) for words in split if words]


def _split(line: str) -> tuple[str, ...]:
    words = dropwhile(lambda word: re.fullmatch("[A-Z_]+=.*", word), shlex.split(line, comments=True))
    return tuple(takewhile(lambda word: word not in {"<", ">", "|"}, words))


@cache
def _tokens(file: Path) -> list[Token]:
    parsed = MarkdownIt().enable("table").parse(file.read_text())
    return [token for block in parsed for token in (block, *(block.children or ()))]


def blocks(file: Path, language: str) -> list[str]:
    return [token.content for token in _tokens(file) if (token.type, token.info) == ("fence", language)]


def links(file: Path) -> list[str]:
    """Where a document leads, in itself or in the repository."""
    found = [str(token.attrs.get("href", token.attrs.get("src", "#"))) for token in _tokens(file)]
    return [link for link in found if link != "#" and not re.match(r"[a-z]+:", link)]


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings, as the usual hosts make them."""
    headings = [text.children or [] for mark, text in pairwise(_tokens(file)) if mark.type == "heading_open"]
    texts = ["".join(part.content for part in heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def aws_request(command: Command) -> tuple[str, str, dict[str, Any]]:
    """Return the request that a command of the AWS CLI makes: service, operation, parameters."""
    service, name, *options = command.words[1:]
    model = service_model(service)
    operation = next(one for one in model.operation_names if xform_name(one, "-") == name)
    members = {xform_name(member, "-"): member for member in model.operation_model(operation).input_shape.members}
    given = {option.removeprefix("--"): value for option, value in zip(options[::2], options[1::2], strict=True)}
    asked = {members[name]: value for name, value in given.items() if name not in _OF_EVERY_AWS_COMMAND}
    return service, operation, {name: json.loads(v) if v[0] in "{[" else v for name, v in asked.items()}


@cache
def service_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def parse_command(command: click.Command, words: Sequence[str], parent: click.Context | None = None) -> None:
    """Parse what follows a program's name as click does, without running it; raise click's `UsageError`."""
    context = command.make_context(command.name, list(words), parent=parent, obj=Operator())
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, [*context.protected_args, *context.args])
        assert found
        parse_command(found, rest, context)


def rewritten(file: Path, made: str) -> str:
    """Return a document with what a program makes now in the place of what it made before, between two marks."""
    before, begin, old = re.split("(<!-- made -->\n)", file.read_text())
    return f"{before}{begin}{made}<!-- end -->{old.partition('<!-- end -->')[2]}"
