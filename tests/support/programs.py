"""What a test needs beside this process: a fresh Python, and programs that pip cannot install.

CI has them all, and sets REQUIRE_PROGRAMS=1.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

from local.emulator import ROOT


def run_python(*command: str) -> str:
    """Run a Python that has imported nothing yet and knows no variable, and return what it printed.

    The functions and this repository are on its path.
    """
    path = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}"}
    done = subprocess.run([sys.executable, *command], env=path, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def absent(why: str) -> NoReturn:
    """Skip the test for want of something, loudly, or fail it where REQUIRE_PROGRAMS=1."""
    missing = f"NOT TESTED, {why}"
    if os.environ.get("REQUIRE_PROGRAMS") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's Chromium; skip the test where it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None) or absent("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        yield browser
