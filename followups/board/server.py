"""The board's server: on 127.0.0.1, until Ctrl-C."""

import socket
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from followups.board.guard import HOST

# However many pages are open: they share a look.
AT_MOST_EVERY = timedelta(seconds=2)


class _Quiet(WSGIRequestHandler):
    """Says nothing of its making, and prints no line for each request."""

    server_version, sys_version = "followups", ""

    def log_request(self, *_: object) -> None:
        """Keep quiet; errors are still logged."""


def server(app: Flask, port: int) -> BaseWSGIServer:
    """Listen on a port of 127.0.0.1, a free one for 0. Raises `OSError` where it is taken."""
    # Bound here: werkzeug would end the process where the port is taken.
    with socket.create_server((HOST, port)) as bound:
        return make_server(HOST, port, app, threaded=True, request_handler=_Quiet, fd=bound.fileno())


def serve(app: Flask, port: int, tell: Callable[[str], None], *, browser: bool) -> None:
    """Serve until Ctrl-C; tell the address, and show it in the browser."""
    with server(app, port) as listening, suppress(KeyboardInterrupt):
        address = f"http://{HOST}:{listening.port}/"
        tell(f"The board is at {address} until Ctrl-C.")
        if browser:
            webbrowser.open(address)
        listening.serve_forever()
