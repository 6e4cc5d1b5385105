"""One JSON log line an invocation: the ids, what was done, the warnings and the metrics.

Metrics are in CloudWatch's embedded metric format, which CloudWatch reads from the line: no API is called, and each
value keeps its ids. The alarms and the dashboard in template.yaml name these metrics.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from aws_lambda_powertools import Logger

from callback.record import PROVED
from callback.redact import scrub

NAMESPACE = "payment3/follow-up"
_MOST_WARNINGS = 20
logger = Logger(service="payment3-follow-up", location=None, timestamp=None)


class InvocationLog:
    """Collects the fields of the line. The sweep's threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.begin("", debug=False)

    def begin(self, branch: str, *, debug: bool) -> None:
        """Forget the invocation before this one."""
        self.fields: dict[str, Any] = {}
        self._branch, self._metrics, self._warnings = branch, dict[str, None](), list[str]()
        logger.setLevel("DEBUG" if debug else "INFO")

    def bind(self, **fields: object) -> None:
        """Put fields into the line; None is left out."""
        self.fields |= {name: value for name, value in fields.items() if value is not None}

    def metric(self, name: str, value: int = 1) -> None:
        """Add to a metric, which counts things or seconds; the branch is the only dimension."""
        with self._lock:
            self.fields[name] = self.fields.get(name, 0) + value
            self._metrics[name] = None

    def warn(self, text: str) -> None:
        """Add a warning, up to a limit; the first one raises the line's level."""
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(scrub(text))

    def step_failed(self, step: str, error: Exception) -> None:
        """Warn of the failure of a step that may fail, and count it as `<Step>Failed`."""
        self.warn(f"{step} failed: {type(error).__name__}: {scrub(str(error))[:300]}")
        self.metric(f"{step.capitalize()}Failed")

    @contextmanager
    def unimportant(self, step: str) -> Iterator[None]:
        """Let a step, a block or a whole function, fail at the cost of a warning and a count: no pass depends on it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the pass is more important
            self.step_failed(step, error)

    def write(self, message: str, **failure: object) -> None:
        """Write the line; `failure` is what is known of the error that ends the invocation."""
        line = self.fields | failure | ({"warnings": self._warnings} if self._warnings else {})
        if self._metrics:
            names = [{"Name": name} for name in self._metrics]
            about = {"Namespace": NAMESPACE, "Dimensions": [["Branch"]], "Metrics": names}
            emf = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [about]}
            line |= {"Branch": self._branch, "_aws": emf}
        write = logger.error if failure else logger.warning if self._warnings else logger.info
        write(message, extra=line)


def by_proof(name: str, checksum_status: object) -> str:
    """Return the name that proved payments are counted under, or the name for all others, which anybody can send."""
    return name if checksum_status == PROVED else f"{name}Unproved"


log = InvocationLog()
