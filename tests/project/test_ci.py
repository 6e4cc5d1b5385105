"""The workflow runs the same commands as everyone, and has no other rights."""

import re
import subprocess
from typing import Any

import yaml

from local.emulator import ROOT
from tests.support.documents import commands

FILE = ROOT / ".github" / "workflows" / "ci.yml"
WORKFLOW: dict[str, Any] = yaml.safe_load(FILE.read_text())
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
RUN = (ROOT / ".ci" / "run").read_text()


def test_workflow_may_only_read() -> None:
    """One permission for all jobs, none of a job's own, no secret, and no token left for what is run."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert "secrets" not in FILE.read_text()
    [checkout] = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


def test_workflow_runs_what_everyone_runs() -> None:
    """Its only command is .ci/run, which calls make's targets; its actions are the host's own, pinned by commit."""
    assert [step["run"] for step in STEPS if "run" in step] == [".ci/run"]
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)  # a tag can be moved
    targets = re.findall(r"\bmake ([a-z-]+)", RUN)
    assert targets == ["test", "audit", "image", "sam-local", "sam-local"]
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)  # noqa: S607


def test_containers_are_run_where_an_engine_can_be_had() -> None:
    """The newcomer's walk first, and both flavours; each must succeed for the next to be tried."""
    [command] = re.findall(r"^\.ci/with-engine sh -c '(.+)'$", RUN.splitlines()[-1])
    steps = [one.partition(" DELAY")[0] for one in command.split(" && ")]
    assert steps == [".ci/newcomer", "make image", "make sam-local", "make sam-local IMAGE=1"]


def test_newcomer_types_what_the_readme_shows() -> None:
    """Nothing but its commands."""
    typed = re.findall(r"^step (?:attached )?(make .+)$", (ROOT / ".ci" / "newcomer").read_text(), re.MULTILINE)
    assert typed == ["make run", "make up", "make debug EVENT=events/wrong-checksum.json", "make down"]
    assert set(typed) <= {command.text for command in commands() if command.document == "README.md"}


def test_no_registry_is_named() -> None:
    """Where packages come from is the machine's own setting."""
    assert not re.search(r"https?://|index-url|pypi", FILE.read_text() + RUN)
