"""System programs that a test needs and pip cannot install; CI has them all, and sets REQUIRE_PROGRAMS=1."""

import os
import shutil

import pytest


def program(*names: str, package: str) -> str:
    """Return the path of the first that is installed, else skip the test, or fail it where REQUIRE_PROGRAMS=1."""
    for found in filter(None, map(shutil.which, names)):
        return found
    missing = f"NOT TESTED, none of {', '.join(names)} is installed: apt-get install {package}"
    if os.environ.get("REQUIRE_PROGRAMS") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
