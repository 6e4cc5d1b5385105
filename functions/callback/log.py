"""One JSON log line an invocation: the ids, what was done, the warnings and the metrics.

Metrics are in CloudWatch's embedded metric format, which CloudWatch reads from the line: no API is called, and each
value keeps its ids. Alarms and dashboard of template.yaml name these metrics.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from aws_lambda_powertools import Logger

from callback.redact import scrub

NAMESPACE = "payment3/follow-up"
logger = Logger(service="payment3-follow-up", location=None, timestamp=None)


class InvocationLog:
    """Collects the fields of the line. The sweep's threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.begin("", debug=False)

    def begin(self, branch: str, *, debug: bool) -> None:
        """Forget the invocation before this one."""
        self.fields: dict[str, object] = {}
        self._branch = branch
        self._warnings: list[str] = []
        self._units: dict[str, str] = {}
        logger.setLevel("DEBUG" if debug else "INFO")

    def bind(self, **fields: object) -> None:
        """Put fields into the line; None is left out."""
        self.fields |= {name: value for name, value in fields.items() if value is not None}

    def metric(self, name: str, value: int = 1, unit: str = "Count") -> None:
        """Count a value. Units are CloudWatch's; the branch is the only dimension."""
        with self._lock:
            before = self.fields.get(name, 0)
            assert isinstance(before, int)
            self.fields[name] = before + value
            self._units[name] = unit

    def warn(self, text: str) -> None:
        """Add a warning; the line's level rises with the first."""
        with self._lock:
            self._warnings.append(text)

    def step_failed(self, step: str, error: Exception) -> None:
        """Warn of a step that may fail, and count it as `<Step>Failed`."""
        self.warn(f"{step} failed: {type(error).__name__}: {scrub(str(error))[:300]}")
        self.metric(f"{step.capitalize()}Failed")

    @contextmanager
    def unimportant(self, step: str) -> Iterator[None]:
        """Let a step fail at the cost of a warning and a count: no pass may depend on it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the pass is more important
            self.step_failed(step, error)

    def write(self, message: str, **failure: object) -> None:
        """Write the line; `failure` is what is known of the error that ends the invocation."""
        line = self.fields | failure
        if self._warnings:
            line["warnings"] = self._warnings
        if self._units:
            line |= {"Branch": self._branch, "_aws": self._directives()}
        write = logger.error if failure else logger.warning if self._warnings else logger.info
        write(message, extra=line)

    def _directives(self) -> dict[str, object]:
        metrics = [{"Name": name, "Unit": unit} for name, unit in self._units.items()]
        about = {"Namespace": NAMESPACE, "Dimensions": [["Branch"]], "Metrics": metrics}
        return {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [about]}


log = InvocationLog()
