"""Coverage measures only what it has to: it nearly doubles the time."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_coverage() -> Iterator[None]:
    """Measure no coverage: what runs here is not this project's code, or other tests run it too."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def unmeasured(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call without coverage. After a `with` coverage would not find its way back to the lines of the callers."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return call(*arguments)
    finally:
        sys.settrace(tracer)
