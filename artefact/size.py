"""How large a built function is, and what it may be at most."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

# Unpacked. boto3 is the runtime's own (docs/decisions/19); the rest of the room is for growth that somebody looks at.
CEILING_MB = 20
_ZIP_KNOWS_NO_EARLIER = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Size:
    """A built function in numbers."""

    name: str
    files: int
    unpacked: int
    zipped: int
    bytecode: int

    @property
    def fits(self) -> bool:
        """Tell whether it is under the ceiling."""
        return self.unpacked < CEILING_MB * 1_000_000

    def __str__(self) -> str:
        """Say it in a line."""
        bytecode = f"bytecode of {self.bytecode} modules" if self.bytecode else "NO BYTECODE: it starts more slowly"
        verdict = "" if self.fits else f", MORE THAN THE {CEILING_MB} MB IT MAY BE"
        sizes = f"{self.unpacked / 1e6:.1f} MB unpacked, {self.zipped / 1e6:.1f} MB zipped"
        return f"{self.name}: {sizes}, {self.files} files, {bytecode}{verdict}"


def measured(folder: Path) -> Size:
    """Measure a built function."""
    files = contents(folder)
    bytecode = sum(file.suffix == ".pyc" for file in files)
    unpacked = sum(file.stat().st_size for file in files)
    return Size(folder.name, len(files), unpacked, len(zipped(folder)), bytecode)


def contents(folder: Path) -> list[Path]:
    """Every file of a built function, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def zipped(folder: Path) -> bytes:
    """The function as a zip that is the same for the same files, as `sam deploy` packs it but for their order.

    `sam deploy` takes them in the file system's order; what it uploads is named by their contents, not by the zip.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in contents(folder):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), _ZIP_KNOWS_NO_EARLIER)
            entry.external_attr = file.stat().st_mode << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
