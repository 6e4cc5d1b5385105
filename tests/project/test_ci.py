"""The workflow runs the same commands as everyone, and has no other rights."""

import re
import subprocess
from typing import Any

import yaml

from local.emulator import ROOT
from tests.support.documents import commands

FILE = ROOT / ".github" / "workflows" / "ci.yml"
RUN = ROOT / ".ci" / "run"
NEWCOMER = ROOT / ".ci" / "newcomer"


def workflow() -> dict[str, Any]:
    """The workflow as YAML."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def steps() -> list[dict[str, Any]]:
    """Every step of every job."""
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_workflow_may_only_read() -> None:
    """One permission for all jobs, none of a job's own, no secret, and no token left for what is run."""
    assert workflow()["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow()["jobs"].values())
    assert "secrets" not in FILE.read_text()
    [checkout] = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


def test_actions_are_pinned_by_commit() -> None:
    """A tag can be moved to other code; a commit cannot. Only the host's own actions are used."""
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)


def test_workflow_runs_what_everyone_runs() -> None:
    """Its only command is .ci/run, which calls make's targets; each of them is there."""
    assert [step["run"] for step in steps() if "run" in step] == [".ci/run"]
    targets = re.findall(r"\bmake ((?:[a-z-]+ ?)+)", RUN.read_text())
    assert " ".join(targets).split() == ["test", "audit", "sbom", "same", "image", "sam-local", "sam-local"]
    subprocess.run(["make", "--dry-run", *" ".join(targets).split()], cwd=ROOT, check=True, capture_output=True)  # noqa: S607


def test_containers_are_run_where_an_engine_can_be_had() -> None:
    """Both flavours and the newcomer's walk, after the tests; each must succeed for the next to be tried."""
    *_, last = RUN.read_text().splitlines()
    [command] = re.findall(r"^\.ci/with-engine sh -c '(.+)'$", last)
    assert [one.partition(" DELAY")[0] for one in command.split(" && ")] == [
        ".ci/newcomer",  # first: whatever the others make, it has to wait for
        "make image",
        "make sam-local",
        "make sam-local IMAGE=1",
    ]


def test_newcomer_types_what_the_readme_shows() -> None:
    """Nothing but its commands."""
    walk = NEWCOMER.read_text()
    typed = re.findall(r"^step (?:attached )?(make .+)$", walk, re.MULTILINE)
    assert typed == ["make run", "make up", "make debug EVENT=events/wrong-checksum.json", "make down"]
    documented = {command.text for command in commands() if command.document == "README.md"}
    assert set(typed) <= documented


def test_no_registry_is_named() -> None:
    """Where packages come from is the machine's own setting."""
    for file in (FILE, RUN):
        assert not re.search(r"https?://|index-url|pypi", file.read_text())
