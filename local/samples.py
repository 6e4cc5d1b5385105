"""The notifications in events/, as the run sends them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callback.notification import Notification, parse_notification
from local.emulator import ROOT

EVENTS = ROOT / "events"
NAMES = (
    "authorized",
    "pre-authorized",
    "declined",
    "large-amount",
    "browser-return",
    "base64",
    "http-api-v2",
    "wrong-checksum",
    "missing-checksum",
)


@dataclass(frozen=True)
class Sample:
    """One event file and the notification in it."""

    name: str
    event: dict[str, Any]
    notification: Notification


def read_sample(file: Path) -> Sample:
    """Read an event file; raises what DelayedNotify would raise of a bad one."""
    event = json.loads(file.read_text())
    return Sample(file.stem, event, parse_notification(event))


def samples(own: Path | None = None) -> list[Sample]:
    """Return one's own event, or all of ours."""
    return [read_sample(own)] if own else [read_sample(EVENTS / f"{name}.json") for name in NAMES]
