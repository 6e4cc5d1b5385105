"""`followups dead-letters`: what could not be saved is in one of three queues; list it, send it back, delete it.

Lambda's record of a failed event is JSON (Lambda developer guide, "Capturing records of Lambda asynchronous
invocations"); in the refused queue it has the message attributes `errorType` and `reason`. Scheduler's dead letter is
the target's `Input`, with message attributes such as ERROR_CODE (EventBridge Scheduler user guide).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
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
from followups.manual import ManualGroup, manual
from followups.operator import Operator, rate_option
from followups.output import DONE, FAILED, LEFT, PLANNED, Row, Sheet, column
from followups.records import CHECKSUMS
from followups.stack import FAILURE, QUEUES, REFUSED, RETRY, Stack
from followups.text import error_line, printable, span, visible

if TYPE_CHECKING:
    from click.decorators import FC

# What is there waits for a person.
FOR_A_PERSON = (REFUSED, FAILURE)
# As many as SQS returns at once, and for how long they are hidden from others at most.
_AT_ONCE, _HIDDEN_SECONDS = 10, 300
# Any wait makes SQS ask all its servers; without one it may miss what is there.
_WAIT_SECONDS = 1
# Of the beginning of a message id.
_SHORTEST = 6


@dataclass(frozen=True)
class Letter:
    """A message of a queue: what it is about and why it is there; a `refusal` says why it cannot go back.

    Only the body may not be printed: it holds card data. `checksum` is the verdict, as far as it is known without the
    merchant's key.
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

    def with_event(self) -> dict[str, object]:
        """For programs, with the event, or the text of what is no event; what is secret is masked."""
        try:
            content = json.loads(self.body)
            event: object = json.loads(redacted_event(content.get("requestPayload", content)))
        except (ValueError, AttributeError, RecursionError):
            event = redacted_text(self.body)
        return self.as_data() | {"event": event}


class _Context(Schema):
    function: StrictStr = Field(alias="functionArn")
    condition: StrictStr


class _Record(Schema):
    """What Lambda writes of an event that failed."""

    context: _Context = Field(alias="requestContext")
    payload: Any = Field(alias="requestPayload")
    answer: Any = Field(None, alias="responsePayload")


class Queue:
    """One queue of the stack. At the end of `with`, others can receive again what was received and not deleted."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.name, self._stack, self._url = name, stack, stack.output(name)
        self._held: dict[str, str] = {}  # by message id, the newest handle

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make what is left visible."""
        for handle in self._held.values():
            with suppress(ClientError, BotoCoreError):  # it is visible again some minutes later
                self._stack.sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0)

    def __iter__(self) -> Iterator[Letter]:
        """Receive each letter once that is not hidden."""
        while messages := self._receive():
            new = [message for message in messages if message["MessageId"] not in self._held]
            self._held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            if not new:  # in a long run the first ones are visible again: all were seen
                return
            yield from (_letter(self._stack, self.name, message) for message in new)

    def delete(self, letter: Letter) -> None:
        """Delete a letter. Raises `ClientError` or `BotoCoreError`."""
        self._stack.sqs.delete_message(QueueUrl=self._url, ReceiptHandle=self._held[letter.message_id])
        del self._held[letter.message_id]

    def _receive(self) -> list[Any]:
        answer = self._stack.sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        messages: list[Any] = answer.get("Messages", [])
        return messages


def _letter(stack: Stack, queue: str, message: Any) -> Letter:  # noqa: ANN401 - SQS's
    attributes = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    letter = Letter(queue, message["MessageId"], message["Body"], sent_at, _reason(attributes))
    try:
        content = json.loads(letter.body)
    except (ValueError, RecursionError):
        return letter
    with suppress(BadInput):
        return _of_lambda(stack, letter, _Record.parse(content, InvalidTimer))
    with suppress(BadInput):
        timer = TimerInput.parse(content, InvalidTimer)
        ids = {"chargeId": timer.charge_id, "notificationId": timer.notification_id, "orderId": timer.order_id}
        ids["pass"] = str(timer.number)
        return replace(letter, kind="scheduler", ids=ids, refusal="")
    return letter


def _reason(attributes: Mapping[str, str]) -> str:
    pairs = (("errorType", "reason"), ("ERROR_CODE", "ERROR_MESSAGE"))
    found = (f"{attributes[kind]}: {attributes.get(text, '')}" for kind, text in pairs if kind in attributes)
    return printable(next(found, ""))


def _of_lambda(stack: Stack, letter: Letter, record: _Record) -> Letter:
    # The record names the version too, "...:function:NAME:$LATEST".
    function = ":".join(record.context.function.split(":")[:7])
    foreign = printable(f"{function} is not DelayedNotify of stack {stack.name}")
    ids, checksum = _notification(record.payload)
    return replace(
        letter,
        kind="on-failure",
        ids=ids,
        error=letter.error or (error_line(record.answer) if record.answer else printable(record.context.condition)),
        refusal="" if function == stack.output("DelayedNotifyFunctionArn") else foreign,
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


_COLUMNS = (column("", 1), column("queue", 25), column("of", ratio=1), column("what", ratio=1))
Result = Literal["went back", "stays", "would go back", "lies there"]
_MARKS = {"went back": DONE, "stays": FAILED, "would go back": PLANNED, "lies there": LEFT}
_DRAINS = {
    RETRY: "It drains by itself: each letter is delivered again every {}.",
    REFUSED: "No retry helps: `followups dead-letters discard`, or `redrive` once its cause is gone.",
    FAILURE: "Nothing tries again: `followups dead-letters redrive` once the cause is gone.",
}
_LOOKING = [
    "cloudformation:DescribeStacks the stack",
    "sqs:ReceiveMessage the queues",
    "sqs:ChangeMessageVisibility the queues",
]


def _long_enough(_context: click.Context, _: click.Parameter, letters: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(word) < _SHORTEST for word in letters):
        raise click.BadParameter(f"name a letter by at least {_SHORTEST} characters of its message id")
    return letters


def _chosen(names: tuple[str, ...], metavar: str = "[LETTER]...") -> Callable[["FC"], "FC"]:
    """Add --queue, and the letters by the beginnings of their message ids, to a command."""
    help_ = f"only this one of {', '.join(names)}; may be given several times"
    kind = click.Choice(names, case_sensitive=False)
    queue = click.option("--queue", "queues", type=kind, multiple=True, metavar="QUEUE", help=help_)
    is_required = not metavar.startswith("[")
    letters = click.argument("letters", nargs=-1, required=is_required, callback=_long_enough, metavar=metavar)
    return lambda function: queue(letters(function))


def _those(queue: Iterable[Letter], wanted: tuple[str, ...]) -> Iterator[Letter]:
    return (letter for letter in queue if not wanted or letter.message_id.startswith(wanted))


@click.group("dead-letters", cls=ManualGroup)
def command() -> None:
    """List, redrive or discard what could not be saved.

    It is kept in one of the stack's three queues, for at most 14 days: in RetryQueue while it is tried again, in
    RefusedQueue where no retry can help, in FailureQueue after its last try.
    """


_manual = partial(manual, group=command)


@_manual(
    "list", (*_LOOKING, "sqs:GetQueueAttributes the queues"), "followups dead-letters list --queue RefusedQueue --json"
)
@_chosen(QUEUES)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="at most so many a queue"
)
def list_command(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], limit: int) -> int:
    """List what is in the queues: of which notification, since when, why, and what drains it.

    Each letter is received, hidden from others for a moment, and made visible again; none is moved. A letter that is
    hidden cannot be read, and is only counted: RetryFunction or another redrive has it, or it waits for its next try.
    """
    stack, output = operator.stack, operator.output
    _ = stack.output(RETRY), stack.sqs  # made here: boto3 cannot make clients in two threads at once

    def read(name: str) -> tuple[tuple[int, int, timedelta], list[Letter]]:
        with Queue(stack, name) as queue:
            return stack.queue_counts(name), list(islice(_those(queue, letters), limit))

    names = queues or QUEUES
    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(read, names))
    for name, ((there, hidden, wait), found) in zip(names, results, strict=True):
        _list(operator, found)
        if output.is_table or found or hidden:
            of = f" of about {there}" if there > len(found) == limit else ""
            counts = f"{len(found)}{of} to look at, {hidden} hidden." if hidden else f"{len(found)}{of}."
            output.note(f"{name}: {counts}", _DRAINS[name].format(span(wait)) if found or hidden else "")
    return 0


@_manual("show", _LOOKING, "followups dead-letters show 1f0c5a55")
@_chosen(QUEUES, "LETTER...")
def show(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print all of a letter and its event, without card data, tokens and keys."""
    return _print_events(operator, queues, letters, as_json=operator.output.as_json)


@_manual("export", _LOOKING, "followups dead-letters export --queue RefusedQueue > letters.jsonl")
@_chosen(QUEUES)
def export(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print letters and their events as JSON lines, without card data, tokens and keys."""
    return _print_events(operator, queues, letters, as_json=True)


def _print_events(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, as_json: bool) -> int:
    code = 1
    for name in queues or QUEUES:
        with Queue(operator.stack, name) as queue:
            for letter in _those(queue, letters):
                code, about = 0, letter.with_event()
                if as_json:
                    operator.output.document(about)
                    continue
                for key, value in about.items():
                    operator.output.line(f"{key}:", str(value))
                operator.output.line("")
    return code


@_manual(
    "redrive",
    (*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue", "sqs:SendMessage RetryQueue"),
    "followups dead-letters redrive 1f0c5a55",
    "followups dead-letters redrive --yes --rate 2",
)
@_chosen(FOR_A_PERSON)
@click.option("--dry-run", is_flag=True, help="only print what would go back")
@click.option("--yes", is_flag=True, help="send back what is not named by its id, too")
@rate_option
def redrive(operator: Operator, /, queues: tuple[str, ...], letters: tuple[str, ...], **how: Any) -> int:  # noqa: ANN401
    """Send letters back to the retry queue, and delete them where they were.

    Those whose message ids are named, or all of both queues that wait for a person. RetryFunction delivers each within
    seconds. Without a letter's id nothing is sent before --yes: it prints a plan and the command that sends it. What is
    refused once more is in RefusedQueue again. It may be stopped, and a pass that is done is not run again.
    """
    is_done = not how["dry_run"] and bool(how["yes"] or letters)
    if is_done:
        operator.when_stopped = "Stopped. What is not listed as gone back is where it was; the same command continues."
    counts = _redrive(operator, queues or FOR_A_PERSON, letters, how["rate"] if is_done else None)
    advice = "See the lines above, then redrive again, or discard." if counts["stays"] and is_done else ""
    operator.output.note(f"Dead letters: {counts.total()}, staying: {counts['stays']}.", advice)
    if counts["would go back"]:
        operator.print_command("dead-letters", "redrive", "--yes", *(f"--queue={name}" for name in queues), ids=letters)
    is_unknown = bool(letters) and not counts.total()
    return 1 if counts["stays"] or is_unknown or (counts["would go back"] and not how["dry_run"]) else 0


def _redrive(
    operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], rate: float | None
) -> Counter[Result]:
    """Send the letters back, at most `rate` a second; without a rate print which would go."""
    counts: Counter[Result] = Counter()
    sent: set[int] = set()
    for name in queues:
        sheet = Sheet(operator.output, *_COLUMNS)
        with Queue(operator.stack, name) as queue:
            those = _those(queue, letters)
            for letter in operator.paced(those, rate) if rate else those:
                result, text = _send_back(operator.stack, queue, letter, sent) if rate else _plan(letter)
                sent.add(hash(letter.body))
                counts[result] += 1
                sheet.add(_row(operator, letter, result, text))
    return counts


def _plan(letter: Letter) -> tuple[Result, str]:
    if letter.refusal:
        return "stays", f"stays: {letter.refusal}"
    return "would go back", f"would go back to the retry queue; {letter.error}"


def _send_back(stack: Stack, queue: Queue, letter: Letter, sent: set[int]) -> tuple[Result, str]:
    """Send a letter, *then* delete it: a process that dies in between leaves it where it was.

    One that goes back twice is harmless, since the record knows which passes are done.
    """
    if letter.refusal:
        return "stays", f"stays: {letter.refusal}"
    # What is refused again comes back at once, as a new message of the same body: once is enough.
    if hash(letter.body) in sent:
        return "stays", f"stays: refused again: {letter.error}"
    try:
        stack.sqs.send_message(QueueUrl=stack.output(RETRY), MessageBody=letter.body)
        queue.delete(letter)
    except (ClientError, BotoCoreError) as error:
        return "stays", f"stays: {printable(str(error))}"
    return "went back", "went back to the retry queue"


@_manual(
    "discard",
    (*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue"),
    "followups dead-letters discard 1f0c5a55",
    "followups dead-letters discard --queue FailureQueue --yes",
)
@_chosen(FOR_A_PERSON)
@click.option("--yes", is_flag=True, help="do not ask")
def discard(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, yes: bool) -> int:
    """Delete letters for good.

    Those whose message ids are named, else every letter of the queue. It lists them and asks; without a terminal only
    --yes deletes. Without --queue it is RefusedQueue, in which anybody's nonsense ends. What is in FailureQueue was
    accepted, and is nowhere else: redrive it, if you can.
    """
    results = [_discard(operator, name, letters, yes=yes) for name in queues or (REFUSED,)]
    found, deleted = (sum(column) for column in zip(*results, strict=True))
    operator.output.note(f"Letters: {found}, deleted: {deleted}.")
    return 1 if deleted < found or (letters and not found) else 0


def _discard(operator: Operator, name: str, wanted: tuple[str, ...], *, yes: bool) -> tuple[int, int]:
    with Queue(operator.stack, name) as queue:
        letters = list(_those(queue, wanted))
        _list(operator, letters)
        words = ("dead-letters", "discard", "--yes", f"--queue={name}")
        question = f"Delete {len(letters)} of {name} for good?"
        if letters and not (yes or operator.confirms(question, *words, ids=wanted)):
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


def _list(operator: Operator, letters: list[Letter]) -> None:
    if letters:
        rows = (_row(operator, letter, "lies there", letter.error or letter.refusal) for letter in letters)
        Sheet(operator.output, *_COLUMNS).add(*rows)


def _row(operator: Operator, letter: Letter, result: Result, text: str) -> Row:
    # Clocks differ: nothing was sent after now.
    age = f"{span(max(timedelta(0), operator.clock() - letter.sent_at))} old"
    of = [visible(f"{name.removesuffix('Id')} {value}") for name, value in letter.ids.items()]
    of += [f"checksum {letter.checksum}"] if letter.checksum else []
    ids = [f"{name}={value}" for name, value in ({"messageId": letter.message_id} | dict(letter.ids)).items()]
    ids += [f"checksum={letter.checksum}"] if letter.checksum else []
    short = letter.message_id.partition("-")[0]
    return Row(
        (_MARKS[result], f"{letter.queue}\n{letter.kind}, {age}\n{short}", "\n".join(of), text),
        (letter.queue, letter.kind, " ".join(ids), age, text),
        letter.as_data() | {"result": result, "text": text},
    )
