"""What preflight says of one thing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "stop"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it ("" where nothing is to be done).

    `stop`: a deployment would fail, or break its promise. `permission` names the question's, where AWS did not
    answer it: denied or failed.
    """

    level: Level
    subject: str
    text: str
    todo: str = ""
    permission: str = ""


class Unread(Exception):
    """AWS did not answer a question; `finding` says which, and the permission that was missing if one was."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


def each(*checks: Iterable[Finding]) -> Iterator[Finding]:
    """Go through checks one after the other: a question without an answer ends its own check, and no other."""
    for check in checks:
        try:
            yield from check
        except Unread as error:
            yield error.finding
