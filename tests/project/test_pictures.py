"""The pictures in docs/images: each is used, small, and fetches nothing from anywhere."""

import re
from pathlib import Path

import pytest

from local.emulator import ROOT
from tests.support.pictures import COMMANDS, IMAGES, PAGES, draw

# Of namespaces, which are names and fetched by nobody.
FETCHED = re.compile(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://[^\s\"')]+")
PLOTS = set(re.findall(r"\]\(images/(.+?)\)", (ROOT / "docs" / "benchmarks.md").read_text()))


@pytest.mark.parametrize("file", sorted(IMAGES.iterdir()), ids=lambda file: file.name)
def test_picture_is_made_and_used(file: Path) -> None:
    """`make pictures` or `make bench` makes it, a document shows it, and it is no larger than a page can bear."""
    made = {f"{name}.svg" for name in COMMANDS} | {f"{name}.png" for name in PAGES}
    assert (file.name in made) != (file.name in PLOTS)
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"images/{file.name}" in document.read_text() for document in documents)
    assert file.stat().st_size < 150_000


@pytest.mark.parametrize("file", sorted(IMAGES.glob("*.svg")), ids=lambda file: file.name)
def test_drawing_fetches_nothing(file: Path) -> None:
    """Rich's own would fetch a font from a web site."""
    assert not FETCHED.findall(file.read_text())
    assert "@font-face" not in file.read_text()


def test_drawing_has_the_colours_of_the_terminal() -> None:
    """What is red in the terminal is red in the picture."""
    assert "fill: #ff857c" in draw("a", "a program", "\x1b[31mred\x1b[0m\n")
