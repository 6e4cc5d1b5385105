"""A real browser that can reach nobody but us: a recorder on 127.0.0.1 plays every host there is.

The recorder serves the pages to be tested and leads from each one to the next: who is asked for a document, the shop
or a stranger, sends the browser on. So one process walks hundreds of pages in seconds.
"""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OURS, SHOP = "callback.example", "shop.example"
TLS = "a host by https"
_NEXT = f"http://{OURS}/next"
# A stranger may be asked for a frame as well, and a frame that is led on would walk beside its page.
_STRANGER = f"<script>if (self === top) location = '{_NEXT}'</script>"
_FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root, as in most containers, cannot have one
    "--incognito",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-ipc-flooding-protection",  # it slows down who navigates often
    # The first would ask for https what is asked for by http; the others only take time.
    "--disable-features=HttpsUpgrades,BackForwardCache,RenderDocument,ProactivelySwapBrowsingInstance",
    "--remote-debugging-port=0",  # without it, or a page to dump, headless mode ends at once
]
# Only names under `.example` exist: what the browser asks of its maker is not the pages' doing. A page that leads to
# any other name gets the browser stuck, and its walk ends short.
_HOSTS = "--host-resolver-rules=MAP *.example 127.0.0.1:{port}, MAP * ~NOTFOUND"


@dataclass(frozen=True)
class Page:
    """An answer to open in the browser."""

    name: str
    body: str
    headers: dict[str, str]


class Recorder(ThreadingHTTPServer):
    """Every host. `asked[n]` is what was asked for, as `host/path`, from page n on until the next one."""

    daemon_threads = True

    def __init__(self, pages: list[Page]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.asked: list[list[str]] = []
        self.walked = threading.Event()

    def next_page(self) -> Page:
        """Turn the leaf; behind the last page there is an empty one."""
        number = len(self.asked)
        if number >= len(self.pages):
            self.walked.set()
            return Page("the end", "", {})
        self.asked.append([])
        return self.pages[number]


class _Handler(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes, and the second would wait 40 ms

    def handle(self) -> None:
        # A killed browser resets its connections.
        with contextlib.suppress(ConnectionError):
            if self.connection.recv(1, socket.MSG_PEEK) == b"\x16":  # a TLS handshake
                self.server.asked[-1].append(TLS)
            else:
                super().handle()

    def do_GET(self) -> None:
        """Serve the next page, or note who else was asked for what."""
        host = self.headers.get("Host", "")
        if host == OURS and self.path == "/favicon.ico":
            self._answer(404)
        elif host == OURS and self.path == "/next":
            page = self.server.next_page()
            self._answer(200, page.headers, page.body)
        else:
            self.server.asked[-1].append(host + self.path)
            self._lead_on(host)

    do_POST = do_GET  # noqa: N815 - http.server's own spelling; a beacon posts

    def _lead_on(self, host: str) -> None:
        if "text/html" not in self.headers.get("Accept", ""):  # an image, a sheet, a beacon
            self._answer(404)
        elif host == SHOP:
            self._answer(302, {"Location": _NEXT})
        else:
            self._answer(200, {"Content-Type": "text/html"}, _STRANGER)

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: str = "") -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in ((headers or {}) | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def walk(browser: str, pages: list[Page], profile: Path, limit: float = 60) -> list[list[str]]:
    """Open each page in turn, and return what was asked for from each; shorter where the browser got stuck."""
    with _listening(Recorder(pages)) as recorder:
        hosts = _HOSTS.format(port=recorder.server_port)
        command = [browser, *_FLAGS, f"--user-data-dir={profile}", hosts, _NEXT]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            recorder.walked.wait(limit)
            process.terminate()
        return recorder.asked


@contextlib.contextmanager
def _listening(recorder: Recorder) -> Iterator[Recorder]:
    with recorder:
        thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield recorder
        finally:
            recorder.shutdown()
            thread.join()
