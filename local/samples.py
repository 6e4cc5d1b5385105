"""The notifications in events/, as the run sends them."""

import copy
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callback.errors import FollowUpError
from callback.notification import Notification, parse_notification
from local.emulator import ROOT

EVENTS = ROOT / "events"
# All but the inputs of the other functions.
NAMES = sorted({file.stem for file in EVENTS.glob("*.json")} - {"recheck", "retry", "sweep"})


@dataclass(frozen=True)
class Sample:
    """One event file and the notification in it."""

    name: str
    event: dict[str, Any]
    notification: Notification


class EventError(Exception):
    """A file contains no notification; the message names it."""


def read_event(file: Path) -> Any:  # noqa: ANN401 - whatever is in it
    """Read a JSON file; the bank's bare charge becomes a gateway's event. Raises `EventError`."""
    try:
        event = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise EventError(f"{file}: {error}") from error
    if isinstance(event, dict) and "body" not in event and event.get("object") == "charge":
        event = {"headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
    return event


def read_sample(file: Path) -> Sample:
    """Read a notification. Raises `EventError`."""
    event = read_event(file)
    try:
        return Sample(file.stem, event, parse_notification(event))
    except FollowUpError as error:
        raise EventError(f"{file}: {error}") from error


def samples(own: Path | None = None) -> list[Sample]:
    """Return the named event, or all of events/."""
    return [read_sample(own)] if own else [read_sample(EVENTS / f"{name}.json") for name in NAMES]


def deliver_anew(sample: Sample, name: str) -> Sample:
    """Return the same charge delivered again by the bank, as a new notification."""
    event = copy.deepcopy(sample.event)
    event.setdefault("requestContext", {})["requestId"] = str(uuid.uuid4())
    return Sample(name, event, parse_notification(event))
