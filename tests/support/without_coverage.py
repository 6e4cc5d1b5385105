"""Makes thousands of stories fast enough."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_coverage() -> Iterator[None]:
    """Measure no coverage: stories reach no line that other tests do not."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    gc.freeze()  # botocore's models are large, and none of them is ever garbage
    try:
        yield
    finally:
        gc.unfreeze()
        threading.settrace(of_threads)
        sys.settrace(tracer)


def unmeasured(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call what runs no code of this project without coverage, which doubles the time; other threads go on with it."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return call(*arguments)
    finally:
        sys.settrace(tracer)
