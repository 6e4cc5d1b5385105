"""The promise, in stories that nobody thought of (tests/stories.py)."""

import pytest

from tests.quietly import quietly
from tests.stories import tell, worlds

SEED = 20261122


def test_nothing_is_lost_in_any_story(capsys: pytest.CaptureFixture[str]) -> None:
    """2,000 random steps of faults, repeats, waits and repairs: every notification gets its two passes."""
    with worlds(), quietly():
        counts = tell(examples=64, number=SEED)
    with capsys.disabled():
        print(f"\nrandom stories, seed {SEED}: {dict(counts)}")  # noqa: T201 - the figures are asked for
    assert counts["lost"] == 0
    assert counts["steps"] >= 2000
    assert counts["acknowledged"] > 100
