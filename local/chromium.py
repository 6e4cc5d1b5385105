"""A headless Chromium, driven over a pipe by the Chrome DevTools Protocol: no port, no library, nothing to download."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root, as in most containers, cannot have one
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--remote-debugging-pipe",
]
# The browser reads from 3 and writes to 4, the numbers are its own.
_BEGIN = "import os, sys; [os.dup2(int(sys.argv[n - 2]), n) for n in (3, 4)]; os.execv(sys.argv[3], sys.argv[3:])"
_NEW_FDS = 10  # out of the way of those two
Event = dict[str, Any]


class BrowserError(Exception):
    """The browser ended, or refused a command."""


@dataclass
class Page:
    """One page; `told` is all that the browser has said of it, beside its answers."""

    _to: int
    _from: int
    session: str = ""
    told: list[Event] = field(default_factory=list)
    _sent: int = 0
    _rest: bytes = b""

    def send(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - the protocol's own answers
        """Give a command and return its answer, or raise `BrowserError`."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._sent:
            self.told.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    @contextmanager
    def fresh(self) -> Iterator["Page"]:
        """Open a page that knows nothing of any other, and close it after use."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self._to, self._from, session, _sent=self._sent)
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.send(f"{domain}.enable")
        try:
            yield page
        finally:
            self._sent, self._rest = page._sent, page._rest
            self.send("Target.disposeBrowserContext", browserContextId=context)

    def go(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        before = len(self.told)
        self.send("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.told[before:]):
            self.told.append(self._read())

    def run(self, script: str) -> Any:  # noqa: ANN401 - whatever the script returns
        """Evaluate a script, wait for its promise, and return its value."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a script's condition holds, looked at each time the page is drawn."""
        self.run(f"new Promise(done => (function look() {{ ({condition}) ? done() : setTimeout(look, 20) }})())")

    def size(self, width: int, height: int) -> None:
        """Give the page a size."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, **features: str) -> None:
        """Let the page see what a person prefers: color_scheme="dark", reduced_motion="reduce"."""
        given = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=given)

    def shoot(self, file: Path, *, whole: bool = False) -> None:
        """Write a picture of what is in sight, or of the whole page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        file.write_bytes(b64decode(data))

    def _read(self) -> Event:
        while b"\0" not in self._rest:
            if not (more := os.read(self._from, 65_536)):
                raise BrowserError("the browser ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        event: Event = json.loads(message)
        return event


@contextmanager
def browser(program: str, profile: Path, limit: float = 120) -> Iterator[Page]:
    """Start a browser and end it after use, or where it takes longer than the limit; what it yields opens pages."""
    (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()
    command = [sys.executable, "-c", _BEGIN, str(theirs_in), str(theirs_out), program, *_FLAGS]
    with subprocess.Popen(
        [*command, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        watchdog = threading.Timer(limit, process.kill)
        watchdog.start()
        try:
            yield Page(ours_out, ours_in)
        finally:
            watchdog.cancel()
            process.terminate()
            os.close(ours_out)
            os.close(ours_in)


def _pipe() -> tuple[int, int]:
    near = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _NEW_FDS) for end in near)
    for end in near:
        os.close(end)
    return read, write
