"""What the page shows: a look, what is told of the last hour, and the stories of what was clicked on or asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError

from callback.schema import MAX_ID_BYTES as MAX_ID, MAX_SORT_ID_BYTES as MAX_SORT_ID
from followups.board.measures import Minute, Recheck, minutes, rechecks
from followups.board.records import Records
from followups.moments import Moment
from followups.notifications import Saved, found, one
from followups.overview import HOUR, Look
from followups.problems import Problem, problem
from followups.stack import Stack, StackError
from followups.timeline import timeline

_EXPECTED = (StackError, ClientError, BotoCoreError)


@dataclass(frozen=True)
class Hour:
    """What is told of the last hour; `rechecks` is None where their records could not be read."""

    minutes: Sequence[Minute]
    rechecks: Sequence[Recheck] | None
    sampled: int = 0


@dataclass(frozen=True)
class Asked:
    """What the address asks for beside the board: a word to find, or one notification by its key."""

    word: str = ""
    charge: str = ""
    notification: str = ""

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.word or (self.charge and self.notification))


@dataclass(frozen=True)
class Story:
    """One notification and what became of it."""

    saved: Saved
    moments: Sequence[Moment]


@dataclass(frozen=True)
class Panel:
    """The stories that were asked for, or what stood in the way."""

    asked: Asked
    stories: Sequence[Story] = ()
    problem: Problem | None = None


def hour(look: Look, records: Records) -> Hour:
    """Tell of the last hour; the board is a board without its sample, too."""
    try:
        read = records.sample(look)
        return Hour(minutes(look), rechecks(read, look.delays, look.at - HOUR), len(read))
    except _EXPECTED:  # the next look says what is wrong, if it lasts
        return Hour(minutes(look), None)


def panel(stack: Stack, asked: Asked, now: datetime) -> Panel:
    """Tell the stories that are asked for, the newest first."""
    try:
        stories = [Story(saved, timeline(stack, saved, now)) for saved in reversed(_saved(stack, asked))]
    except _EXPECTED as error:
        return Panel(asked, problem=problem(error))
    return Panel(asked, stories)


def _saved(stack: Stack, asked: Asked) -> list[Saved]:
    # No id of ours is longer, and DynamoDB refuses much longer ones.
    if asked.word:
        return found(stack, asked.word[:MAX_ID])
    saved = one(stack, asked.charge[:MAX_ID], asked.notification[:MAX_SORT_ID])
    return [saved] if saved else []
