"""Recheck: invoked by a pass's timer, 60 s or more after the pass before it; and the sweep, for what no timer ran."""

from callback.app import application
from callback.errors import InvalidTimer
from callback.log import log
from callback.sweep import Sweep, all_at_once
from callback.timer import TimerInput


def lambda_handler(event: object, _context: object) -> dict[str, object]:
    """Claim the pass that the timer was made for, run it and record it.

    Takes the schedule's input, returns the notification's state. A pass that is done, early or claimed by another is
    left alone. Every error is reported and re-raised.
    """
    app = application()
    with app.reporter.reported("recheck", "rechecked", event):
        timer = TimerInput.parse(event, InvalidTimer)
        log.bind(chargeId=timer.charge_id, notificationId=timer.notification_id, orderId=timer.order_id)
        record = app.passes.claim(timer)
        record = app.passes.process_paid_order(record)
        app.passes.schedule_recheck(record)
        return {"state": record.state, "passesDone": record.passes_done}


def sweep_handler(event: object, _context: object) -> dict[str, int]:
    """Find what is overdue and hand it to Recheck; a schedule invokes this every minute.

    Returns how many there were, by outcome. Every error is reported and re-raised.
    """
    app = application()
    with app.reporter.reported("sweep", "swept", event):
        return dict(Sweep(app.records, app.client("lambda"), app.reporter, app.shard_map or all_at_once).run())
