"""The packages that are deployed: what functions/requirements.txt locks, and what each says of itself."""

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.emulator import ROOT

REQUIREMENTS = ROOT / "functions" / "requirements.txt"
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
# For who publishes no expression yet: what its classifier says, as SPDX says it.
_CLASSIFIERS = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
}


class PartError(Exception):
    """The environment does not hold what is locked, so nothing can be said of it."""


@dataclass(frozen=True)
class Part:
    """A locked package."""

    name: str
    version: str

    @property
    def licence(self) -> str:
        """Its licence as an SPDX expression, or an empty text where it names none that we know."""
        about = self._metadata
        classified = (_CLASSIFIERS.get(line) for line in about.get_all("Classifier", ()))
        return about.get("License-Expression") or next(filter(None, classified), "")

    @property
    def summary(self) -> str:
        """What it says it is."""
        return self._metadata.get("Summary", "")

    @property
    def needs(self) -> set[str]:
        """The names of the packages that it needs, whatever of them is locked."""
        lines = [Requirement(line) for line in metadata.requires(self.name) or ()]
        return {canonicalize_name(r.name) for r in lines if r.marker is None or r.marker.evaluate({"extra": ""})}

    @property
    def _metadata(self) -> "metadata.PackageMetadata":
        # .venv has the very same versions: requirements/lock makes functions/requirements.txt from dev.txt.
        if metadata.version(self.name) != self.version:
            raise PartError(f"{self.name} {self.version} is locked, {metadata.version(self.name)} is installed")
        return metadata.metadata(self.name)


def parts(requirements: Path = REQUIREMENTS) -> list[Part]:
    """Read the lock, in its order."""
    return [Part(*pin) for pin in _PIN.findall(requirements.read_text())]
