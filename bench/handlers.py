"""Our handlers in a process that measures them: with an application and a clock of its own, and without their log."""

import os
from pathlib import Path
from typing import Any, TextIO

import delayednotify
import recheck
from callback.app import Application
from callback.clock import Clock
from callback.log import logger
from callback.settings import read_settings
from callback.sweep import ShardMap


def with_clock(clock: Clock, shard_map: ShardMap | None = None) -> None:
    """Let the handlers go by another clock, in an application from the environment."""
    app = Application(read_settings(os.environ), clock, shard_map)
    handlers: Any = (delayednotify, recheck)
    for module in handlers:
        module.application = lambda: app


def silently() -> None:
    """Let the log go nowhere; it is written all the same."""
    log_to(Path(os.devnull).open("w"))  # noqa: SIM115 - until the process ends


def log_to(stream: TextIO) -> None:
    """Let the log go there: it took standard output when it was imported."""
    handler: Any = logger.registered_handler
    handler.stream = stream
