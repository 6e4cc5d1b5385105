"""`followups board`: the board as a web page."""

import click

from followups.manual import ManualCommand
from followups.operator import Operator
from followups.snapshot import Poller

_HELP = """Show the board as a web page on 127.0.0.1, until Ctrl-C.

What `followups watch` shows, with the timeline of each notification, and a search by order, charge or notification.

The page only reads. It is served to this machine alone: whoever is logged in here can open it; a page elsewhere cannot
read it. It needs no network beside AWS, and AWS is asked no more often than every 2 seconds, however many look."""


@click.command(
    "board",
    cls=ManualCommand,
    help=_HELP,
    short_help="The same as a web page on 127.0.0.1.",
    examples={
        "followups board": "on a free port, and open it in the browser",
        "followups board --port 8080 --no-browser": "on a port of one's own",
    },
    exits={0: "ended by Ctrl-C", 2: "the port is taken"},
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query CreditCardNotifyTable and its indexes",
        "dynamodb:BatchGetItem CreditCardNotifyTable, CallbackErrorLogTable (without: a line says so)",
        "scheduler:GetSchedule the schedule group (without: a line says so)",
    ],
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="the port (default: a free one)")
@click.option("--browser/--no-browser", default=True, help="open it in the browser, or only print the address")
@click.pass_obj
def board(operator: Operator, port: int, *, browser: bool) -> int:
    """Serve the page until Ctrl-C."""
    # The other commands need no web server, nor wait for one to be imported.
    from followups.board.app import application  # noqa: PLC0415
    from followups.board.server import AT_MOST_EVERY, serve  # noqa: PLC0415

    poller = Poller(operator.stack, clock=operator.clock, at_most_every=AT_MOST_EVERY)
    app = application(poller, lambda order: operator.stack.command("replay", ids=(order,)))
    try:
        serve(app, port, operator.output.note, browser=browser)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be had: {error.strerror}") from error
    return 0
