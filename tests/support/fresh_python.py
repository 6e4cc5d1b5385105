"""A program in a Python of its own, which has imported nothing yet and knows no variable."""

import subprocess
import sys

from local.emulator import ROOT


def run_python(*command: str) -> str:
    """Run Python with the functions and this repository on its path, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
