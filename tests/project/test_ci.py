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
    """One permission for all jobs, none of a job's own, no secret, no registry, no token left for what is run."""
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert not re.search(r"secrets|https?://|index-url|pypi", FILE.read_text() + RUN)
    [checkout] = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


def test_workflow_runs_what_everyone_runs() -> None:
    """Its only command is .ci/run, which calls make's targets; its actions are the host's own, pinned by commit."""
    assert [step["run"] for step in STEPS if "run" in step] == [".ci/run"]
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)  # a tag can be moved
    targets = re.findall(r"\bmake ([a-z-]+)", RUN)
    assert targets == ["test", "audit", "image", "sam-local", "sam-local"]
    subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, check=True, capture_output=True)  # noqa: S607


def test_newcomer_types_what_the_readme_shows() -> None:
    """Nothing but its commands."""
    typed = re.findall(r"^step (?:attached )?(make .+)$", (ROOT / ".ci" / "newcomer").read_text(), re.MULTILINE)
    assert typed == ["make run", "make up", "make debug EVENT=events/wrong-checksum.json", "make down"]
    assert set(typed) <= {command.text for command in commands() if command.document == "README.md"}
