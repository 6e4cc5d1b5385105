"""The parameters that `sam deploy` would give: samconfig.toml's, else what the stack has already, else the defaults."""

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from followups.preflight.finding import Finding

_ASSIGNED = re.compile(r"(?:ParameterKey=([A-Za-z0-9]+),ParameterValue=(.*)|([A-Za-z0-9]+)=(.*))", re.DOTALL)


class ConfigError(Exception):
    """samconfig.toml, or a parameter of the command line, cannot be read."""


@dataclass(frozen=True)
class Environment:
    """One environment of samconfig.toml."""

    name: str
    stack: str
    given: Mapping[str, str]
    session: Mapping[str, str] = field(default_factory=dict)


def read_environment(file: Path, name: str) -> Environment:
    """Read an environment as `sam deploy --config-env NAME` does. Raises `ConfigError`."""
    try:
        content = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if name not in content:
        known = ", ".join(key for key, value in content.items() if isinstance(value, dict))
        raise ConfigError(f"{file} has no environment {name}; it has {known}")
    options: dict[str, Any] = {}
    for command in ("global", "deploy"):
        options |= content[name].get(command, {}).get("parameters", {})
    session = {f"{key}_name": str(options[key]) for key in ("profile", "region") if options.get(key)}
    return Environment(name, str(options.get("stack_name", "")), _given(options), session)


def assigned(texts: Iterable[str]) -> dict[str, str]:
    """Read `Name=Value`, or the long form that CloudFormation's own tools take. Raises `ConfigError`."""
    values = {}
    for text in texts:
        found = _ASSIGNED.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r} is no parameter: Name=Value")
        values[found[1] or found[3]] = _unquoted(found[2] if found[1] else found[4])
    return values


def effective(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], deployed: Mapping[str, str]
) -> dict[str, str]:
    """Return the value of each declared parameter: what is not given stays as it is deployed, as in `sam deploy`."""
    defaults = {name: str(about.get("Default", "")) for name, about in declared.items()}
    kept = {name: value for name, value in deployed.items() if name in declared}
    return defaults | kept | {name: value for name, value in given.items() if name in declared}


def parameter_findings(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str], values: Mapping[str, str]
) -> Iterator[Finding]:
    """Hold the values against the template's own declarations."""
    for name in sorted(given.keys() - declared.keys()):
        yield Finding("stop", name, "the template has no such parameter", "take it out of samconfig.toml")
    for name, about in declared.items():
        value = values[name]
        # A list is held against its rules one by one.
        given_one_by_one = value.split(",") if about["Type"] == "CommaDelimitedList" else [value]
        if wrong := next(filter(None, (_wrong(about, one.strip()) for one in given_one_by_one)), ""):
            todo = str(about.get("ConstraintDescription", about.get("Description", "")))
            yield Finding("stop", name, f"{value!r} {wrong}", todo)
    kept = [name for name in declared if name not in given and values[name] != str(declared[name].get("Default", ""))]
    if kept:
        values_kept = ", ".join(f"{name}={values[name]}" for name in kept)
        yield Finding(
            "ok", "parameters", f"kept from the deployed stack, since samconfig.toml gives none: {values_kept}"
        )


def _given(options: Mapping[str, Any]) -> dict[str, str]:
    overrides = options.get("parameter_overrides", [])
    if isinstance(overrides, Mapping):
        return {name: str(value) for name, value in overrides.items()}
    return assigned(shlex.split(overrides) if isinstance(overrides, str) else map(str, overrides))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _wrong(about: Mapping[str, Any], value: str) -> str:
    if "AllowedPattern" in about and not re.fullmatch(about["AllowedPattern"], value):
        return f"does not match {about['AllowedPattern']}"
    allowed = [str(one) for one in about.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"is none of {', '.join(allowed)}"
    if about["Type"] != "Number":
        return ""
    if not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "is no number"
    least, most = float(about.get("MinValue", value)), float(about.get("MaxValue", value))
    return "" if least <= float(value) <= most else f"is not from {least:g} to {most:g}"
