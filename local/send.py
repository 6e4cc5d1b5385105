"""`make send`: notifications for what `make up` keeps, as Notify sends them."""

import copy
import time
import uuid

from rich.console import Console

from callback.notification import parse_notification
from local.samples import Sample
from local.stack import Stack, furnish

# Lambda's two retries of what was not saved are over by then.
_PATIENCE = 20


def send_and_wait(console: Console, stack: Stack, sample: Sample, count: int) -> int:
    """Send a sample several times, each as a notification of its own, and see pass 1 of each; exit code 1 if not."""
    missing = 0
    for _ in range(count):
        one = _delivered_anew(sample)
        order = furnish(stack, one.notification)
        stack.notify(one.event)
        # One after the other: the emulator starts a process for each invocation at once.
        done = _passes(stack, one)
        missing += not done
        outcome = "saved, pass 1 done" if done else "NOT SAVED, or its pass 1 failed"
        console.print(f"{order} {one.notification.notification_id}: {outcome}", highlight=False, soft_wrap=True)
    console.print(f"Next: followups show {order} --local", highlight=False, soft_wrap=True)
    return int(missing > 0)


def _delivered_anew(sample: Sample) -> Sample:
    event = copy.deepcopy(sample.event)
    event.setdefault("requestContext", {})["requestId"] = str(uuid.uuid4())
    return Sample(sample.name, event, parse_notification(event))


def _passes(stack: Stack, sample: Sample) -> int:
    table, about = stack.table(stack.outputs["CreditCardNotifyTable"]), sample.notification
    key = {"chargeId": about.charge_id, "notificationId": about.notification_id}
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if passes := int(table.get_item(Key=key, ConsistentRead=True).get("Item", {}).get("passesDone", 0)):
            return passes
        time.sleep(0.1)
    return 0
