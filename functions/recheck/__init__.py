"""Recheck: invoked by a pass's timer, 60 s or more after the pass before it; and the sweep, for what no timer did."""

from callback.advance import advance
from callback.app import application
from callback.errors import InvalidRecheck
from callback.log import about_pass
from callback.rechecks import RecheckInput
from callback.report import reported
from callback.sweep import sweep


def lambda_handler(event: object, _context: object) -> dict[str, object]:
    """Claim the pass that the timer was made for, run it and record it; a pass that is done stays done.

    Takes the schedule's input (README: contracts), returns the notification's state. Every error is reported
    and re-raised.
    """
    app = application()
    with reported(app, "recheck", event) as subject:
        timer = RecheckInput.read(event, InvalidRecheck)
        subject.learn(chargeId=timer.charge_id, notificationId=timer.notification_id, orderId=timer.order_id)
        about_pass(timer.number)
        record = app.records.claim(timer.charge_id, timer.notification_id, timer.number)
        record = advance(app, record)
        return {"state": record.state, "passesDone": record.passes_done}


def sweep_handler(event: object, _context: object) -> dict[str, int]:
    """Find what is overdue and hand it to Recheck; a schedule invokes this every 5 minutes.

    Returns how many were overdue and what became of them. Every error is reported and re-raised.
    """
    app = application()
    with reported(app, "sweep", event):
        return dict(sweep(app))
