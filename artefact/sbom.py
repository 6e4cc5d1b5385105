"""The bill of materials of a built function, in CycloneDX: the same for the same files, whenever it is written."""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from artefact.parts import Part
from artefact.size import zipped
from local.emulator import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME, VERSION = _PROJECT["name"], _PROJECT["version"]


def sbom(folder: Path, parts: Sequence[Part]) -> str:
    """The bill of materials of a built function, bound to its files by the hash of their zip."""
    digest = hashlib.sha256(zipped(folder)).hexdigest()
    # By its contents, where CycloneDX's library would draw a number; and the library's time is taken out below.
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{NAME}@{VERSION}#{digest}"))
    ours = Component(name=NAME, version=VERSION, type=ComponentType.APPLICATION, bom_ref=NAME)
    ours.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    bom.metadata.component = ours
    components = {part.name: _component(part) for part in parts}
    bom.components.update(components.values())
    _register(bom, ours, components, parts)
    return _without_time(JsonV1Dot6(bom).output_as_string())


def _component(part: Part) -> Component:
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        description=part.summary or None,
        purl=PackageURL("pypi", name=part.name, version=part.version),
        licenses=[LicenseFactory().make_from_string(part.licence)] if part.licence else None,
        bom_ref=f"{part.name}=={part.version}",
    )


def _register(bom: Bom, ours: Component, components: dict[str, Component], parts: Sequence[Part]) -> None:
    wanted = set(components)
    for part in parts:
        needs = part.needs & set(components)
        wanted -= needs
        bom.register_dependency(components[part.name], [components[name] for name in sorted(needs)])
    bom.register_dependency(ours, [components[name] for name in sorted(wanted)])


def _without_time(text: str) -> str:
    written = json.loads(text)
    del written["metadata"]["timestamp"]
    return json.dumps(written, indent=2, sort_keys=True) + "\n"
