"""AWS's quotas and prices, each with its source and its date, from one file each."""

import tomllib
from functools import cache
from typing import Any

from bench.template import ROOT

Table = dict[str, dict[str, Any]]
# What each call takes: assumed, not measured; "single-digit milliseconds" is what DynamoDB promises.
CALL_SECONDS = 0.005


@cache
def read(name: str) -> Table:
    """Read one of the two files."""
    return tomllib.loads((ROOT / "bench" / f"{name}.toml").read_text())


def limits() -> dict[str, int]:
    """Return each quota's number."""
    return {name: int(about["limit"]) for name, about in read("quotas").items()}


def price(name: str, kind: str = "price") -> float:
    """Return a price in dollars."""
    return float(read("prices")[name][kind])
