"""What is said of what is deployed: its bill of materials, and its licences."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from artefact import __main__ as commands
from artefact.licences import refused, summary
from artefact.parts import Part, PartError, parts
from local.emulator import ROOT

LOCKED = {
    line.split(" ")[0]
    for line in (ROOT / "functions" / "requirements.txt").read_text().splitlines()
    if not line.startswith(" ")
}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder as `sam build` leaves it, but smaller."""
    folder = tmp_path / "DelayedNotifyFunction"
    folder.mkdir()
    (folder / "module.py").write_text("paid = True\n")
    return tmp_path


def written(build: Path) -> dict[str, Any]:
    """The bill of materials that the command writes."""
    assert commands.main(["sbom", "--build", str(build)]) == 0
    found: dict[str, Any] = json.loads((build / "sbom.cdx.json").read_text())
    return found


def test_bill_names_exactly_what_is_locked(build: Path) -> None:
    """Each package of functions/requirements.txt with its version, its licence and its package URL; nothing else."""
    components = written(build)["components"]
    assert {f"{c['name']}=={c['version']}" for c in components} == LOCKED
    assert {c["purl"] for c in components} == {f"pkg:pypi/{pin.replace('==', '@')}" for pin in LOCKED}
    assert all(c["licenses"] for c in components)


def test_bill_is_cyclonedx(build: Path) -> None:
    """Valid by the standard's own schema; and no address is in it, whose form nothing here could check."""
    written(build)
    text = (build / "sbom.cdx.json").read_text()
    assert '"url"' not in text
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_bill_says_who_needs_whom(build: Path) -> None:
    """The tree, from the project down: pydantic needs its core, which nobody else brings."""
    tree = {one["ref"]: set(one.get("dependsOn", ())) for one in written(build)["dependencies"]}
    direct = {ref.split("==")[0] for ref in tree["delayednotify"]}
    assert direct == {"aws-lambda-powertools", "pydantic"}
    [pydantic] = [needs for ref, needs in tree.items() if ref.startswith("pydantic==")]
    assert any(ref.startswith("pydantic-core==") for ref in pydantic)
    assert set(tree) == LOCKED | {"delayednotify"}


def test_bill_is_the_same_whenever_it_is_written(build: Path) -> None:
    """No time and no random number in it: it changes when the functions' files do, and only then."""
    first = written(build)
    assert written(build) == first
    assert "timestamp" not in first["metadata"]
    (build / "DelayedNotifyFunction" / "module.py").write_text("paid = False\n")
    second = written(build)
    assert second["serialNumber"] != first["serialNumber"]
    assert second["metadata"]["component"]["hashes"] != first["metadata"]["component"]["hashes"]


def test_licences_of_what_is_deployed_are_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    """The second part of `make audit`: each has a licence on the list, and they are counted."""
    assert commands.main(["licences"]) == 0
    assert capsys.readouterr().out.startswith(f"licences of the {len(LOCKED)} packages deployed: ")


@dataclass(frozen=True)
class Other:
    """A part with a licence of one's choice."""

    name: str
    version: str
    licence: str


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ("GPL-3.0-only", ["left-pad 1.0: GPL-3.0-only is not allowed"]),
        ("", ["left-pad 1.0: its licence is unknown"]),
        ("MIT OR GPL-3.0-only", ["left-pad 1.0: MIT OR GPL-3.0-only is not allowed"]),
        ("MIT", []),
    ],
)
def test_licence_that_nobody_read_fails_the_audit(
    licence: str, says: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 and its name; an expression counts as the text that it is, so that somebody reads it."""
    other: Any = Other("left-pad", "1.0", licence)
    assert refused([other]) == says
    monkeypatch.setattr(commands, "parts", lambda: [other])
    assert commands.main(["licences"]) == int(bool(says))
    assert capsys.readouterr().out.splitlines() == [summary([other]), *says]


def test_nothing_is_said_of_another_version() -> None:
    """The licence is read of the installed package; one that is not what is locked tells nothing."""
    with pytest.raises(PartError, match=r"pydantic 0\.1 is locked, .* is installed"):
        _ = Part("pydantic", "0.1").licence


def test_requirements_are_locked_for_both_architectures() -> None:
    """By version and hash, for Lambda's arm64 and x86_64, and naming no registry."""
    text = (ROOT / "functions" / "requirements.txt").read_text()
    assert all(text.count(f"{part.name}=={part.version}") == 1 for part in parts())
    assert "http" not in text
    assert "index-url" not in text
