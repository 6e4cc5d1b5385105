"""What one process measures of itself: the milliseconds that its handlers ran, and the CPU that they took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class Stopwatch:
    """Wall time of the handlers of this process; a subject that is driven by a library runs it itself."""

    seconds: ClassVar[float] = 0
    own: ClassVar[bool] = False

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[None]:
        """Count the time inside, once."""
        cls.own = True
        started = time.perf_counter()
        try:
            yield
        finally:
            cls.seconds += time.perf_counter() - started

    @classmethod
    def reset(cls) -> None:
        """Begin anew."""
        cls.seconds = 0
