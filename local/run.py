"""`make run`: the samples are sent and watched to their end; with an outage, things are taken away in the middle.

`make send`: notifications for what `make up` keeps.

Waits are as long as on AWS. Only the sweep comes sooner than each minute, so that nobody waits for it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta

from rich.console import Console

from local.progress import Progress, Screen, Watcher
from local.samples import Sample, deliver_anew
from local.stack import BRANCH, Options, Stack, furnish

SWEEP_EVERY = 3
# Beyond the waits: the passes, and that a Recheck which is lost on a busy machine comes again after 5 minutes.
PATIENCE = 360
# Lambda's two retries of what was not saved are over by then.
_SEND_PATIENCE = 20
# A failed pass waits for a minute, the next sweep and its turn.
_WAIT_AFTER_FAILURE = 70
_EMULATED = f"""\
The emulator starts the sweep every {SWEEP_EVERY} s, AWS each minute. What it cannot show: a second delivery from the
retry queue, which is 12 minutes later, alarms, IAM, keys, and what Scheduler does where it cannot reach Recheck.
"""


def play(console: Console, stack: Stack, chosen: list[Sample], options: Options, limit: int | None) -> list[Progress]:
    """Send the samples and watch them to the end, or for `limit` seconds, and return where each is."""
    console.print(_EMULATED, soft_wrap=True)
    run = _Run(stack, Watcher(stack, chosen), options)
    run.screen = Screen(console, run.watcher.rows)
    with run.screen.live or nullcontext():
        deadline = time.monotonic() + (_longest(options) if limit is None else limit)
        if options.outage:
            run.lose_one(deadline)
        while not run.watcher.finished and time.monotonic() < deadline:
            run.send_next()
            run.take_away_and_give_back()
            run.step()
    return run.watcher.rows


def _longest(options: Options) -> float:
    outages = options.failures + bool(options.outage)
    return options.delay + PATIENCE + outages * _WAIT_AFTER_FAILURE + options.outage * 1.25


class _Run:
    screen: Screen

    def __init__(self, stack: Stack, watcher: Watcher, options: Options) -> None:
        self.stack, self.watcher, self.options = stack, watcher, options
        self._unsent = list(watcher.rows)
        self._away_since: datetime | None = None
        self._is_back = not options.outage

    def step(self) -> None:
        self.watcher.look()
        self.screen.show()
        time.sleep(0.3)  # the picture's pace

    def send_next(self) -> None:
        # One after the other: the emulator starts a process for each invocation at once, and so for each timer.
        sent = self.watcher.rows[: -len(self._unsent)]
        if self._unsent and all(row.passes or row.failed_tries for row in sent):
            self.stack.notify(self._unsent.pop(0).sample.event)

    def lose_one(self, deadline: float) -> None:
        """Let DelayedNotify save nothing until a first notification has come back from the retry queue."""
        row = self._unsent.pop(0)
        with _no_table(self.stack):
            self.screen.say("CreditCardNotifyTable is out of DelayedNotify's reach")
            self.stack.notify(row.sample.event)
            row.was_unsaved = True
            while not row.item and time.monotonic() < deadline:
                self.step()
        saved = "RetryFunction took the message as it came, and saved it" if row.item else "nothing was saved"
        self.screen.say(f"CreditCardNotifyTable is back: {saved}")

    def take_away_and_give_back(self) -> None:
        """Begin the outage when the first timer is about to fire, and end it."""
        now, seconds = datetime.now(UTC), self.options.outage
        function, lambdas = f"payment3-process-paid-order-{BRANCH}", self.stack.client("lambda")
        if self._is_back:
            return
        if self._away_since is None:
            timers = [row.schedule_at for row in self.watcher.rows if row.schedule_at]
            if timers and min(timers) - timedelta(seconds=1) < now:
                lambdas.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
                self._away_since = now
                self.screen.say(f"ProcessPaidOrder is away for {seconds} s: Lambda throttles every call")
        elif now - self._away_since > timedelta(seconds=seconds):
            lambdas.delete_function_concurrency(FunctionName=function)
            self._is_back = True
            self.screen.say("ProcessPaidOrder is back; nobody does anything now")


@contextmanager
def _no_table(stack: Stack) -> Iterator[None]:
    lambdas, function = stack.client("lambda"), stack.outputs["DelayedNotifyFunction"]
    variables = stack.variables("DelayedNotifyFunction")
    changed = variables | {"CREDIT_CARD_NOTIFY_TABLE": "out-of-reach"}
    lambdas.update_function_configuration(FunctionName=function, Environment={"Variables": changed})
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=function, Environment={"Variables": variables})


def send_and_wait(console: Console, stack: Stack, sample: Sample, count: int) -> int:
    """Send a sample several times, each as a notification of its own, and see pass 1 of each; exit code 1 if not."""
    missing = 0
    for _ in range(max(count, 1)):
        # One after the other: the emulator starts a process for each invocation at once.
        row = Progress(deliver_anew(sample, sample.name))
        watcher, deadline = Watcher(stack, [row.sample]), time.monotonic() + _SEND_PATIENCE
        order = furnish(stack, row.sample.notification)
        stack.notify(row.sample.event)
        while not (done := watcher.rows[0].passes) and time.monotonic() < deadline:
            time.sleep(0.1)  # a table has no event for a pass that was recorded
            watcher.look()
        missing += not done
        outcome = "saved, pass 1 done" if done else "NOT SAVED, or its pass 1 failed"
        console.print(f"{order} {row.key['notificationId']}: {outcome}", soft_wrap=True)
    console.print(f"Next: followups show {order} --local", soft_wrap=True)
    return int(missing > 0)
