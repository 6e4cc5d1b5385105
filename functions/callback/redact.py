r"""Text from outside: what can be an id, and which card data, tokens and secrets in it are masked.

A text is searched as it is, and in a plain view of the same length, where digits of any script, full-width letters and
encoded characters (`%34`, `\u0034`) are ASCII. What is found there is masked in the text; the rest does not change.
No pattern repeats without a bound before it can fail: the time must not grow with the square of a text's length.
"""

import base64
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from html import unescape

# What editors, proxies and copying leave around a text: all kinds of blanks, and invisible characters.
_HIDDEN = [*range(0x21), *range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)]
BLANKS = "".join(map(chr, _HIDDEN)) + "\x85\xa0\xad\u061c\u1680\u180e\u3000\ufeff"
_BASE64 = str.maketrans("-_", "+/", f"{BLANKS}=")
# DynamoDB's limits for a partition key, an index key and a sort key.
MAX_ID_BYTES, MAX_SORT_ID_BYTES = 2048, 1024
ID_EXPECTED = f"one line of 1 to {MAX_ID_BYTES} bytes, and no card number"
# Line ends separate ids where they are hashed, and a lone surrogate has no UTF-8.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# `_ACROSS`: how far beyond the cut to search for the end of a secret that begins before it.
MASK, MAX_TEXT, MAX_BODY_BYTES, _MAX_DEPTH, _ACROSS = "[redacted]", 8_000, 32 * 1024, 12, 300


def _any(names: str) -> str:
    # The first letters as sets: the engine skips other text sooner.
    first = "".join(sorted({name[0] for name in names.split("|")}))
    each = "|".join(f"[{name[0]}{name[0].upper()}](?i:{name[1:]})" for name in names.split("|"))
    return f"(?=[{first}{first.upper()}])(?:{each})"


# The one list of names, for JSON, forms and prose. Codes are a few digits; in prose no sign comes before them.
# Short names count only as whole words, as in `card_pin`, `cardPin` and `PIN code`, not in `shipping` or `PANIC`.
_WORD = "|[%s](?:(?<![A-Za-z].)|(?<=[a-z][%s]))(?i:%s)(?![a-z]|[A-Z]{2})"
_CODES = _any(r"cv[vcx]|passcode|s(?<![a-z].)ec(?:urity)?[-_+ \1]?\0{,5}code") + "|"
_CODES += _any(r"cv[-_ ]?code|cv[-_ ]?num(?:ber)?|v[ae][lr]i\w{1,3}ation[-_ +\1]?\0{,5}[cnv]\w{3,5}")
_CODES += _WORD % ("pP", "P", "an|in") + _WORD % ("cC", "C", "id|vn|vd|v2|sc|cv|av2?")
_STEMS = r"token(?!iz)|secret(?!smanager)(?!:[a-z])|security|passw|pass_?phrase|pwd|credential|authorization|cookie|jwt"
_STEMS += r"|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|signature(?![a-z])|c(?<!dis.)(?<!wild.)ard|h(?<!place.)older"
_STEMS += r"|x(?<![a-z].)id|last_?4|cavv|mpi\b|expir(?!es_?(?:at|in))|exp[-_]?[mdy]\w{3,4}|track[-_]?[d123]"
_STEMS += r"|track[-_]?two|cryptogram|approval_code|pin[-_ ]?block|mag_?str|mag_?dat|icc_?dat|emv_?dat"
_SECRET = re.compile(rf"{_CODES}|{_any(_STEMS)}|^number$")
# `name=value`, `name[part]=value`, `name: value`, `<name>value`, `"name": "value`. In JSON in JSON each quote has
# backslashes before it, and the value ends at a quote with as many.
_NAMED = (
    rf"(?:{_CODES}|{_any(_STEMS)})[\w\[\]%.\0-]{{,40}}+[\\\0]{{,16}}+[\"']?+\0{{,8}}+[\s\1]{{,8}}+"
    rf"(?:[=:]\0{{,8}}[\s\1+]{{,8}}+|(?:\w{{1,9}}\s?=[^<>]{{,60}})?>)\0{{,8}}+"
    r"(?:(\\{,15}[\"'])((?s:(?!(?<!\\)(?<!\\\0\0)\1).)+)|((?i:(?:basic|bearer|digest)[\s\1+]\0*)?[^&\s\"',}<]+))"
)
_FILLER = r"(?:\W{1,3}(?i:is|was|code|number|no|value|of|on|the|back|entered|as|[34] digits?)){,6}"
# A whole text such as `CID-100234` is an order's id: a card's code has three or four digits, a PAN twelve or more.
_SAID = rf"(?!\A(?:CID|CVN|PAN)-\d{{5,8}}\Z)(?:{_CODES})2?{_FILLER}\W{{,4}}(\d(?: ?\d){{2,7}})(?!\d)"
_KEYS = r"[spSP](?<!\w.)key_\w+|e(?<![\w-].)yJ[\w-]++\.[\w.-]+|[cC](?i:ookie):\s([^\r\n\"']+)"
_KEYS += r"|[tT](?<!\w.)okn?_\w+|[bB](?i:earer)[\s\1+][^\s\"',]+"
_MASKED = r"(?<!\w)\d{4,6}[- ]?(?:[xX*•#][- ]?){2,12}\d{2,4}(?!\w)"
_SECRETS = [*map(re.compile, (_NAMED, _SAID, _KEYS, _MASKED))]
# Long numbers, however they are grouped: with at most three of these characters between two digits.
_BETWEEN = " \t\r\n\1/._+-\u2212\\"
_CHAIN = re.compile(rf"[0-9](?:\0*+(?:[{re.escape(_BETWEEN)}]\0*+){{0,3}}[0-9]){{12,}}+\0*+")
# With nothing else around them, 14 digits or more may be a card's in any groups with equal gaps, or of 4 or more; else
# only in the usual groups. Digits of a fraction are not a card's, nor are 13 after a plus: they are a telephone number.
_ALONE = re.compile(r"(?=(?:\D*\d){14})(?:\d+([^\d.]+)\d+(?:\1\d+)*|\d+(?:\.\d+){2,}|\d{4,}(?:\D+\d{4,}){2,})")
_D, _G, _4, _X = r"[0-9]\0*+", r"(?:[^\d\r\n\0]\0*+){1,3}", r"(?:[0-9]\0*+){4}", "[0-9A-F]"
_USUAL = re.compile(
    rf"(?<!\d)(?=[02-68])(?=((?<!\d\.)(?:(?<![\s\"'(]\+)(?<!^\+)|(?=(?:{_D}){{14}}))(?:{_D}){{13,19}}(?!\d)"
    rf"|{_4}{_G}(?:{_D}){{6}}{_G}(?:{_D}){{4,5}}(?!\d)|(?:{_4}{_G}){{3}}(?:{_D}){{1,4}}(?!\d))({_G}(?:{_D}){{1,3}}(?!\d))?)"
)
# The usual groups once more, with any signs between them, if these are all the same.
_ALIKE = re.compile(
    rf"(?<!\d)(?=[2-68])({_4}(?P<gap>(?:[^\dA-Za-z\r\n\0]\0*+|<[/A-Za-z ]{{1,6}}>){{1,8}})"
    rf"(?:{_4}(?P=gap){_4}(?P=gap)(?:{_D}){{1,4}}"
    rf"|(?:{_D}){{6}}(?P=gap)(?:{_D}){{4,5}})(?!\d))(?:(?P=gap)(?:{_D}){{1,3}}(?!\d))?"
)
# How the card schemes' numbers begin, and how long they are: other numbers pass Luhn's check, too, but rarely fit.
_SCHEME = re.compile(
    r"(?!2[2-7](?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])(?:[0-5]\d){2})"  # a date and a time
    r"(?:4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720|220[0-4]|8[12]\d\d)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-59]|[689]\d)\d{11,16}|35\d{14,17}|(?:5[0678]|6[37])\d{11,17}|62\d{14,17}|6\d{15}(?:\d{3})?)"
)
# What may come after a number: track data, or the month it expires and its code.
_BEHIND = re.compile(r"\^[^^\n]{2,40}(\^[\w=;?^\0]{,80})?|[=D](\0*\d){7,40}|([\s\1/|:;,-]{1,3}\d{2,4}(?!\.?\d)){1,3}")
_CODE = re.compile(
    rf"(?i)%(?:25)?(?:u{_X}{{4}}|[0-7]{_X}|[C-F]{_X}(?:%(?:25)?[89AB]{_X}){{1,3}})|\\{{1,9}}(?:u{_X}{{4}}|x{_X}{{2}}|[tnrf])"
    rf"|&(?:#[0-9]{{1,7}}|#x{_X}{{1,6}}|[a-z]{{2,8}});|[^\0-\x7f]"
)
_KINDS = {"Zs": "\1", "Pd": "-", "Cf": "\0", "Mn": "\0", "Me": "\0"}  # of characters: blanks, dashes, invisible ones
_DOUBLED = str.maketrans("0123456789", "0246813579")


def decode_base64(text: str) -> str:
    """Decode base64 text of either alphabet, padded or not. Undecodable bytes are replaced. Raises `ValueError`."""
    plain = text.translate(_BASE64)
    decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    return decoded.decode(json.detect_encoding(decoded), errors="replace")


def is_id(text: str, limit: int = MAX_ID_BYTES) -> bool:
    """Whether a text can be a key."""
    return not _UNUSABLE.search(text) and 0 < len(text.encode()) <= limit and not is_card_number(text)


def trimmed_id(value: object) -> str | None:
    """Return an id as it was sent, without the blanks around it; None if that cannot be a key."""
    text = value.strip(BLANKS) if isinstance(value, str) else ""
    return text if is_id(text) else None


def redacted_event(event: object) -> str:
    """Return an event as JSON that is safe to keep: secrets are masked, long texts are cut."""
    if isinstance(event, Mapping) and event.get("isBase64Encoded"):
        with suppress(ValueError, RecursionError):
            event = {**event, "body": decode_base64(str(event.get("body")))}
    return json.dumps(_redacted(event), default=str)[: 8 * MAX_TEXT]


def mask_body(body: str) -> str:
    """Return a notification's body as the record keeps it: masked, and at most 32 KB of it."""
    return redacted_text(body, most=MAX_BODY_BYTES).encode()[:MAX_BODY_BYTES].decode(errors="ignore")


def is_card_number(text: str) -> bool:
    """Whether a text is a card number, in one piece or in groups of four digits or more, or track data; any script."""
    plain = _plain(text).replace("\0", "").strip("\1 ")
    is_track = any(re.match(r"\^|[=D]\d", plain[end:]) for _, end in _numbers(plain))
    return is_track or (bool(re.fullmatch(r"(?:\d{4,}[\W_]+)*\d+", plain)) and _adds_up(plain))


def redacted_text(text: str, depth: int = 0, most: int = MAX_TEXT) -> str:
    """Redact a text by its fields if it is JSON, else by patterns."""
    try:
        return json.dumps(_redacted(json.loads(text.lstrip("\ufeff"), strict=False), depth), ensure_ascii=False)[:most]
    except (ValueError, RecursionError):
        return scrub(text, most)


def scrub(text: str, most: int = MAX_TEXT) -> str:
    """Mask what is or may be secret in free text, and cut it to size, but never through a secret."""
    if text.isalpha():  # most names and values in JSON are: the quick way
        return text[:most]
    text = text[: most + _ACROSS].encode(errors="replace").decode()
    kept, end = [], 0
    for start, stop in sorted({span for view in {text, _plain(text)} for span in _secrets(view)}):
        if end <= start < most:
            kept.append(text[end:start] + MASK)
        end = max(end, stop)
    return "".join([*kept, text[end:most]])[:most]


def _secrets(view: str) -> Iterator[tuple[int, int]]:
    for pattern in _SECRETS:
        yield from (found.span(found.lastindex or 0) for found in pattern.finditer(view))
    for start, end in _numbers(view):
        behind = _BEHIND.match(view, end)
        yield start, behind.end() if behind else end


def _numbers(view: str) -> list[tuple[int, int]]:
    spans = [(found.start(), found.end(i)) for found in _ALIKE.finditer(view) for i in (0, 1)]
    for chain in _CHAIN.finditer(view):
        spans += [(found.start(1), found.end(i)) for found in _USUAL.finditer(view, *chain.span()) for i in (1, 2)]
        spans += [chain.span()] if _ALONE.fullmatch(chain[0].replace("\0", "")) else []
    return [(start, end) for start, end in spans if end > 0 and _adds_up(view[start:end])]


def _adds_up(text: str) -> bool:
    digits = re.sub(r"\D", "", text).lstrip("0")
    sums = digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)  # Luhn's
    return bool(_SCHEME.fullmatch(digits)) and (sum(sums.encode()) - 48 * len(sums)) % 10 == 0


def _plain(text: str) -> str:
    return _CODE.sub(lambda found: _folded(found[0]), text)


@lru_cache(maxsize=4096)
def _folded(token: str) -> str:
    codes = bytes.fromhex(re.sub(r"(?i)%(25)?u?|\\+[uxtnrf]", "", token)) if token[0] in "%\\" else b""
    decoded = codes.decode("utf-16-be" if "u" in token.lower() else "utf-8", errors="replace")
    char = decoded or (unescape(token) or token)[0]
    plain = unicodedata.normalize("NFKC", char)[0]
    return (_KINDS.get(unicodedata.category(char[0])) or str(unicodedata.digit(char[0], plain))).ljust(len(token), "\0")


def _redacted(value: object, depth: int = 0) -> object:
    if depth > _MAX_DEPTH:
        return "[deeper]"
    if isinstance(value, Mapping):
        fields = {str(name): inner for name, inner in value.items()}
        # Also `value` of `{"name": "cvv", "value": "123"}`.
        is_named = any(_SECRET.search(str(v)) for n, v in fields.items() if n.lower() in {"name", "key"})
        secret = {n for n in fields if _SECRET.search(n) or (is_named and n.lower() == "value")}
        return {scrub(n): MASK if n in secret else _redacted(v, depth + 1) for n, v in fields.items()}
    if isinstance(value, list):
        in_pieces = is_card_number("".join(str(piece) for piece in value if isinstance(piece, str | int))[:_ACROSS])
        return MASK if in_pieces else [_redacted(inner, depth + 1) for inner in value]
    if isinstance(value, str) and value.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        return redacted_text(value, depth + 1)  # JSON in JSON: a proxy event's body, a Lambda's answer
    clean = scrub(str(value))
    return value if clean == str(value) else clean
