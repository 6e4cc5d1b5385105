"""Makes thousands of stories bearable."""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import coverage


@contextmanager
def quietly() -> Iterator[None]:
    """Measure no coverage and write no log: stories reach no line that other tests do not, and nobody reads them."""
    measuring = coverage.Coverage.current()
    if measuring:
        measuring.stop()
    logging.disable(logging.CRITICAL)
    gc.freeze()  # botocore's models are large, and none of them is ever garbage
    try:
        yield
    finally:
        gc.unfreeze()
        logging.disable(logging.NOTSET)
        if measuring:
            measuring.start()
