"""This project: DelayedNotify, and Recheck a minute later by its own clock."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta

import delayednotify
import recheck
from bench.environment import notification, timer
from bench.handlers import with_clock
from callback.clock import utc_now


class Later:
    """A clock that can be put forward: the 60 s are counted, not slept."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time that it shows."""
        return utc_now() + self.ahead


def steps() -> tuple[Callable[[int], object], ...]:
    """Return DelayedNotify's invocation and Recheck's."""
    clock = Later()
    with_clock(clock)

    def deliver(number: int) -> object:
        clock.ahead = timedelta()
        return delayednotify.lambda_handler(notification(number), None)

    def again(number: int) -> object:
        clock.ahead = timedelta(seconds=0 if os.environ.get("REALLY_SLEEP") else 62)
        return recheck.lambda_handler(timer(number), None)

    return deliver, again
