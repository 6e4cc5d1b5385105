"""What the measurements take from template.yaml: the tables' keys and indexes, and the sizes a function may have."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Index:
    """One index, which holds keys only."""

    name: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class TableShape:
    """One table: its key and its indexes."""

    key: tuple[str, ...]
    indexes: tuple[Index, ...]


@cache
def table_shape(resource: str) -> TableShape:
    """Read a table's shape from the template."""
    # By its lines: YAML would need a loader that knows CloudFormation's tags, and a library for it here.
    text = _resource(resource)
    own, *parts = re.split(r"\n +- IndexName: ", text)
    indexes = [Index(part.split("\n", 1)[0], _keys(part)) for part in parts]
    return TableShape(_keys(own), tuple(indexes))


def memory_sizes() -> tuple[list[int], int]:
    """Return the sizes that the template allows, and the one it has."""
    text = _resource("MemorySize")
    [allowed], [default] = re.findall(r"AllowedValues: \[(.+)\]", text), re.findall(r"Default: (\d+)", text)
    return [int(size) for size in allowed.split(",")], int(default)


def alarms() -> int:
    """Count the template's alarms."""
    return (ROOT / "template.yaml").read_text().count("Type: AWS::CloudWatch::Alarm\n")


def metrics() -> int:
    """Count the metrics of this project that the template's alarms and dashboard name."""
    named = r'payment3/follow-up(?:", "|, MetricName: )(\w+)'
    return len(set(re.findall(named, (ROOT / "template.yaml").read_text())))


def _resource(name: str) -> str:
    text = (ROOT / "template.yaml").read_text()
    # The first of the name: an output of the same name comes last.
    return str(re.findall(rf"^  {name}:\n((?:    .*\n|\n)+)", text, re.MULTILINE)[0])


def _keys(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"AttributeName: (\w+), KeyType", text))
