"""Who may ask the board, and for what: this machine, to read.

A page elsewhere can send a browser to 127.0.0.1, and by DNS rebinding under a name of its own: what a page other than
ours asks for is refused, as is a Host that is not this machine's, and no answer may be framed, embedded or kept.
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
    host = request.environ.get("HTTP_HOST", "")
    if host.partition(":")[0] not in {HOST, "localhost"}:
        abort(_MISDIRECTED)
    # A browser says both by itself, and no page can change them. Another program says neither.
    if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
        abort(403)
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        abort(403)
    if request.method not in {"GET", "HEAD"}:
        abort(405)


def _protected(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
