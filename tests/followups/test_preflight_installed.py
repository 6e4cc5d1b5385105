"""The installed `followups preflight` against the local stack: before it is deployed, after, and from beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import emulator
from local.emulator import ACCOUNT, REGION, ROOT
from local.stack import NAME, Options, Stack, build, deploy

pytestmark = [
    pytest.mark.stack,
    pytest.mark.enable_socket,
    # An emulator is let go as a process and ended by its id, which Popen does not like.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROGRAM = Path(sys.executable).parent / "followups"
Found = dict[str, dict[str, Any]]


@pytest.fixture
def empty() -> Iterator[Stack]:
    """An emulated account with nothing in it."""
    build()
    started = emulator.start()
    try:
        yield Stack(started)
    finally:
        started.stop()


def preflight(stack: Stack, *arguments: str, code: int) -> Found:
    """Run the program where the environment leads to the emulator, and return what it found by subject."""
    reach = {"AWS_ENDPOINT_URL": stack.emulator.url, "AWS_DEFAULT_REGION": REGION}
    keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT}
    done = subprocess.run(
        [PROGRAM, "preflight", "--json", *arguments],
        cwd=ROOT,
        env=os.environ | reach | keys,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    found: Found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        # Of several on one subject the gravest.
        if one["subject"] not in found or one["level"] == "stop":
            found[one["subject"]] = one
    return found


def test_real_account_is_looked_at_before_and_after(empty: Stack) -> None:
    """Empty: what is missing stops. Deployed: nothing does. A table with another key: said."""
    before = preflight(empty, code=1)
    assert before["where"]["text"].startswith(f"account {ACCOUNT}, {REGION}, stack {NAME}, as arn:")
    stops = {subject for subject, one in before.items() if one["level"] == "stop"}
    assert stops == {
        "ProcessPaidOrder payment3-process-paid-order-dev",
        "secret payment3/kbank",
        "SES identity payment3@example.com",
    }

    deploy(empty.emulator, Options())
    # To the emulator, an address verified by SES's older API is none to the newer one.
    empty.client("sesv2").create_email_identity(EmailIdentity="payment3@local.example")
    after = preflight(empty, code=0)
    assert "ErrorMailFrom=payment3@local.example" in after["parameters"]["text"]

    other = preflight(empty, "--parameter", "ExistingOrderTable=process-paid-order-calls", code=1)
    assert other["OrderTable process-paid-order-calls"]["text"] == (
        "its key is orderId (S) + pass (N); expected orderId (S)"
    )
