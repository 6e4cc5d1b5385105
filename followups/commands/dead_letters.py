"""`followups dead-letters`: what lies in the failure queues, and the way back."""

from collections import Counter
from datetime import timedelta
from typing import Literal

import click

from callback.clock import format_utc as stamp
from followups.dead_letters import QUEUES, Letter
from followups.look import look
from followups.manual import ManualGroup
from followups.operator import Operator
from followups.output import Column, Sheet
from followups.redrive import Outcome
from followups.redrive import redrive as send_back
from followups.times import span

_COLUMNS = (Column("", 1), Column("queue", 25), Column("of", ratio=1), Column("what", ratio=1))
Result = Literal["went back", "stays", "would go back"]
_MARKS = {"went back": ("✓", "green"), "stays": ("✗", "bold red"), "would go back": ("→", "yellow")}
_STOPPED = "Stopped. What is not said to have gone back is where it was; the same command goes on."
_LOOKING = [
    "cloudformation:DescribeStacks the stack",
    "sqs:ReceiveMessage the four failure queues",
    "sqs:ChangeMessageVisibility the four failure queues",
]


def _queues(command: "click.decorators.FC") -> "click.decorators.FC":
    return click.option(
        "--queue",
        "queues",
        type=click.Choice(QUEUES, case_sensitive=False),
        multiple=True,
        metavar="QUEUE",
        help=f"only this one of {', '.join(QUEUES)}; may be given several times",
    )(command)


@click.group(
    "dead-letters",
    cls=ManualGroup,
    help="What could not be done in all tries lies in one of the stack's four failure queues for 14 days.",
    short_help="What lies in the failure queues: list it, or redrive it.",
)
def dead_letters() -> None:
    """List or redrive."""


@dead_letters.command(
    "list",
    help="""Say what lies in the failure queues: from where, since when, of which notification, why, and to which
function it would go back. Each letter is received, hidden for a moment from others, and shown again; none is moved.

A letter that another redrive has in its hands is hidden, and not listed.""",
    short_help="What lies there, and why.",
    examples={"followups dead-letters list": "all four queues", "followups dead-letters list --json": "as JSON lines"},
    exits={0: "listed, if only nothing", 2: "it could not be listed", 130: "stopped"},
    permissions=_LOOKING,
)
@_queues
@click.pass_obj
def list_command(operator: Operator, queues: tuple[str, ...]) -> int:
    """Print a row for each letter."""
    count = _look(operator, queues).total()
    if operator.output.is_table:
        operator.output.note(
            f"Dead letters: {count}.", "`followups dead-letters redrive` sends them back." if count else ""
        )
    return 0


@dead_letters.command(
    "redrive",
    help="""Send each dead letter back to its function, once, and delete it only when the function has succeeded.

What fails again stays, with its error in the line that is printed; so does what is no letter of this stack's. Nothing
is lost if it is stopped, and a pass that is done stays done: the record knows.""",
    short_help="Send what lies there back to its function.",
    examples={
        "followups dead-letters redrive --dry-run": "what would go where",
        "followups dead-letters redrive": "all four queues",
        "followups dead-letters redrive --queue RecheckFailureQueue": "one of them",
    },
    exits={0: "all went back, or nothing was there", 1: "something stays", 2: "it could not be tried", 130: "stopped"},
    permissions=[
        *_LOOKING,
        "sqs:DeleteMessage the four failure queues",
        "lambda:InvokeFunction the functions DelayedNotify, Recheck and Sweep",
    ],
)
@_queues
@click.option("--dry-run", is_flag=True, help="only say what lies there and where it would go")
@click.pass_obj
def redrive(operator: Operator, queues: tuple[str, ...], *, dry_run: bool) -> int:
    """Send the letters back, or say where they would go."""
    counts = _look(operator, queues) if dry_run else _send_back(operator, queues)
    advice = "Mend what the lines above say, then redrive again." if counts["stays"] else ""
    if dry_run:
        advice = "Nothing was changed; without --dry-run they go back."
    operator.output.note(f"Dead letters: {counts.total()}, staying: {counts['stays']}.", advice)
    return 1 if counts["stays"] else 0


def _look(operator: Operator, queues: tuple[str, ...]) -> Counter[Result]:
    counts: Counter[Result] = Counter()
    with Sheet(operator.output, *_COLUMNS) as sheet:

        def tell(letter: Letter) -> None:
            text = f"would go back to {letter.goes_to}; it failed with {letter.error}"
            text = f"stays: {letter.refusal}" if letter.refusal else text
            result: Result = "stays" if letter.refusal else "would go back"
            counts[result] += 1
            _tell(operator, sheet, letter, result, text)

        look(operator.stack, queues or QUEUES, tell)
    return counts


def _send_back(operator: Operator, queues: tuple[str, ...]) -> Counter[Result]:
    operator.when_stopped = _STOPPED
    counts: Counter[Result] = Counter()
    with Sheet(operator.output, *_COLUMNS) as sheet:

        def tell(outcome: Outcome) -> None:
            result: Result = "went back" if outcome.went_back else "stays"
            counts[result] += 1
            _tell(operator, sheet, outcome.letter, result, outcome.text)

        send_back(operator.stack, queues or QUEUES, tell)
    return counts


def _tell(operator: Operator, sheet: Sheet, letter: Letter, result: Result, text: str) -> None:
    age = _age(operator, letter)
    of = "\n".join(f"{name.removesuffix('Id')} {value}" for name, value in letter.ids.items())
    ids = " ".join(f"{name}={value}" for name, value in letter.ids.items())
    cells = (_MARKS[result], f"{letter.queue}\n{letter.kind}, {age}", of, text)
    about = {"sentAt": stamp(letter.sent_at) if letter.sent_at else None, "error": letter.error}
    about |= {"goesTo": letter.goes_to, "result": result, "text": text}
    sheet.add(
        cells,
        (letter.queue, letter.kind, ids, age, text),
        {"queue": letter.queue, "kind": letter.kind, **letter.ids, **about},
    )


def _age(operator: Operator, letter: Letter) -> str:
    # Clocks differ: nothing was sent after now.
    return f"{span(max(timedelta(0), operator.clock() - letter.sent_at))} old" if letter.sent_at else ""
