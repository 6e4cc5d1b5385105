"""Who may ask the board, and for what: this machine, to read.

A page elsewhere can send a browser to 127.0.0.1, and by DNS rebinding under a name of its own: a Host that is not this
machine's is refused, and no answer may be framed, embedded or kept.
"""

from flask import Flask, Response, abort, request

HOST = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
        "; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_MISDIRECTED = 421


def guard(app: Flask) -> None:
    """Let the app answer reads under this machine's own name only, each with headers that keep it there."""
    app.before_request(_refuse)
    app.after_request(_protected)


def _refuse() -> None:
    name, _, _port = request.environ.get("HTTP_HOST", "").partition(":")
    if name not in {HOST, "localhost"}:
        abort(_MISDIRECTED)
    if request.method not in {"GET", "HEAD"}:
        abort(405)


def _protected(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
