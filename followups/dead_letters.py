"""`followups dead-letters`: what could not be saved is in one of three queues; list it, send it back, delete it.

Lambda's record of a failed event is JSON (Lambda developer guide, "Capturing records of Lambda asynchronous
invocations"); in the refused queue it has the message attributes `errorType` and `reason`. Scheduler's dead letter is
the target's `Input`, with message attributes such as ERROR_CODE (EventBridge Scheduler user guide).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import click
from botocore.exceptions import BotoCoreError, ClientError

from callback.checksum import verify
from callback.errors import BadInput, InvalidNotification, InvalidTimer
from callback.notification import parse_notification
from callback.redact import redacted_event, redacted_text
from callback.table import format_utc
from callback.timer import TimerInput
from followups.command import ManualGroup, Operator, manual
from followups.outcome import Change, Result, dry_run_option, rate_option, yes_option
from followups.output import Column, Row, Sheet, error_line, printable, span, visible
from followups.records import CHECKSUMS, IDS
from followups.stack import FAILURE, QUEUES, REFUSED, RETRY, Stack

if TYPE_CHECKING:
    from click.decorators import FC

# What is there waits for a person.
FOR_A_PERSON = (REFUSED, FAILURE)
# As many as SQS returns at once, and for how long they are hidden from others at most. Any wait makes SQS ask all its
# servers; without one it may miss what is there.
_RECEIVE = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 300, "WaitTimeSeconds": 1}
_ASKED = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["SentTimestamp"]}
# Of the beginning of a message id.
_SHORTEST = 6
_COLUMNS = (Column("", 1), Column("queue", 25), Column("about", ratio=1), Column("what", ratio=1))
_DRAINS = {
    RETRY: "It drains by itself: each letter is delivered again every {}.",
    REFUSED: "No retry helps: `followups dead-letters discard`, or `redrive` once its cause is gone.",
    FAILURE: "Nothing tries again: `followups dead-letters redrive` once the cause is gone.",
}


@dataclass(frozen=True)
class Letter:
    """A message of a queue: what it is about and why it is there; a `refusal` says why it cannot be sent back.

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

    @property
    def reason(self) -> str:
        """Why it is there, as far as is known."""
        return self.error or self.refusal

    def row(self, now: datetime) -> Row:
        """Return it in each form, without the body."""
        # Clocks differ: nothing was sent after now.
        age = f"{span(max(timedelta(0), now - self.sent_at))} old"
        names = dict(self.ids) | ({"checksum": self.checksum} if self.checksum else {})
        of = "\n".join(visible(f"{name.removesuffix('Id')} {value}") for name, value in names.items())
        line = " ".join(f"{name}={value}" for name, value in ({"messageId": self.message_id} | names).items())
        queue = f"{self.queue}\n{self.kind}, {age}\n{self.message_id.partition('-')[0]}"
        return Row((queue, of), (self.queue, self.kind, line, age), self.as_data())

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


@dataclass
class Letters:
    """The letters of some queues, or those whose message ids begin as asked.

    At the end of `with`, others can receive again what was received and not deleted.
    """

    stack: Stack
    queues: tuple[str, ...]
    asked: tuple[str, ...] = ()
    _held: dict[str, dict[str, str]] = field(default_factory=dict)  # by message id: its queue and its newest handle

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make what is left visible."""
        for place in self._held.values():
            with suppress(ClientError, BotoCoreError):  # it is visible again some minutes later
                self.stack.sqs.change_message_visibility(**place, VisibilityTimeout=0)

    def __iter__(self) -> Iterator[Letter]:
        """Receive each letter once that is not hidden."""
        for name in self.queues:
            url = self.stack.output(name)
            while messages := self.stack.sqs.receive_message(QueueUrl=url, **_RECEIVE, **_ASKED).get("Messages"):
                new = [message for message in messages if message["MessageId"] not in self._held]
                for message in messages:
                    self._held[message["MessageId"]] = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
                if not new:  # in a long run the first ones are visible again: all were seen
                    break
                letters = (_letter(self.stack, name, message) for message in new)
                yield from (one for one in letters if not self.asked or one.message_id.startswith(self.asked))

    def delete(self, letter: Letter) -> None:
        """Delete a letter. Raises `ClientError` or `BotoCoreError`."""
        self.stack.sqs.delete_message(**self._held[letter.message_id])
        del self._held[letter.message_id]


def _letter(stack: Stack, queue: str, message: Any) -> Letter:  # noqa: ANN401 - SQS's
    attributes = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
    pairs = (("errorType", "reason"), ("ERROR_CODE", "ERROR_MESSAGE"))
    errors = (f"{attributes[kind]}: {attributes.get(text, '')}" for kind, text in pairs if kind in attributes)
    error = printable(next(errors, ""))
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    about = {"error": error} | _content(stack, message["Body"], error)
    return Letter(queue, message["MessageId"], message["Body"], sent_at, **about)


def _content(stack: Stack, body: str, error: str) -> dict[str, Any]:
    """Return what a letter's body tells; nothing where it is neither a record of Lambda's nor a timer."""
    with suppress(ValueError, RecursionError, BadInput):
        match content := json.loads(body):
            case {"requestContext": {"functionArn": str(arn), "condition": str(condition)}, "requestPayload": event}:
                answer = content.get("responsePayload")
                why = error or (error_line(answer) if answer else printable(condition))
                return {"error": why, **_of_lambda(stack, arn, event, error)}
        TimerInput.parse(content, InvalidTimer)
        return {"kind": "scheduler", "ids": {name: str(content[name]) for name in (*IDS, "pass")}, "refusal": ""}
    return {}


def _of_lambda(stack: Stack, arn: str, event: object, error: str) -> dict[str, Any]:
    # The record names the version too, "...:function:NAME:$LATEST".
    function = ":".join(arn.split(":")[:7])
    is_ours = function == stack.output("DelayedNotifyFunctionArn")
    refusal = "" if is_ours else printable(f"{function} is not DelayedNotify of stack {stack.name}")
    ids, checksum = _notification(event)
    rejected = (word for word in CHECKSUMS if f"Rejected: checksum {word}" in error)
    return {"kind": "on-failure", "ids": ids, "refusal": refusal, "checksum": next(rejected, checksum)}


def _notification(event: object) -> tuple[dict[str, str], str]:
    try:
        notification = parse_notification(event)
    except InvalidNotification as error:
        return {name: str(value) for name, value in error.about.items() if value}, ""
    verdict = verify(notification, {})
    ids = {name: value for name, value in notification.ids.items() if value}
    return ids, "unchecked" if verdict.retryable else verdict.status


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


@click.group("dead-letters", cls=ManualGroup)
def command() -> None:
    """List, redrive or discard what could not be saved.

    It is kept in one of the stack's three queues, for at most 14 days: in RetryQueue while it is tried again, in
    RefusedQueue where no retry can help, in FailureQueue after its last try.
    """


_LOOKING = (
    "cloudformation:DescribeStacks the stack",
    "sqs:ReceiveMessage the queues",
    "sqs:ChangeMessageVisibility the queues",
)
_DELETING = (*_LOOKING, "sqs:DeleteMessage RefusedQueue, FailureQueue")
_manual = partial(manual, group=command)


@_manual(
    "list", (*_LOOKING, "sqs:GetQueueAttributes the queues"), "followups dead-letters list --queue RefusedQueue --json"
)
@_chosen(QUEUES)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="at most so many a queue"
)
def list_command(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], limit: int) -> int:
    """List what is in the queues, why, and what drains it.

    Each letter is received, hidden from others for a moment, and made visible again; none is moved. A letter that is
    hidden cannot be read, and is only counted: RetryFunction or another redrive has it, or it waits for its next try.
    """
    stack, output, now = operator.stack, operator.output, operator.clock()
    _ = stack.output(RETRY), stack.sqs  # made here: boto3 cannot make clients in two threads at once

    def read(name: str) -> tuple[tuple[int, int, timedelta], list[Letter]]:
        with Letters(stack, (name,), letters) as those:
            return stack.queue_counts(name), list(islice(those, limit))

    names = queues or QUEUES
    with ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(read, names))
    for name, ((there, hidden, wait), found) in zip(names, results, strict=True):
        rows = [Result("waiting", letter.reason).row(letter.row(now)) for letter in found]
        if rows:
            Sheet(output, *_COLUMNS).add(*rows)
        if output.is_table or found or hidden:
            count = f"{len(found)} of about {there}" if there > len(found) == limit else f"{len(found)}"
            count += f" visible, {hidden} hidden" if hidden else ""
            output.note(f"{name}: {count}.", _DRAINS[name].format(span(wait)) if found or hidden else "")
    return 0


@_manual("show", _LOOKING, "followups dead-letters show 1f0c5a55")
@_chosen(QUEUES, "LETTER...")
def show(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print a letter and its event, with what is secret masked."""
    return _print_events(operator, queues, letters, as_json=operator.output.as_json)


@_manual("export", _LOOKING, "followups dead-letters export --queue RefusedQueue > letters.jsonl")
@_chosen(QUEUES)
def export(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...]) -> int:
    """Print letters and their events as JSON lines, masked."""
    return _print_events(operator, queues, letters, as_json=True)


def _print_events(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, as_json: bool) -> int:
    code, output = 1, operator.output
    with Letters(operator.stack, queues or QUEUES, letters) as those:
        for letter in those:
            code = 0
            if as_json:
                output.document(letter.with_event())
                continue
            for line in json.dumps(letter.with_event(), indent=2, ensure_ascii=False).splitlines():
                output.line(line)
    return code


@_manual(
    "redrive",
    (*_DELETING, "sqs:SendMessage RetryQueue"),
    "followups dead-letters redrive 1f0c5a55",
    "followups dead-letters redrive --yes --rate 2",
)
@_chosen(FOR_A_PERSON)
@dry_run_option
@yes_option
@rate_option
def redrive(operator: Operator, /, queues: tuple[str, ...], letters: tuple[str, ...], **how: Any) -> int:  # noqa: ANN401
    """Send letters back to the retry queue.

    Those whose message ids are named, or all of both queues that wait for a person. Each is deleted where it was, and
    RetryFunction delivers it within seconds. Without a letter's id nothing is sent before --yes: it prints a plan and
    the command that sends it. What is refused once more is in RefusedQueue again. It may be stopped, and a pass that is
    done is not run again.
    """
    with Letters(operator.stack, queues or FOR_A_PERSON, letters) as those:
        change = _change(operator, "redrive", those, queues, rate=how["rate"])
        return change.run(those, yes=how["yes"] or bool(letters), dry_run=how["dry_run"])


@_manual(
    "discard",
    _DELETING,
    "followups dead-letters discard 1f0c5a55",
    "followups dead-letters discard --queue FailureQueue --yes",
)
@_chosen(FOR_A_PERSON)
@yes_option
def discard(operator: Operator, queues: tuple[str, ...], letters: tuple[str, ...], *, yes: bool) -> int:
    """Delete letters for good.

    Those whose message ids are named, else every letter of the queue. It lists them and asks; without a terminal only
    --yes deletes. Without --queue it is RefusedQueue, in which anybody's nonsense ends. What is in FailureQueue was
    accepted, and is nowhere else: redrive it, if you can.
    """
    with Letters(operator.stack, queues or (REFUSED,), letters) as those:
        found = list(those)
        question = f"Delete {len(found)} of {', '.join(those.queues)} for good?"
        return _change(operator, "discard", those, queues, question=question).run(found, yes=yes)


def _change(operator: Operator, name: str, those: Letters, queues: tuple[str, ...], **how: Any) -> Change[Letter]:  # noqa: ANN401 - Change's
    """Letters leave their queues: `redrive` sends each to the retry queue first."""
    stack, sent, word = operator.stack, set[int](), "sent" if name == "redrive" else "deleted"

    def plan(_: Operator, letter: Letter) -> Result:
        # What is refused again comes back at once, as a new message of the same body: once is enough.
        refusal = f"refused again: {letter.error}" if hash(letter.body) in sent else letter.refusal
        if word == "sent" and refusal:
            return Result("kept", f"kept: {refusal}")
        return Result("planned", f"would be {word}; {letter.reason}")

    def do(_: Operator, letter: Letter) -> Result:
        try:
            if word == "sent":  # and *then* deleted: twice is harmless, the record knows which passes are done
                sent.add(hash(letter.body))
                stack.sqs.send_message(QueueUrl=stack.output(RETRY), MessageBody=letter.body)
            those.delete(letter)
        except (ClientError, BotoCoreError) as error:
            return Result("kept", f"kept: {printable(str(error))}")
        return Result(word, f"{word}; {letter.reason}")

    words = ("dead-letters", name, "--yes", *(f"--queue={queue}" for queue in queues))
    sheet, about = Sheet(operator.output, *_COLUMNS), partial(Letter.row, now=operator.clock())
    return Change(operator, name, sheet, about, plan, do, words=words, ids=those.asked, **how)
