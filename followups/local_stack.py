"""The local stack that `make up` keeps: how to reach it, as it is written in `.local/up.json`."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from followups.stack import Account, StackError

UP = Path(".local") / "up.json"
_CHECKOUT = Path(__file__).resolve().parent.parent
_TO_DO = "`make up` starts the local stack; without --local the environment's account is used"


def local_account(folder: Path | None = None) -> Account:
    """Return the way to the local stack of this folder or of this program's own checkout; raises `StackError`."""
    places = [(folder or Path.cwd()) / UP, _CHECKOUT / UP]
    kept = next((place for place in places if place.is_file()), None)
    if kept is None:
        raise StackError(f"no local stack is up: {_TO_DO}")
    try:
        session = dict(json.loads(kept.read_text())["session"])
        endpoint = str(session.pop("endpoint_url"))
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{kept} was not written by `make up`: `make down`, then {_TO_DO}") from error
    if not _answers(endpoint):
        raise StackError(f"nothing answers at {endpoint}, which {kept} names: `make down`, then {_TO_DO}")
    return Account(session, endpoint, ("--local",))


def _answers(endpoint: str) -> bool:
    place = urlsplit(endpoint)
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), timeout=2):
            return True
    except (OSError, ValueError):
        return False
