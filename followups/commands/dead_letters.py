"""`followups dead-letters`: what lies in the queues, the way back, and the way out."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import islice
from typing import Literal

import click
from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import format_utc
from followups.dead_letters import FOR_A_PERSON, QUEUES, REFUSED, Letter, Queue, send_back
from followups.invocation import printable
from followups.manual import ManualGroup
from followups.operator import Operator
from followups.output import Column, Sheet, visible
from followups.times import span

_COLUMNS = (Column("", 1), Column("queue", 25), Column("of", ratio=1), Column("what", ratio=1))
Result = Literal["went back", "stays", "would go back", "lies there"]
_MARKS: dict[Result, tuple[str, str]] = {
    "went back": ("✓", "green"),
    "stays": ("✗", "bold red"),
    "would go back": ("→", "yellow"),
    "lies there": ("·", "yellow"),
}
_DRAINS = {
    "RetryQueue": "It drains by itself: each letter is delivered again every {}.",
    "RefusedQueue": "No retry helps: `followups dead-letters discard`, or `redrive` once its cause is gone.",
    "FailureQueue": "Nothing tries again: `followups dead-letters redrive` once the cause is gone.",
}
_SHORTEST = 6
_LIMITED = "no more than so many of each queue"
_STOPPED = "Stopped. What is not said to have gone back is where it was; the same command goes on."
_LOOKING = [
    "cloudformation:DescribeStacks the stack",
    "sqs:ReceiveMessage the queues",
    "sqs:ChangeMessageVisibility the queues",
]


def _queue_option(names: tuple[str, ...]) -> Callable[["click.decorators.FC"], "click.decorators.FC"]:
    help_ = f"only this one of {', '.join(names)}; may be given several times"
    kind = click.Choice(names, case_sensitive=False)
    return click.option("--queue", "queues", type=kind, multiple=True, metavar="QUEUE", help=help_)


@click.group(
    "dead-letters",
    cls=ManualGroup,
    help="""What could not be saved is kept in one of the stack's three queues, for at most 14 days: in RetryQueue while
it is tried again, in RefusedQueue where no retry can help, in FailureQueue after its last try.""",
    short_help="What could not be saved: list it, redrive it, or discard it.",
)
def dead_letters() -> None:
    """List, redrive or discard."""


@dead_letters.command(
    "list",
    help="""Say what is in the queues: of which notification, since when and why, and who drains the queue. Each letter
is received, hidden for a moment from others, and shown again; none is moved.

A letter that is hidden cannot be looked at, and is only counted: RetryFunction or another redrive has it, or it waits
for its next try.""",
    short_help="What lies there, and why.",
    examples={
        "followups dead-letters list": "all three queues",
        "followups dead-letters list --queue RefusedQueue --json": "one of them, as JSON lines",
    },
    exits={0: "listed, if only nothing", 2: "it could not be listed", 130: "stopped"},
    permissions=[*_LOOKING, "sqs:GetQueueAttributes the queues"],
)
@_queue_option(QUEUES)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help=_LIMITED)
@click.pass_obj
def list_command(operator: Operator, queues: tuple[str, ...], limit: int) -> int:
    """Print a row for each letter, and a line for each queue."""
    for name in queues or QUEUES:
        with Queue(operator.stack, name) as queue:
            there, hidden, wait = queue.counts()
            seen = _show(operator, islice(queue, limit), lambda _: True)
        if operator.output.is_table or seen or hidden:
            of = f" of about {there}" if there > len(seen) == limit else ""
            counts = f"{len(seen)}{of} to look at, {hidden} hidden." if hidden else f"{len(seen)}{of}."
            operator.output.note(f"{name}: {counts}", _DRAINS[name].format(span(wait)) if seen or hidden else "")
    return 0


@dead_letters.command(
    "redrive",
    help="""Send each letter back to the retry queue, and delete it where it was. RetryFunction delivers it within
seconds, and again and again while it cannot be saved.

What is refused once more is in RefusedQueue again. Nothing is lost if it is stopped, and a pass that is done is not run
again: the record knows.""",
    short_help="Send what lies there back to where it is delivered.",
    examples={
        "followups dead-letters redrive --dry-run": "what would go back",
        "followups dead-letters redrive": "both queues that wait for a person",
        "followups dead-letters redrive --queue FailureQueue": "one of them",
    },
    exits={0: "all went back, or nothing was there", 1: "something stays", 2: "it could not be tried", 130: "stopped"},
    permissions=[*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue", "sqs:SendMessage RetryQueue"],
)
@_queue_option(FOR_A_PERSON)
@click.option("--dry-run", is_flag=True, help="only say what lies there and what would go back")
@click.pass_obj
def redrive(operator: Operator, queues: tuple[str, ...], *, dry_run: bool) -> int:
    """Send the letters back, or say which would go."""
    counts: Counter[Result] = Counter()
    sent: set[int] = set()
    operator.when_stopped = operator.when_stopped if dry_run else _STOPPED
    for name in queues or FOR_A_PERSON:
        with Queue(operator.stack, name) as queue, Sheet(operator.output, *_COLUMNS) as sheet:
            for letter in queue:
                result, text = _plan(letter) if dry_run else _send_back(operator, queue, letter, sent)
                sent.add(hash(letter.body))
                counts[result] += 1
                _add(operator, sheet, letter, result, text)
    advice = "Look at what the lines above say, then redrive again, or discard." if counts["stays"] else ""
    if dry_run:
        advice = "Nothing was changed; without --dry-run they go back."
    operator.output.note(f"Dead letters: {counts.total()}, staying: {counts['stays']}.", advice)
    return 1 if counts["stays"] else 0


@dead_letters.command(
    "discard",
    help="""Delete letters for good: those whose message ids are named (or what these begin with, as `list` shows it),
else every letter of the queue. They are shown first, and you are asked; without a terminal only --yes deletes.

Without --queue it is RefusedQueue, in which anybody's nonsense ends. What is in FailureQueue was accepted, and is
nowhere else: redrive it, if you can.""",
    short_help="Delete what is nonsense, for good.",
    examples={
        "followups dead-letters discard": "every letter of RefusedQueue, after a question",
        "followups dead-letters discard 1f0c5a55": "the one letter whose id begins so",
        "followups dead-letters discard --queue FailureQueue --yes": "of the other queue, without a question",
    },
    exits={
        0: "deleted, or nothing was there",
        1: "something stays: you said no, --yes was not given, no letter has that id, or it could not be deleted",
        2: "it could not be tried",
        130: "stopped",
    },
    permissions=[*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue"],
)
@_queue_option(FOR_A_PERSON)
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
def discard(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, yes: bool) -> int:
    """Delete the letters, once a person has agreed."""
    if any(len(letter) < _SHORTEST for letter in letters):
        raise click.UsageError(f"name a letter by at least {_SHORTEST} characters of its message id")
    results = [_discard(operator, name, letters, yes=yes) for name in queues or (REFUSED,)]
    found, deleted = (sum(column) for column in zip(*results, strict=True))
    operator.output.note(f"Letters: {found}, deleted: {deleted}.")
    return 1 if deleted < found or (letters and not found) else 0


def _discard(operator: Operator, name: str, wanted: tuple[str, ...], *, yes: bool) -> tuple[int, int]:
    with Queue(operator.stack, name) as queue:
        letters = _show(operator, queue, lambda letter: not wanted or letter.message_id.startswith(wanted))
        words = ("dead-letters", "discard", "--yes", f"--queue={name}")
        question = f"Delete {len(letters)} of {name} for good?"
        if letters and not (yes or operator.agrees(question, *words, ids=wanted)):
            return len(letters), 0
        operator.when_stopped = "Stopped. Some letters may have been deleted; the others are where they were."
        return len(letters), sum(_delete(operator, queue, letter) for letter in letters)


def _delete(operator: Operator, queue: Queue, letter: Letter) -> bool:
    try:
        queue.delete(letter)
    except (ClientError, BotoCoreError) as error:
        operator.output.note(f"{letter.message_id} could not be deleted: {printable(str(error))}")
        return False
    return True


def _show(operator: Operator, queue: Iterable[Letter], is_wanted: Callable[[Letter], bool]) -> list[Letter]:
    letters = []
    with Sheet(operator.output, *_COLUMNS) as sheet:
        for letter in filter(is_wanted, queue):
            _add(operator, sheet, letter, "lies there", letter.error or letter.refusal)
            letters.append(letter)
    return letters


def _plan(letter: Letter) -> tuple[Result, str]:
    if letter.refusal:
        return "stays", f"stays: {letter.refusal}"
    return "would go back", f"would go back to the retry queue; {letter.error}"


def _send_back(operator: Operator, queue: Queue, letter: Letter, sent: set[int]) -> tuple[Result, str]:
    # What is refused again comes back at once, as a new message of the same body: once is enough.
    if hash(letter.body) in sent:
        return "stays", f"stays: refused again: {letter.error}"
    went, text = send_back(operator.stack, queue, letter)
    return "went back" if went else "stays", text


def _add(operator: Operator, sheet: Sheet, letter: Letter, result: Result, text: str) -> None:
    # Clocks differ: nothing was sent after now.
    age = f"{span(max(timedelta(0), operator.clock() - letter.sent_at))} old"
    of = [visible(f"{name.removesuffix('Id')} {value}") for name, value in letter.ids.items()]
    of += [f"checksum {letter.checksum}"] if letter.checksum else []
    ids = " ".join(f"{name}={value}" for name, value in letter.ids.items())
    short = letter.message_id.partition("-")[0]
    ids += f" checksum={letter.checksum}" if letter.checksum else ""
    about = {
        "checksumStatus": letter.checksum,
        "messageId": letter.message_id,
        "sentAt": format_utc(letter.sent_at),
        "error": letter.error,
    }
    sheet.add(
        (_MARKS[result], f"{letter.queue}\n{letter.kind}, {age}\n{short}", "\n".join(of), text),
        (letter.queue, letter.kind, f"messageId={letter.message_id} {ids}", age, text),
        {"queue": letter.queue, "kind": letter.kind, **letter.ids, **about, "result": result, "text": text},
    )
