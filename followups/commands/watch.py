"""`followups watch`: the live board in a terminal."""

import click

from followups.commands.listing import StateChoice
from followups.manual import ManualCommand
from followups.operator import Operator
from followups.records import STATES, State
from followups.snapshot import Poller
from followups.watch import as_data, show_once, watch

_HELP = """Watch what waits, what is late and what failed, until Ctrl-C.

What waits has a countdown to its pass; what is late, or failed, is above it. A look that fails is said, and the last
picture stays. Reads no more than a bound (300) of each of the indexes `due` and `failed`: beyond it a count has a +.

Into a pipe goes one picture, as with --once; with --json one look as a JSON document."""


@click.command(
    "watch",
    cls=ManualCommand,
    help=_HELP,
    short_help="What waits, is late or failed, live.",
    examples={
        "followups watch": "until Ctrl-C",
        "followups watch --state overdue --state failed": "only what needs somebody",
        "followups watch --once": "one picture",
        "followups watch --once --json": "one look, as JSON",
    },
    exits={0: "shown, or ended by Ctrl-C", 2: "the first look failed"},
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query the indexes `due` and `failed` of CreditCardNotifyTable",
        "dynamodb:BatchGetItem CreditCardNotifyTable",
    ],
)
@click.option("--state", "states", type=StateChoice(), multiple=True, help="may be given several times")
@click.option("--every", type=click.FloatRange(min=1), default=2, metavar="SECONDS", help="between looks (default: 2)")
@click.option("--once", is_flag=True, help="print one picture and end")
@click.pass_obj
def watch_command(operator: Operator, states: tuple[State, ...], every: float, *, once: bool) -> int:
    """Show the board once, or until Ctrl-C."""
    output = operator.output
    poller = Poller(operator.stack, states or STATES, operator.clock)
    if output.as_json:
        output.document(as_data(poller.start()))
    elif once or not output.console.is_terminal:
        show_once(poller, states or STATES, output.console)
    else:
        watch(poller, states or STATES, output.console, every, operator.sleep)
    return 0
