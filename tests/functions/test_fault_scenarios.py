"""Whatever call fails, in whatever way: nothing is lost. `make failure-table` renews docs/failure-table.md."""

from collections.abc import Callable

from tests.support.aws import worlds
from tests.support.failure_table import FILE, cells, written
from tests.support.lambda_model import FAULTS

# Every AWS call. A new one in the code fails the test below, until it is listed and its rows are written.
_ERRORS = ["record the failed pass", "log the error", "count the mail", "send the mail", "remember the mail"]
_PASS = ["run the pass", "record the pass", "create the timer", "read the order"]
_DELIVERY = ["read the merchant key", "read the payment record", "save the notification", "mark the payment record"]
_SWEEP = ["read a shard", "move back in line", "hand over to Recheck", "end in FAILED"]
SITES = [
    *(("DelayedNotify", call) for call in (*_DELIVERY, *_PASS, *_ERRORS)),
    # DelayedNotify has sent the mail before Retry runs.
    *(("Retry", call) for call in (*_DELIVERY, *_PASS, *_ERRORS[:2], "keep the refused event")),
    *(("Recheck", call) for call in ("claim the pass", *_PASS, *_ERRORS, "end in FAILED")),
    *(("Sweep", call) for call in (*_SWEEP, *_ERRORS[1:])),
]


def test_promise_holds_whatever_call_fails(figure: Callable[[str], None]) -> None:
    """For every fault of every call: two passes at least 60 s apart, or a loud end that one command repairs."""
    with worlds() as world:
        stories = list(cells(world))
    lost = [cell for cell in stories if cell.wrong]
    figure(f"{len(stories):,} stories of one fault each, lost = {len(lost)}")
    assert lost == []
    assert {(*cell.point[:2], cell.fault) for cell in stories} == {(*site, fault) for site in SITES for fault in FAULTS}
    assert len(stories) > 900
    assert FILE.read_text() == written(stories)
