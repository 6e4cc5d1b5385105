"""The pictures in docs/images: each is used, small, and fetches nothing from anywhere."""

import re
from pathlib import Path

import pytest

from local.emulator import ROOT
from tests.support.pictures import COMMANDS, IMAGES, PAGES

# Of namespaces, which are names that no browser fetches.
FETCHED = re.compile(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://[^\s\"')]+|@font-face")
PLOTS = set(re.findall(r"\]\(images/(.+?)\)", (ROOT / "docs" / "benchmarks.md").read_text()))


@pytest.mark.parametrize("file", sorted(IMAGES.iterdir()), ids=lambda file: file.name)
def test_picture_is_made_and_used(file: Path) -> None:
    """`make pictures` or `make bench` makes it, a document shows it, it is no larger than a page can bear.

    A drawing fetches nothing, as Rich's own would fetch a font from a web site.
    """
    made = {f"{name}.svg" for name in COMMANDS} | {f"{name}.png" for name in PAGES}
    assert (file.name in made) != (file.name in PLOTS)
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"images/{file.name}" in document.read_text() for document in documents)
    assert file.stat().st_size < 150_000
    assert file.suffix != ".svg" or not FETCHED.search(file.read_text())
