"""The promise, in randomly generated stories (tests/support/soak.py)."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

from local.emulator import ROOT

SEED = 20261122


def test_nothing_is_lost_in_any_story(figure: Callable[[str], None]) -> None:
    """After hundreds of random steps of faults, repeats, waits and repairs, every notification has its two passes."""
    # In a separate process, as `make soak SEED=...` does it: hypothesis draws from the constants of all modules
    # that are loaded, so that among other tests one seed makes other stories.
    soak = [sys.executable, "-m", "tests.support.soak", f"--seed={SEED}", "--examples=12"]
    path = {"PYTHONPATH": f"{ROOT / 'functions'}{os.pathsep}{ROOT}"}
    done = subprocess.run(soak, cwd=ROOT, env=os.environ | path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-5000:]}{done.stderr[-5000:]}"
    counts = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", done.stdout)}
    figure(f"random stories, {done.stdout.strip()}")
    assert (counts["lost"], counts["steps"] > 300, counts["acknowledged"] > 10) == (0, True, True)
