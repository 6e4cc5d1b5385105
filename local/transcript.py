"""docs/sam-local.md: what `make sam-local` said, without what belongs to one machine or one run."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache

from local.containers import Ran
from local.emulator import ROOT
from local.sam_local import Outcome
from local.samples import EVENTS

FILE = ROOT / "docs" / "sam-local.md"
_CHANGES = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r'("Timestamp":) ?\d{13}'), r"\1<time>"),
    (re.compile(r'("(?:durationMs|RecheckLateness)":) ?[\d.]+'), r"\1<ms>"),
    (re.compile(r"(127\.0\.0\.1|host\.docker\.internal):\d{2,5}"), r"\1:<port>"),
)
_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TOLD = ("level", "message", "orderId", "notificationId", "pass", "schedule", "state", "passesDone")
_HEAD = """# The whole flow through `sam local`

Written by `make transcript`, which runs `make sam-local` and `make sam-local IMAGE=1` and leaves out what changes with
each run: `<time>`, `<id>`, `<port>`, `<ms>`. Every function ran in a container; the emulator kept tables, timers
and ProcessPaidOrder. What `base` names as a stand-in is NOT AWS's image: `make sam-local` built it, because this was
written where AWS's cannot be pulled.
"""


def written(heard: Mapping[str, tuple[str, Outcome]]) -> str:
    """Return the document of each flavour's run: what was printed, and what it did."""
    parts = [_HEAD]
    for flavour, (printed, outcome) in heard.items():
        command = "make sam-local" if flavour == "zip" else "make sam-local IMAGE=1"
        parts += [f"## {flavour.capitalize()}", _block(f"$ {command}\n{printed}")]
        if flavour == "zip":
            parts += [
                "What one of its containers logged, in short, and answered:",
                _block(_one(outcome.said["authorized"])),
            ]
            parts += ["A Recheck, started by its timer:", _block(_recheck(outcome.log))]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def scrubbed(text: str) -> str:
    """Return a text without paths of this machine, and without ids, times and ports of one run."""
    text = text.replace(f"{ROOT}/", "").replace(str(ROOT), ".")
    for pattern, instead in _CHANGES:
        text = pattern.sub(instead, text)
    return _ID.sub(lambda found: found[0] if found[0] in _lasting() else "<id>", text)


@cache
def _lasting() -> frozenset[str]:
    # The ids of our own events stay what they are.
    texts = [file.read_text() for file in EVENTS.glob("*.json")]
    return frozenset(found[0] for text in texts for found in _ID.finditer(text))


def _one(ran: Ran) -> str:
    said = "\n".join(_logged(ran.log))
    return f"$ sam local invoke DelayedNotifyFunction --event events/authorized.json\n{said}\n{_in_lines(ran)}"


def _in_lines(ran: Ran) -> str:
    return json.dumps(ran.answer, indent=2)


def _recheck(log: str) -> str:
    # Containers speak at once: the lines of one are those with its notification's id.
    own = json.loads((EVENTS / "authorized.json").read_text())["requestContext"]["requestId"]
    return "\n".join(_logged(log, notificationId=own, **{"pass": 2}))


def _logged(log: str, **of: object) -> Iterator[str]:
    for line in log.splitlines():
        # The others are the SAM CLI's progress, and REPORT, whose figures are not true of one's own machine.
        if line.startswith("{"):
            entry = json.loads(line)
            if of.items() <= entry.items() and "message" in entry:
                yield json.dumps({name: entry[name] for name in _TOLD if name in entry})


def _block(text: str) -> str:
    lines = [line.rstrip() for line in scrubbed(text).strip().splitlines()]
    return "```\n" + "\n".join(lines) + "\n```"
