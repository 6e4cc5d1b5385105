"""The HTML answer: a refresh to where the order's customer goes, and to no foreign origin."""

from html import escape
from pathlib import Path
from urllib.parse import quote

from callback.settings import Settings

Response = dict[str, object]

# What a URL may hold as it is. The rest is percent-encoded, so that the attribute around it cannot be left.
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~-._"
_HEADERS = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
_HEADERS |= {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_HEADERS["Content-Security-Policy"] = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = Path(__file__).with_suffix(".html").read_text()


def redirect(order_id: str, return_url: object, settings: Settings) -> Response:
    """Answer with a page that goes to the return URL where its origin is allowed, else to the order's page."""
    target = settings.redirect_url_template.replace("{orderId}", quote(order_id, safe=""))
    if isinstance(return_url, str) and _is_allowed(return_url, settings.redirect_allowed_origins):
        target = quote(return_url, safe=_URL_CHARACTERS)
    body = _PAGE.format(url=escape(target, quote=True))
    return {"statusCode": 200, "headers": dict(_HEADERS), "body": body, "isBase64Encoded": False}


def _is_allowed(url: str, origins: tuple[str, ...]) -> bool:
    # By its very first characters, not by a URL parser: parsers and browsers disagree on `\` and `@`.
    text = url.lower()
    return any(text == o or text.startswith((f"{o}/", f"{o}?", f"{o}#")) for o in origins)
