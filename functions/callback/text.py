"""Texts as they come: with blanks and invisible characters around them, in base64, in any spelling of Unicode."""

import base64
import json
import unicodedata

# What editors, proxies and copying leave around a text: all kinds of blanks, and what nobody sees.
_HIDDEN = [*range(0x21), *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)]
BLANKS = "".join(map(chr, _HIDDEN)) + "\x85\xa0\xad\u061c\u1680\u180e\u3000\ufeff"
_NO_BLANKS, _BASE64 = str.maketrans("", "", BLANKS), str.maketrans("-_", "+/", f"{BLANKS}=")


def decode_base64(text: str) -> str:
    """Decode base64 text of either alphabet, padded or not. Undecodable bytes are replaced. Raises `ValueError`."""
    plain = text.translate(_BASE64)
    decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    return decoded.decode(json.detect_encoding(decoded), errors="replace")


def folded(text: str) -> str:
    """Return what two spellings of one text have in common."""
    return unicodedata.normalize("NFKC", text).translate(_NO_BLANKS).casefold()
