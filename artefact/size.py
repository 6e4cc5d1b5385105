"""How large a built function is, and how large it may be."""

import io
import zipfile
from pathlib import Path

# Unpacked. boto3 is the runtime's own (docs/decisions/19), so growth means a new dependency.
CEILING_MB = 20
_EARLIEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def describe(folder: Path) -> str:
    """Return one line about a built function: its size, its files and its bytecode."""
    files = contents(folder)
    modules = sum(file.suffix == ".pyc" for file in files)
    bytecode = f"bytecode of {modules} modules" if modules else "NO BYTECODE: it starts more slowly"
    verdict = "" if fits(folder) else f", MORE THAN THE {CEILING_MB} MB ALLOWED"
    sizes = f"{_unpacked_mb(folder):.1f} MB unpacked, {len(zipped(folder)) / 1e6:.1f} MB zipped"
    return f"{folder.name}: {sizes}, {len(files)} files, {bytecode}{verdict}"


def fits(folder: Path) -> bool:
    """Whether a built function is under the ceiling."""
    return _unpacked_mb(folder) < CEILING_MB


def _unpacked_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in contents(folder)) / 1e6


def contents(folder: Path) -> list[Path]:
    """Return every file of a built function, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file())


def zipped(folder: Path) -> bytes:
    """Zip a built function, so that the same files give the same zip.

    `sam deploy` adds the files in the file system's order, and names its upload by their contents.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in contents(folder):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), _EARLIEST_ZIP_DATE)
            entry.external_attr = file.stat().st_mode << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
