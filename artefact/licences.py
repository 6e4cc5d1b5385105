"""The licences of what is deployed: those that somebody has read, and no other."""

from collections.abc import Sequence

from artefact.parts import Part

# Each asks at most for its notice to be kept. One that is not here fails `make audit`: read it, and then add it or not.
ALLOWED = {"MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0", "ISC"}


def refused(parts: Sequence[Part]) -> list[str]:
    """Say which parts have a licence that nobody has allowed, or none that can be told."""
    return [f"{part.name} {part.version}: {_said(part)}" for part in parts if part.licence not in ALLOWED]


def summary(parts: Sequence[Part]) -> str:
    """Say how many parts there are of each licence."""
    licences = sorted({part.licence for part in parts})
    counts = (f"{licence or 'unknown'} {sum(part.licence == licence for part in parts)}" for licence in licences)
    return f"licences of the {len(parts)} packages deployed: {', '.join(counts)}"


def _said(part: Part) -> str:
    return f"{part.licence} is not allowed" if part.licence else "its licence is unknown"
