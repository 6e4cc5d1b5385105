"""The stack's queues and what lies in them: who drains each, and the way back or out.

Two writers, two forms:

- Lambda's record of an asynchronous event that failed or grew too old (Lambda developer guide, "Capturing records
  of Lambda asynchronous invocations"): JSON with `requestContext.functionArn`, `requestContext.condition`
  (`RetriesExhausted`, `EventAgeExceeded`), `requestPayload`, and, where the function answered, `responsePayload`.
  The refused queue has it with the message attributes `errorType` and `reason`.
- Scheduler's dead letter (EventBridge Scheduler user guide, "Retrieve the dead-letter event"): the body is the
  target's `Input` itself, with message attributes such as ERROR_CODE, ERROR_MESSAGE and SCHEDULE_ARN.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self

import click
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field, StrictStr

from callback.checksum import verify
from callback.clock import format_utc
from callback.errors import BadInput, InvalidNotification, InvalidTimer
from callback.notification import parse_notification
from callback.redact import redacted_event, redacted_text
from callback.schema import Schema
from callback.timer import TimerInput
from followups.manual import ManualGroup
from followups.operator import Operator, rate_option
from followups.output import Column, Sheet
from followups.records import CHECKSUMS
from followups.stack import FAILURE, QUEUES, REFUSED, RETRY, Stack, error_line
from followups.text import printable, span, visible

if TYPE_CHECKING:
    from click.decorators import FC
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# What waits there waits for a person.
FOR_A_PERSON = (REFUSED, FAILURE)
# As many as SQS hands out at once, hidden from others for as long as they take at most.
_AT_ONCE, _HIDDEN_SECONDS = 10, 300
# Any wait makes SQS ask all its servers; without one it may miss what is there.
_WAIT_SECONDS = 1


@dataclass(frozen=True)
class Letter:
    """A message of a queue: whose it is and why it is there; a `refusal` says why it cannot go back.

    Of all this only the body may not be printed: it holds card data. `sent_at` is when it came into the queue;
    `checksum` the verdict, as far as it is known without the merchant's key.
    """

    queue: str
    message_id: str
    body: str
    sent_at: datetime
    error: str
    kind: str = "unknown"
    ids: Mapping[str, str] = field(default_factory=dict)
    refusal: str = "neither a record of Lambda's nor a timer"
    checksum: str = ""

    def as_data(self) -> dict[str, object]:
        """For programs, without the body."""
        about = {"checksumStatus": self.checksum, "messageId": self.message_id, "error": self.error}
        return {"queue": self.queue, "kind": self.kind, **self.ids, **about, "sentAt": format_utc(self.sent_at)}

    def masked(self) -> object:
        """The event, with what is secret masked; of what is no letter the text."""
        try:
            content = json.loads(self.body)
            event: object = json.loads(redacted_event(content.get("requestPayload", content)))
        except (ValueError, AttributeError, RecursionError):
            return redacted_text(self.body)
        return event


class InvalidLetter(BadInput):
    """A message is no record of Lambda's."""


class _Context(Schema):
    function: StrictStr = Field(alias="functionArn")
    condition: StrictStr


class _OnFailure(Schema):
    context: _Context = Field(alias="requestContext")
    payload: Any = Field(alias="requestPayload")
    answer: Any = Field(None, alias="responsePayload")


class Queue:
    """One queue of the stack. Used with `with`, it shows again in the end what it has received and not deleted."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.name, self._stack, self._url = name, stack, stack.output(name)
        self._held: dict[str, str] = {}  # by message id, the newest handle

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others receive what is left."""
        for handle in self._held.values():
            with suppress(ClientError, BotoCoreError):  # it shows again by itself, some minutes later
                self._stack.sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0)

    def __iter__(self) -> Iterator[Letter]:
        """Receive each letter once that is not hidden."""
        while messages := self._receive():
            new = [message for message in messages if message["MessageId"] not in self._held]
            self._held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            if not new:  # in a long run the first ones show again: all were seen
                return
            yield from (_letter(self._stack, self.name, message) for message in new)

    def delete(self, letter: Letter) -> None:
        """Delete a letter. Raises `ClientError` or `BotoCoreError`."""
        self._stack.sqs.delete_message(QueueUrl=self._url, ReceiptHandle=self._held[letter.message_id])
        del self._held[letter.message_id]

    def counts(self) -> tuple[int, int, timedelta]:
        """How many letters can be received; how many are in somebody's hands or wait for their next try, and how long.

        The numbers are SQS's estimates.
        """
        number = "ApproximateNumberOfMessages"
        names: Any = [number, f"{number}NotVisible", "VisibilityTimeout"]
        about = self._stack.sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        there, hidden, wait = (int(about[name]) for name in names)
        return there, hidden, timedelta(seconds=wait)

    def _receive(self) -> "list[MessageTypeDef]":
        answer = self._stack.sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        messages: list[MessageTypeDef] = answer.get("Messages", [])
        return messages


def send_back(stack: Stack, queue: Queue, letter: Letter) -> tuple[bool, str]:
    """Send a letter to the retry queue, which delivers it at once; return whether it went, and what to say.

    It is sent, *then* deleted: a process that dies in between leaves the letter where it was. One that goes back twice
    is harmless, since the record knows which passes are done.
    """
    if letter.refusal:
        return False, f"stays: {letter.refusal}"
    try:
        stack.sqs.send_message(QueueUrl=stack.output(RETRY), MessageBody=letter.body)
        queue.delete(letter)
    except (ClientError, BotoCoreError) as error:
        return False, f"stays: {printable(str(error))}"
    return True, "went back to the retry queue"


def _letter(stack: Stack, queue: str, message: "MessageTypeDef") -> Letter:
    said = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    letter = Letter(queue, message["MessageId"], message["Body"], sent_at, _reason(said))
    try:
        content = json.loads(letter.body)
    except (ValueError, RecursionError):
        return letter
    with suppress(BadInput):
        return _of_lambda(stack, letter, _OnFailure.parse(content, InvalidLetter))
    with suppress(BadInput):
        timer = TimerInput.parse(content, InvalidTimer)
        ids = {"chargeId": timer.charge_id, "notificationId": timer.notification_id, "orderId": timer.order_id}
        return replace(letter, kind="scheduler", ids=ids | {"pass": str(timer.number)}, refusal="")
    return letter


def _reason(said: Mapping[str, str]) -> str:
    pairs = (("errorType", "reason"), ("ERROR_CODE", "ERROR_MESSAGE"))
    return next((printable(f"{said[kind]}: {said.get(text, '')}") for kind, text in pairs if kind in said), "")


def _of_lambda(stack: Stack, letter: Letter, record: _OnFailure) -> Letter:
    # The record names the version too, "...:function:NAME:$LATEST".
    function = ":".join(record.context.function.split(":")[:7])
    foreign = printable(f"{function} is not DelayedNotify of stack {stack.name}")
    ids, checksum = _notification(record.payload)
    return replace(
        letter,
        kind="on-failure",
        ids=ids,
        error=letter.error or (error_line(record.answer) if record.answer else printable(record.context.condition)),
        refusal="" if function == stack.delayed_notify else foreign,
        checksum=next((word for word in CHECKSUMS if f"Rejected: checksum {word}" in letter.error), checksum),
    )


def _notification(event: object) -> tuple[dict[str, str], str]:
    try:
        notification = parse_notification(event)
    except InvalidNotification as error:
        return {name: str(value) for name, value in error.about.items() if value}, ""
    verdict = verify(notification, {})
    ids = {name: value for name, value in notification.ids.items() if value}
    return ids, "unchecked" if verdict.retryable else verdict.status


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


def _chosen(names: tuple[str, ...], *, may_be_all: bool = True) -> Callable[["FC"], "FC"]:
    """Add --queue, and the letters by the beginning of their message ids, to a command."""
    help_ = f"only this one of {', '.join(names)}; may be given several times"
    kind = click.Choice(names, case_sensitive=False)
    queue = click.option("--queue", "queues", type=kind, multiple=True, metavar="QUEUE", help=help_)
    metavar = "[LETTER]..." if may_be_all else "LETTER..."
    letters = click.argument("letters", nargs=-1, required=not may_be_all, type=_Prefix(), metavar=metavar)
    return lambda function: queue(letters(function))


class _Prefix(click.ParamType):
    """The beginning of a message id, long enough to mean one."""

    name = "letter"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if len(value) < _SHORTEST:
            self.fail(f"name a letter by at least {_SHORTEST} characters of its message id", param, ctx)
        return value


def _those(queue: Iterable[Letter], wanted: tuple[str, ...]) -> Iterator[Letter]:
    return (letter for letter in queue if not wanted or letter.message_id.startswith(wanted))


@click.group(
    "dead-letters",
    cls=ManualGroup,
    help="""What could not be saved is kept in one of the stack's three queues, for at most 14 days: in RetryQueue while
it is tried again, in RefusedQueue where no retry can help, in FailureQueue after its last try.""",
)
def command() -> None:
    """Look at letters, redrive or discard them."""


@command.command(
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
    exits={0: "listed, even if there is nothing", 2: "it could not be listed"},
    permissions=[*_LOOKING, "sqs:GetQueueAttributes the queues"],
)
@_chosen(QUEUES)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help=_LIMITED)
@click.pass_obj
def list_command(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], limit: int) -> int:
    """Print a row for each letter, and a line for each queue."""
    _ = operator.stack.outputs, operator.stack.sqs  # made here: boto3 cannot make clients in two threads at once

    def read(name: str) -> tuple[tuple[int, int, timedelta], list[Letter]]:
        with Queue(operator.stack, name) as queue:
            return queue.counts(), list(islice(_those(queue, letters), limit))

    names = queues or QUEUES
    with ThreadPoolExecutor(len(names)) as pool:
        looked = list(pool.map(read, names))
    for name, ((there, hidden, wait), found) in zip(names, looked, strict=True):
        seen = _show(operator, found)
        if operator.output.is_table or seen or hidden:
            of = f" of about {there}" if there > len(seen) == limit else ""
            counts = f"{len(seen)}{of} to look at, {hidden} hidden." if hidden else f"{len(seen)}{of}."
            operator.output.note(f"{name}: {counts}", _DRAINS[name].format(span(wait)) if seen or hidden else "")
    return 0


@command.command(
    "show",
    help="""Say all that is known of a letter: of which notification, since when, why, and the event itself. Card data,
tokens and keys are masked in it.""",
    short_help="All of a letter, its event masked.",
    examples={"followups dead-letters show 1f0c5a55": "the one whose message id begins so"},
    exits={0: "shown", 1: "no letter has that id"},
    permissions=_LOOKING,
)
@_chosen(QUEUES, may_be_all=False)
@click.pass_obj
def show(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print each letter and its event."""
    found = 0
    for letter in _received(operator, queues, letters):
        about = letter.as_data() | {"event": letter.masked()}
        found += 1
        for name, value in about.items() if not operator.output.as_json else ():
            operator.output.line(f"{name}:", str(value))
        operator.output.document(about) if operator.output.as_json else operator.output.line("")
    return 0 if found else 1


@command.command(
    "export",
    help="""Print letters as JSON lines, each with its event, in which card data, tokens and keys are masked: for a
ticket, or to look through many. No letter is moved; what is raw stays in the queue.""",
    short_help="Letters as JSON lines, their events masked.",
    examples={"followups dead-letters export --queue RefusedQueue > letters.jsonl": "all of a queue"},
    exits={0: "exported", 1: "there was nothing"},
    permissions=_LOOKING,
)
@_chosen(QUEUES)
@click.pass_obj
def export(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print a JSON line for each letter."""
    count = 0
    for letter in _received(operator, queues, letters):
        operator.output.document(letter.as_data() | {"event": letter.masked()})
        count += 1
    return 0 if count else 1


def _received(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> Iterator[Letter]:
    for name in queues or QUEUES:
        with Queue(operator.stack, name) as queue:
            yield from _those(queue, letters)


@command.command(
    "redrive",
    help="""Send letters back to the retry queue, and delete them where they were: those whose message ids are named, or
all of both queues that wait for a person. RetryFunction delivers each within seconds, and again and again while it
cannot be saved.

Without a letter's id nothing is done before --yes: what would go back is printed, and the command that does it. What is
refused once more is in RefusedQueue again. Nothing is lost if it is stopped, and a pass that is done is not run again:
the record knows.""",
    short_help="Send what lies there back to where it is delivered.",
    examples={
        "followups dead-letters redrive": "say what would go back",
        "followups dead-letters redrive --yes --rate 2": "send it back, two a second at most",
        "followups dead-letters redrive 1f0c5a55": "the one whose message id begins so",
        "followups dead-letters redrive --queue FailureQueue --yes": "one of the queues",
    },
    exits={
        0: "all went back, or nothing was there; --dry-run: said",
        1: "something stays: it cannot go back, or --yes was not given",
    },
    permissions=[*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue", "sqs:SendMessage RetryQueue"],
)
@_chosen(FOR_A_PERSON)
@click.option("--dry-run", is_flag=True, help="only say what lies there and what would go back")
@click.option("--yes", is_flag=True, help="send back what is not named by its id, too")
@rate_option
@click.pass_obj
def redrive(operator: Operator, /, queues: tuple[str, ...], letters: tuple[str, ...], **how: Any) -> int:  # noqa: ANN401
    """Send the letters back, or say which would go."""
    counts: Counter[Result] = Counter()
    sent: set[int] = set()
    does = not how["dry_run"] and (how["yes"] or bool(letters))
    operator.when_stopped = _STOPPED if does else operator.when_stopped
    for name in queues or FOR_A_PERSON:
        with Queue(operator.stack, name) as queue, Sheet(operator.output, *_COLUMNS) as sheet:
            those = _those(queue, letters)
            for letter in operator.paced(those, how["rate"], lambda _: True) if does else those:
                result, text = _send_back(operator, queue, letter, sent) if does else _plan(letter)
                sent.add(hash(letter.body))
                counts[result] += 1
                _add(operator, sheet, letter, result, text)
    advice = "Look at what the lines above say, then redrive again, or discard." if counts["stays"] and does else ""
    operator.output.note(f"Dead letters: {counts.total()}, staying: {counts['stays']}.", advice)
    if not does and counts["would go back"]:
        words = ("dead-letters", "redrive", "--yes", *(f"--queue={name}" for name in queues))
        operator.output.note(f"Nothing was changed. To do it:  {operator.stack.command(*words, ids=letters)}")
    is_missing = bool(letters) and not counts.total()
    return 1 if counts["stays"] or is_missing or (counts["would go back"] and not how["dry_run"]) else 0


@command.command(
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
    },
    permissions=[*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue"],
)
@_chosen(FOR_A_PERSON)
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
def discard(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, yes: bool) -> int:
    """Delete the letters, once a person has agreed."""
    results = [_discard(operator, name, letters, yes=yes) for name in queues or (REFUSED,)]
    found, deleted = (sum(column) for column in zip(*results, strict=True))
    operator.output.note(f"Letters: {found}, deleted: {deleted}.")
    return 1 if deleted < found or (letters and not found) else 0


def _discard(operator: Operator, name: str, wanted: tuple[str, ...], *, yes: bool) -> tuple[int, int]:
    with Queue(operator.stack, name) as queue:
        letters = _show(operator, _those(queue, wanted))
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


def _show(operator: Operator, queue: Iterable[Letter]) -> list[Letter]:
    letters = []
    with Sheet(operator.output, *_COLUMNS) as sheet:
        for letter in queue:
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
    sheet.add(
        (_MARKS[result], f"{letter.queue}\n{letter.kind}, {age}\n{short}", "\n".join(of), text),
        (letter.queue, letter.kind, f"messageId={letter.message_id} {ids}", age, text),
        letter.as_data() | {"result": result, "text": text},
    )
