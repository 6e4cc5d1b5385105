"""docs/architecture.md: one notification's way through the files, as it is and not as it once was.

What imports what is in pyproject.toml: `make check` holds it by import-linter.
"""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import CodeType, FrameType

import delayednotify
import recheck
from local.emulator import ROOT
from tests.support.aws import ORDER, World
from tests.support.deployed import Deployed

PAGE = (ROOT / "docs" / "architecture.md").read_text()
FUNCTIONS, FOLLOWUPS = f"{ROOT / 'functions'}/", f"{ROOT / 'followups'}/"
# What all steps use, and how each invocation begins and ends.
SHARED = {"clock.py", "log.py", "redact.py", "settings.py", "table.py"}
AROUND = {"bind", "ids", "parse", "reported", "unimportant"}
MOST_FILES, MOST_MOVES, MOST_FILES_TO_SHOW = 12, 60, 6
Calls = list[tuple[CodeType, CodeType | None]]


@contextmanager
def calls(below: str = FUNCTIONS) -> Iterator[Calls]:
    """Record each call of a function under a folder, with its caller."""
    made: Calls = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        # Python 3.11 also calls its comprehensions.
        if event == "call" and frame.f_code.co_filename.startswith(below) and frame.f_code.co_name[-5:] != "comp>":
            caller = frame.f_back
            while caller and caller.f_code.co_filename == contextlib.__file__:  # a decorator
                caller = caller.f_back
            made.append((frame.f_code, caller and caller.f_code))

    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(None)


def steps(made: Calls, story: CodeType) -> list[tuple[str, set[str]]]:
    """Return each step that the story names, with the files that it goes through, without those that all steps use."""
    begins = [number for number, (_, caller) in enumerate(made) if caller is story]
    parts = [made[begin:end] for begin, end in pairwise([*begins, len(made)])]
    found = [(part[0][0].co_name, {_file(code) for code, _ in part} - SHARED - {"report.py"}) for part in parts]
    return [(name, files) for name, files in found if name not in AROUND]


def written(function: str) -> list[tuple[str, set[str]]]:
    """Return the page's table of a function."""
    _, _, *rows = PAGE.split(f"**{function}**")[1].split("\n\n")[1].splitlines()
    return [(step, set(files)) for step, *files in (re.findall(r"`(.+?)`", row) for row in rows)]


def _file(code: CodeType) -> str:
    return code.co_filename.removeprefix(FUNCTIONS).removeprefix("callback/")


def test_delivery_goes_the_way_that_the_page_shows(world: World, figure: Callable[[str], None]) -> None:
    """The page shows each step of both functions in order, with its files; a delivery visits few enough to follow."""
    world.pay()
    world.order()
    with calls() as made:
        world.deliver()
    assert steps(made, delayednotify.deliver.__code__) == written("DelayedNotify")
    way = [_file(code) for code, _ in made]
    files, moves = len(set(way)), sum(one != other for one, other in pairwise(way))
    figure(f"a delivery visits {files} files of functions/, with {moves} moves between them")
    assert files <= MOST_FILES
    assert moves <= MOST_MOVES
    world.wait(100)
    with calls() as made:
        world.recheck()
    assert steps(made, recheck.lambda_handler.__code__) == written("Recheck")


def test_show_goes_through_few_files(deployed: Deployed, figure: Callable[[str], None]) -> None:
    """The command that operators use most can be read in one sitting."""
    deployed.world.deliver()
    with calls(FOLLOWUPS) as made:
        assert deployed.run("show", ORDER) == 0
    files = {code.co_filename.removeprefix(FOLLOWUPS) for code, _ in made}
    figure(f"followups show visits {len(files)} files of followups/")
    assert len(files) <= MOST_FILES_TO_SHOW, sorted(files)


def test_page_names_every_file() -> None:
    """Nothing is deployed that the page does not explain, and it names nothing that is gone."""
    deployed = {file.name for file in (ROOT / "functions" / "callback").glob("*.py")}
    assert set(re.findall(r"\b(\w+\.py)`", PAGE)) == deployed
