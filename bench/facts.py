"""What the measurements read: the template, as CloudFormation would see it, and AWS's prices and quotas."""

import json
import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROOM = ROOT / ".local" / "bench"
PARAMETERS = {"RedirectAllowedOrigins": "https://shop.local.example"}


@cache
def read(name: str) -> dict[str, Any]:
    """Read `prices` or `quotas`."""
    return tomllib.loads((ROOT / "bench" / f"{name}.toml").read_text())


def price(name: str) -> float:
    """Return a price in dollars."""
    return float(read("prices")[name])


@cache
def template() -> dict[str, Any]:
    """Return what `python -m bench.facts` wrote of the template."""
    return dict(json.loads((ROOM / "template.json").read_text()))


def write_template() -> None:
    """Write down what is needed of the template; runs in .venv, which has SAM's translator."""
    os.environ["AWS_DEFAULT_REGION"] = "ap-southeast-1"
    from tests.support.template import resolved, source  # noqa: PLC0415 - only in .venv

    resources, size = resolved(**PARAMETERS), source()["Parameters"]["MemorySize"]
    tables = [about["Properties"] for about in resources.values() if about["Type"] == "AWS::DynamoDB::Table"]
    metrics = re.findall(r'payment3/follow-up(?:", "|, MetricName: )(\w+)', (ROOT / "template.yaml").read_text())
    found = {
        "environment": resources["DelayedNotifyFunction"]["Properties"]["Environment"]["Variables"],
        "tables": {table["TableName"]: _keys(table) for table in tables},
        "memory_sizes": size["AllowedValues"],
        "memory_size": size["Default"],
        "alarms": sum(about["Type"] == "AWS::CloudWatch::Alarm" for about in resources.values()),
        "metrics": len(set(metrics)),
    }
    ROOM.mkdir(parents=True, exist_ok=True)
    (ROOM / "template.json").write_text(json.dumps(found))


def _keys(table: dict[str, Any]) -> dict[str, list[str]]:
    """Return the key attributes of a table, under an empty name, and of each of its indexes."""
    about = [{"IndexName": ""} | table, *table.get("GlobalSecondaryIndexes", ())]
    return {one["IndexName"]: [key["AttributeName"] for key in one["KeySchema"]] for one in about}


if __name__ == "__main__":
    write_template()
