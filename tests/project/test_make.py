"""`make`, which people and CI use alike: what it is given becomes an argument of a program, and is never run."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.emulator import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
VARIABLES = re.findall(r"\w+", re.findall(r"^GIVEN := (.*)$", MAKEFILE, re.MULTILINE)[0])
CI = (ROOT / ".ci" / "run").read_text()
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
# A program that only notes its arguments; `sam` starts another make, as `sam build` does.
NOTES = 'for word in "$@"; do printf "%s\\0" "$word" >> words; done'
PROGRAMS = {"python": NOTES, "followups": NOTES, "sam": "exec make -f other.mk"}
# What each takes: texts that become arguments, and the switches IMAGE and QUICK.
_TAKEN = """run DELAY LATENCY FAILURES OUTAGE EVENT|send COUNT EVENT|invoke ADDRESS BASE IMAGE FUNCTION EVENT
|redrive STACK|image ARCHITECTURE|preflight ENVIRONMENT|replay STACK ORDER|fuzz SEED|mutants ONLY|soak MINUTES
|bench QUICK ONLY"""
TARGETS = {target: set(names) for target, *names in map(str.split, _TAKEN.split("|"))}
# Without leading blanks, which make drops.
NASTY = {
    "in no quotes": "two  words;touch mark|touch mark&touch mark>mark # * ~ ? a\\ คำสั่ง ",
    "in single quotes": "it's; touch mark; : '",
    "in double quotes": '"; touch mark; "$(touch mark)`touch mark`',
    "to make": "$(shell touch mark)${shell touch mark}$(eval x:=$(shell touch mark))$x $$x",
    "as a line": "one\ntouch mark\n",
    "as an option": "--help -x",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, with programs that do nothing."""
    folder = tmp_path / "it's my work"
    for environment in (".venv", ".venv-emulator", ".venv-bench", ".venv-runtime"):
        (folder / environment / "bin").mkdir(parents=True)
        (folder / environment / "installed").touch()
        for name, program in PROGRAMS.items():
            (folder / environment / "bin" / name).write_text(f"#!/bin/sh\n{program}\n")
            (folder / environment / "bin" / name).chmod(0o755)
    (folder / "other.mk").write_text('all:\n\t@echo "$$ORDER$$UNKNOWN"\n')
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def make(folder: Path, target: str, *given: str, **environment: str) -> str:
    """Run a target of the copy, for which nothing has to be installed, and return what it printed."""
    made = [word for file in folder.glob(".venv*/installed") for word in ("-o", str(file.relative_to(folder)))]
    clean = {name: value for name, value in os.environ.items() if name not in VARIABLES and "MAKE" not in name}
    line = ["make", *made, target, *given]
    done = subprocess.run(line, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_lists_what_is_needed_most(checkout: Path) -> None:
    """At most 16 targets, and first those that a newcomer needs."""
    listed = re.findall(r"^  ([a-z-]+) +\S", make(checkout, "help"), re.MULTILINE)
    assert listed[:6] == ["run", "up", "send", "down", "test", "check"]
    assert len(listed) <= 16


def test_every_variable_is_tried() -> None:
    """Make leaves alone each variable that a recipe uses, and the next test tries each of them."""
    assert set().union(*TARGETS.values()) == set(VARIABLES)
    used = re.findall(r"\$\$\{?([A-Z]{2,})", MAKEFILE)
    assert set(used) - {"PATH", "PWD"} == set(VARIABLES)


@pytest.mark.parametrize("by", ["argument", "environment"])
@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY)
def test_whatever_is_given_is_an_argument(checkout: Path, value: str, by: str) -> None:
    """On the command line or in the environment: a text arrives as it was written, and a switch is not passed on."""
    for target, variables in TARGETS.items():
        given = dict.fromkeys(variables, value)
        if by == "argument":
            make(checkout, target, *(f"{name}={value}" for name in given))
        else:
            make(checkout, target, **given)
        words = (checkout / "words").read_text().split("\0")
        (checkout / "words").unlink()
        found = [word for word in words if value in {word, word.partition("=")[2]}]
        assert len(found) == len(variables - {"IMAGE", "QUICK"}), target
        assert not (checkout / "mark").exists(), target


@pytest.mark.parametrize("name", ["ORDER", "UNKNOWN"])
def test_make_that_sam_starts_runs_nothing_either(checkout: Path, name: str) -> None:
    """`sam build` runs make itself: what a person gave to the first one is no program there, whether known or not."""
    make(checkout, "build", f"{name}=$(shell touch mark)")
    assert not (checkout / "mark").exists()


def test_ending_make_ends_the_program(checkout: Path) -> None:
    """There is no shell between them: a `kill` of make reaches the program, which ends its emulator and containers."""
    (checkout / ".venv" / "bin" / "python").write_text('#!/bin/sh\nprintf %s "$PPID" > parent\n')
    with subprocess.Popen(["make", "-o", ".venv/installed", "debug"], cwd=checkout) as process:  # noqa: S607
        process.wait()
    assert (checkout / "parent").read_text() == str(process.pid)


# --- CI ---


def test_workflow_only_reads_and_runs_what_everyone_runs() -> None:
    """One permission for all jobs, no secret, no registry, no token left; its command is .ci/run, which calls make."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert not re.search(r"secrets|https?://|index-url|pypi", str(WORKFLOW) + CI)
    assert [step["run"] for step in STEPS if "run" in step] == [".ci/run"]
    used = [step for step in STEPS if "uses" in step]
    [checkout] = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False
    # The host's own, by commit: a tag can be moved.
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in used)
    targets = re.findall(r"\bmake ([a-z-]+)", CI)
    assert targets == ["test", "audit", "image", "sam-local", "sam-local"]
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)  # noqa: S607
