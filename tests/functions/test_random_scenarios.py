"""The promise, in randomly generated stories (tests/support/soak.py)."""

import re
from collections.abc import Callable

from tests.support.programs import run_python

SEED = 20261122


def test_nothing_is_lost_in_any_story(figure: Callable[[str], None]) -> None:
    """After hundreds of random steps of faults, repeats, waits and repairs, every notification has its two passes."""
    # In a separate process, as `make soak SEED=...` does it: hypothesis draws from the constants of all modules
    # that are loaded, so that among other tests one seed makes other stories.
    printed = run_python("-m", "tests.support.soak", f"--seed={SEED}", "--examples=12")
    counts = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", printed)}
    figure(f"random stories, {printed.strip()}")
    assert (counts["lost"], counts["steps"] > 300, counts["acknowledged"] > 10) == (0, True, True)
