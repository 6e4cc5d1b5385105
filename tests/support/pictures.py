"""The pictures under docs/images: the operators' tools on a local stack in which much has happened."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from callback.settings import read_settings
from local import emulator
from local.emulator import ROOT, StackError
from local.samples import EVENTS
from local.stack import Options, Stack, running
from tests.support.demo_data import FAILED_ORDER, LATE_ORDER, DemoData
from tests.support.terminal import capture, draw

IMAGES = ROOT / "docs" / "images"
# A picture's name, and the command in it.
COMMANDS: Mapping[str, Sequence[str]] = {
    "watch": ("watch", "--once"),
    "list": ("list",),
    "show": ("show", FAILED_ORDER),
    "dead-letters": ("dead-letters", "list"),
    "verify": ("verify", "events/wrong-checksum.json"),
    "replay": ("replay", "--dry-run", LATE_ORDER, FAILED_ORDER),
}
# A picture's name, the theme, the page's width and height, and what is asked for.
PAGES: dict[str, tuple[Literal["light", "dark"], int, int, str]] = {
    "board-light": ("light", 1120, 900, ""),
    "board-dark": ("dark", 1120, 900, ""),
    "board-timeline": ("light", 1080, 640, f"?find={FAILED_ORDER}"),
    "board-phone": ("light", 360, 760, ""),
}
_PATIENCE = 30
COLUMNS = 120


def main() -> int:
    """Make the pictures; exit code 2 where one could not be made."""
    console = Console()
    logging.disable()  # the functions' own lines
    program = _chromium()
    if program is None:
        console.print("Chromium is not installed: apt-get install chromium")
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    with _local_stack(console) as deployed:
        environment = {**os.environ, **_reach(deployed)}
        _play(deployed)
        for name, command in COMMANDS.items():
            console.print(f"docs/images/{name}.svg", highlight=False)
            _terminal(name, command, environment)
        with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program) as started:
            _play(deployed)
            _board(console, started, environment)
    return 0


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def _local_stack(console: Console) -> Iterator[Stack]:
    with running(console, Options(), sweep_every=86_400) as deployed:  # nobody tidies up what is shown
        # The functions' own code reads them where it writes the past.
        os.environ |= _reach(deployed)
        with console.status("letting much happen"):
            _dead_letters(deployed)
        yield deployed


def _reach(deployed: Stack) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": emulator.ACCOUNT, "AWS_SECRET_ACCESS_KEY": emulator.ACCOUNT}
    return keys | {"AWS_DEFAULT_REGION": emulator.REGION, "AWS_ENDPOINT_URL": deployed.emulator.url}


def _play(deployed: Stack) -> None:
    """Let it happen anew: what waits for a minute is done a minute later."""
    for name, key in {"CreditCardNotifyTable": "chargeId, notificationId", "CallbackErrorLogTable": "errorId"}.items():
        table = deployed.table(deployed.outputs[name])
        for item in table.scan(ProjectionExpression=key)["Items"]:
            table.delete_item(Key=item)
    DemoData(read_settings(deployed.variables("RecheckFunction")), datetime.now(UTC)).play()


def _dead_letters(deployed: Stack) -> None:
    # One without its charge, which RetryFunction refuses; and one that was not saved within its 72 hours.
    event = json.loads((EVENTS / "authorized.json").read_text())
    broken = json.dumps(event | {"body": json.dumps({"object": "charge"})})
    function = deployed.outputs["DelayedNotifyFunction"]
    deployed.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=broken)
    [record] = json.loads((EVENTS / "retry.json").read_text())["Records"]
    deployed.client("sqs").send_message(QueueUrl=deployed.outputs["FailureQueue"], MessageBody=record["body"])
    deadline = time.monotonic() + _PATIENCE
    while deployed.messages()["RefusedQueue"] == 0:
        if time.monotonic() > deadline:
            raise StackError("the refused notification did not arrive")
        time.sleep(0.2)  # a queue has no event for an arrival; this is a tool, not a test


def _terminal(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    written = capture([sys.executable, "-m", "followups", *command], environment, COLUMNS)
    draw(written, f"followups {' '.join(command)}", IMAGES / f"{name}.svg", COLUMNS)


def _board(console: Console, started: Browser, environment: Mapping[str, str]) -> None:
    with _served(environment) as address:
        for name, (scheme, width, height, query) in PAGES.items():
            console.print(f"docs/images/{name}.png", highlight=False)
            with started.new_context(color_scheme=scheme, reduced_motion="reduce") as context:
                page = context.new_page()
                page.set_viewport_size({"width": width, "height": height})
                page.goto(f"{address}{query}")
                page.screenshot(path=IMAGES / f"{name}.png")


@contextmanager
def _served(environment: Mapping[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", "followups", "board", "--no-browser"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not (found := re.search(r"http://\S+/", line)):
                raise StackError(f"the board did not start: {line}")
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
