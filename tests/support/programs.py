"""System programs that a test needs and pip cannot install; CI has them all, and sets REQUIRE_PROGRAMS=1."""

import os
import shutil
from typing import NoReturn

import pytest


def program(*names: str, package: str) -> str:
    """Return the path of the first that is installed, else skip the test, or fail it where REQUIRE_PROGRAMS=1."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        absent(f"none of {', '.join(names)} is installed: apt-get install {package}")
    return found


def absent(why: str) -> NoReturn:
    """Skip the test for want of something, loudly, or fail it where REQUIRE_PROGRAMS=1."""
    missing = f"NOT TESTED, {why}"
    if os.environ.get("REQUIRE_PROGRAMS") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
