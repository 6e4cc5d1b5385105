"""`followups dead-letters`: what could not be saved is in one of three queues; list it, send it back, delete it.

Lambda's record of a failed event is JSON (Lambda developer guide, "Capturing records of Lambda asynchronous
invocations"). Scheduler's dead letter is the target's `Input` (EventBridge Scheduler user guide).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import click

from callback.errors import BadInput, InvalidNotification, InvalidTimer
from callback.notification import parse_notification
from callback.redact import redacted_event, redacted_text
from callback.table import AWS_ERRORS, format_utc
from callback.timer import TimerInput
from followups.change import CHANGING, COLUMNS, Change, Result
from followups.cli import LETTERS, ManualGroup, Operator, keep, manual, shared
from followups.output import Row, error_line, printable, span
from followups.records import IDS
from followups.stack import FAILURE, QUEUES, REFUSED, RETRY, Stack

FOR_A_PERSON = (REFUSED, FAILURE)  # what is there waits for one
# As many as SQS returns at once, hidden from others for at most this long. Without a wait SQS may miss messages.
_RECEIVE: dict[str, Any] = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 300, "WaitTimeSeconds": 1}
_RECEIVE |= {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["SentTimestamp"]}
# Message attributes: the kind of an error, and its text; this project's, and Scheduler's.
_ERRORS = (("errorType", "reason"), ("ERROR_CODE", "ERROR_MESSAGE"))
_SHORTEST, _MOST_LISTED = 6, 100  # characters of a message id, and letters of a queue
_DRAINS = {
    RETRY: "It drains by itself: each letter is delivered again every 12 to 15 minutes.",
    REFUSED: "No retry helps: `{discard}`, or `{redrive}` once its cause is gone.",
    FAILURE: "Nothing tries again: `{redrive}` once the cause is gone.",
}


@dataclass(frozen=True)
class Letter:
    """A message of a queue: what it is about and why it is there; a `refusal` says why it cannot be sent back."""

    queue: str
    message_id: str
    body: str  # never printed: it holds card data
    sent_at: datetime
    error: str = ""
    kind: str = "unknown"
    ids: Mapping[str, str] = field(default_factory=dict)
    refusal: str = "neither a record of Lambda's nor a timer"

    def row(self, now: datetime) -> Row:
        """Return it without the body."""
        place = (self.queue, self.kind, self.message_id.partition("-")[0])
        about = [f"{name.removesuffix('Id')} {value}" for name, value in self.ids.items()]
        # Clocks differ: no message was sent after now.
        about.append(f"{span(max(timedelta(0), now - self.sent_at))} old")
        record = {"queue": self.queue, "kind": self.kind, **self.ids, "messageId": self.message_id, "error": self.error}
        return Row(("\n".join(place), "\n".join(about)), record | {"sentAt": format_utc(self.sent_at)})

    def event(self) -> object:
        """Return the event, or the text of what is no event; what is secret is masked."""
        try:
            content = json.loads(self.body)
            return json.loads(redacted_event(content.get("requestPayload", content)))
        except (ValueError, AttributeError, RecursionError):
            return redacted_text(self.body)


@dataclass
class Letters(AbstractContextManager["Letters"]):
    """The letters of some queues, or those whose message ids begin as asked.

    At the end of `with`, what was received and not deleted can be received by others again.
    """

    stack: Stack
    queues: tuple[str, ...]
    asked: tuple[str, ...] = ()
    _held: dict[str, dict[str, str]] = field(default_factory=dict)  # by message id: its queue and its newest handle

    def __exit__(self, *_: object) -> None:
        """Make visible what is left."""
        for place in self._held.values():
            with suppress(*AWS_ERRORS):  # it is visible again some minutes later
                self.stack.sqs.change_message_visibility(**place, VisibilityTimeout=0)

    def __iter__(self) -> Iterator[Letter]:
        """Receive once each letter that is not hidden."""
        for name in self.queues:
            url = self.stack.value(name)
            while messages := self.stack.sqs.receive_message(QueueUrl=url, **_RECEIVE).get("Messages"):
                new = [message for message in messages if message["MessageId"] not in self._held]
                self._held |= {m["MessageId"]: {"QueueUrl": url, "ReceiptHandle": m["ReceiptHandle"]} for m in messages}
                if not new:  # in a long run the first ones are visible again: all have been seen
                    break
                letters = (_letter(self.stack, name, message) for message in new)
                yield from (one for one in letters if not self.asked or one.message_id.startswith(self.asked))

    def hidden(self) -> str:
        """Return why some cannot be read, if there are more than were received."""
        count = sum(map(self.stack.count_letters, self.queues)) - len(self._held)
        why = f"another run has just read are hidden for up to {_RECEIVE['VisibilityTimeout'] // 60} minutes"
        return f"{count} cannot be read: messages that {why}." if count > 0 else ""

    def delete(self, letter: Letter) -> None:
        """Delete a letter. Raises `AWS_ERRORS`."""
        self.stack.sqs.delete_message(**self._held[letter.message_id])
        del self._held[letter.message_id]


def _letter(stack: Stack, queue: str, message: Any) -> Letter:
    attributes = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
    errors = (f"{attributes[kind]}: {attributes.get(text, '')}" for kind, text in _ERRORS if kind in attributes)
    error, sent_at = printable(next(errors, "")), int(message["Attributes"]["SentTimestamp"]) / 1000
    letter = Letter(queue, message["MessageId"], message["Body"], datetime.fromtimestamp(sent_at, UTC), error)
    with suppress(ValueError, RecursionError, BadInput):
        match content := json.loads(letter.body):
            case {"requestContext": {"functionArn": str(arn), "condition": str(condition)}, "requestPayload": event}:
                answer = content.get("responsePayload")
                why = error or (error_line(answer) if answer else printable(condition))
                # The record names the version too, "...:function:NAME:$LATEST".
                function = ":".join(arn.split(":")[:7])
                is_ours = function == stack.value("DelayedNotifyFunctionArn")
                refusal = "" if is_ours else printable(f"{function} is not DelayedNotify of stack {stack.name}")
                return replace(letter, error=why, kind="on-failure", ids=_ids(event), refusal=refusal)
        TimerInput.parse(content, InvalidTimer)
        return replace(letter, kind="scheduler", ids={name: str(content[name]) for name in (*IDS, "pass")}, refusal="")
    return replace(letter, error=error or letter.refusal)


def _ids(event: object) -> dict[str, str]:
    try:
        ids: Mapping[str, object] = parse_notification(event).ids
    except InvalidNotification as error:
        ids = error.about
    return {name: str(value) for name, value in ids.items() if value}


def _from(names: tuple[str, ...]) -> list[click.Parameter]:
    """Make --queue, and the letters by the beginnings of their message ids."""
    about: dict[str, Any] = {"type": click.Choice(names, case_sensitive=False), "multiple": True, "metavar": "QUEUE"}
    queue = shared(queue=about | {"help": f"only this one of {', '.join(names)}; may be given several times"})
    letters = click.Argument(["letters"], callback=keep, expose_value=False, nargs=-1, metavar="[LETTER]...")
    return [letters, *queue.values()]


def _letters(operator: Operator, queues: tuple[str, ...]) -> Letters:
    asked = operator.given.get("letters", ())
    if any(len(word) < _SHORTEST for word in asked):
        raise click.UsageError(f"name a letter by at least {_SHORTEST} characters of its message id")
    return Letters(operator.stack, operator.given.get("queue", queues), asked)


@click.group("dead-letters", cls=ManualGroup)
def dead_letters_command() -> None:
    """List, redrive or discard what could not be saved.

    For at most 14 days it is in RetryQueue while it is tried again, in RefusedQueue if no retry can help, or in
    FailureQueue after its last try.
    """


_LOOKING = ("cloudformation:DescribeStacks", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility")
_DELETING = (*_LOOKING, *LETTERS, "sqs:DeleteMessage")
_SHOWN = ("followups dead-letters show 1f0c5a55", "followups dead-letters export > letters.jsonl")
_MOVING = [*_from(FOR_A_PERSON), *CHANGING]
_manual = partial(manual, group=dead_letters_command)


@_manual("list", _LOOKING + LETTERS, "followups dead-letters list --queue RefusedQueue --json", options=_from(QUEUES))
def list_command(operator: Operator) -> int:
    """List what is in the queues, at most 100 letters of each, why, and what drains it.

    Each letter is hidden from others for a moment; none is moved. One that is hidden already cannot be read, and is
    only counted: RetryFunction or another redrive has it, or it waits for its next try.
    """
    stack, output, asked = operator.stack, operator.output, _letters(operator, QUEUES)
    commands = {word: stack.command("dead-letters", word) for word in ("redrive", "discard")}

    def read(name: str) -> tuple[int, list[Row]]:
        with Letters(stack, (name,), asked.asked) as those:
            found = islice(those, _MOST_LISTED)
            rows = [Result("waiting", letter.error).row(letter.row(operator.clock())) for letter in found]
            return stack.count_letters(name), rows

    for name, (count, rows) in zip(asked.queues, stack.at_once(read, asked.queues), strict=True):
        if rows:
            output.rows(COLUMNS, *rows)
        if count or rows:
            output.note(f"{name}: {count} in all, {len(rows)} printed.", _DRAINS[name].format(**commands))
        elif output.is_table:
            output.note(f"{name}: empty.")
    return 0


@_manual("show", _LOOKING, *_SHOWN, options=_from(QUEUES))
def show(operator: Operator) -> int:
    """Print letters and their events, with secrets masked; in a pipe, as JSON lines."""
    code = 1
    with _letters(operator, QUEUES) as those:
        for letter in those:
            code = 0
            operator.output.document({**letter.row(operator.clock()).record, "event": letter.event()})
    if code:
        todo = operator.stack.command("dead-letters", "list")
        operator.output.warn(f"There is no such message, or it is hidden for some minutes. To list them:  {todo}")
    return code


dead_letters_command.add_command(show, "export")


@_manual("redrive", (*_DELETING, "sqs:SendMessage"), "followups dead-letters redrive --yes --rate 2", options=_MOVING)
def redrive(operator: Operator) -> int:
    """Send the letters that are named, or all that wait for a person, back to the retry queue.

    RetryFunction delivers each within seconds. Several are sent only with --yes, or when you confirm the plan. You may
    stop it at any time, and a pass that is done is not run again.
    """
    with _letters(operator, FOR_A_PERSON) as those:
        return _change(operator, "redrive", those).run(those)


@_manual("discard", _DELETING, "followups dead-letters discard --queue RefusedQueue 1f0c5a55", options=_MOVING)
def discard(operator: Operator) -> int:
    """Delete the letters that are named, or all of a queue, for good.

    It lists them and asks; without a terminal only --yes deletes. The default is RefusedQueue, which holds what
    anybody may have sent. What is in FailureQueue was accepted, and is nowhere else: redrive it if you can.
    """
    with _letters(operator, (REFUSED,)) as those:
        return _change(operator, "discard", those).run(list(those))


def _change(operator: Operator, name: str, those: Letters) -> Change[Letter]:
    """Letters leave their queues; `redrive` sends each to the retry queue first."""
    stack, sent, is_sent = operator.stack, set[int](), name == "redrive"
    word = "sent" if is_sent else "deleted"

    def plan(letter: Letter) -> Result:
        # What is refused again comes back at once, as a new message with the same body: once is enough.
        refusal = f"refused again: {letter.error}" if hash(letter.body) in sent else letter.refusal
        if is_sent and refusal:
            return Result("kept", f"kept: {refusal}")
        return Result("planned", f"would be {word}; {letter.error}")

    def do(letter: Letter) -> Result:
        if is_sent:  # and only *then* deleted: twice is harmless, the record knows which passes are done
            sent.add(hash(letter.body))
            stack.sqs.send_message(QueueUrl=stack.value(RETRY), MessageBody=letter.body)
        those.delete(letter)
        return Result(word, f"{word}; {letter.error}")

    words = ("dead-letters", name, "--yes", *(f"--queue={queue}" for queue in those.queues))
    row = partial(Letter.row, now=operator.clock())
    return Change(operator, name, row, plan, do, words, those.asked, is_sent, if_none=those.hidden)
