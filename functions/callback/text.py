"""Texts as they come: with blanks and invisible characters around them, in base64, in any spelling of Unicode."""

import base64
import unicodedata

# What editors, proxies and copying leave around a text: all kinds of blanks, and what nobody sees.
BLANKS = "".join(map(chr, range(0x2000, 0x2010))) + "\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
BLANKS += "\0\t\n\v\f\r \x85\xa0\xad\u1680"
_NO_BLANKS, _BASE64 = str.maketrans("", "", BLANKS), str.maketrans("-_", "+/", f"{BLANKS}=")


def decode_base64(text: str) -> str:
    """Decode UTF-8 text from base64 of either alphabet, with or without padding. Raises `ValueError`."""
    plain = text.translate(_BASE64)
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()


def folded(text: str) -> str:
    """Return what two spellings of one text have in common."""
    return unicodedata.normalize("NFKC", text).translate(_NO_BLANKS).casefold()
