"""Every command of README.md and docs/ is tried as far as it can be without an account, or listed with the reason."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import pytest

from followups.cli import cli
from followups.preflight import read_environment
from local.emulator import ROOT
from tests.project.test_make import VARIABLES
from tests.support import documents
from tests.support.recorded_calls import violations
from tests.support.template import source

COMMANDS = documents.commands()
ADOPTING = ROOT / "docs" / "adopting.md"
CONTRACTS, OPERATIONS, DATA = (ROOT / "docs" / f"{name}.md" for name in ("contracts", "operations", "data"))


def named(program: str) -> list[Any]:
    """The commands of a program, each once, as a test's parameters."""
    first = {command.text: command for command in COMMANDS if command.words[0] == program}
    return [pytest.param(command, id=f"{command.document}: {command.text[:90]}") for command in first.values()]


def test_every_program_is_tried_or_listed() -> None:
    """The collector finds blocks, tables and text; there is no command of a program that no test knows."""
    texts = {(command.document, command.text) for command in COMMANDS}
    assert {("README.md", "make run DELAY=5"), ("docs/runbook.md", "followups show ORDER-1001")} <= texts
    # `sam` is tried in test_deploy.py; Python would run this suite, or needs the stack that is kept.
    assert {command.words[0] for command in COMMANDS} == {*"make followups aws eval sam .venv/bin/python".split()}


@pytest.mark.parametrize("command", named("make"))
def test_make_target_is_there(command: documents.Command) -> None:
    """Its dry run works, and the Makefile knows its variables."""
    made = ("--old-file", ".venv/installed", "--old-file", ".venv-emulator/installed")
    subprocess.run([*command.words, "--dry-run", *made], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert {name for word in command.words for name, is_, _ in [word.partition("=")] if is_} <= set(VARIABLES)


@pytest.mark.parametrize("command", named("followups"))
def test_followups_command_parses(command: documents.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Click's own parser accepts it and refuses an unknown option; the command is not run."""
    for word in command.words:
        if word.endswith(".json"):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    monkeypatch.chdir(tmp_path)
    documents.parse_command(cli, command.words[1:])
    with pytest.raises(click.UsageError):
        documents.parse_command(cli, [*command.words[1:], "--no-such-option"])


@pytest.mark.parametrize("command", named("aws"))
def test_aws_command_is_one_that_botocore_knows(command: documents.Command) -> None:
    """Service, operation and each option by their names, JSON by its shape, and nothing required is missing."""
    service, operation, given = documents.aws_request(command)
    shape = documents.service_model(service).operation_model(operation).input_shape
    assert shape
    assert violations(shape, given) == ""


@pytest.mark.parametrize("file", documents.DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    """To a file of the repository, and to a heading that is there."""
    for link in documents.links(file):
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), link
        assert not anchor or anchor in documents.anchors(target), link


def test_documented_environment_would_deploy(tmp_path: Path) -> None:
    """docs/adopting.md: the template takes all that its samconfig.toml gives, and Notify may invoke one function."""
    [block] = documents.blocks(ADOPTING, "toml")
    (tmp_path / "samconfig.toml").write_text(block)
    declared = source()["Parameters"]
    for name, value in read_environment(tmp_path / "samconfig.toml", "prod")["parameter_overrides"].items():
        assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value), name
    [statement] = [found for found in map(json.loads, documents.blocks(ADOPTING, "json")) if "Resource" in found]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"].endswith(":function:payment3-delayed-notify-prod")


def test_published_benchmarks_are_of_a_whole_run() -> None:
    """The table of costs in README.md is one of docs/benchmarks.md, to the letter."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert "\n| run | `make bench`, " in page
    section = (ROOT / "README.md").read_text().partition("## What it costs\n")[2].partition("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert table.count("\n") > 5
    assert table in page


def test_what_the_template_has_is_documented() -> None:
    """Parameters, variables, queues and metrics in contracts.md, alarms in operations.md, stores in data.md."""
    content = source()
    of_type = defaultdict[str, set[str]](set)
    for name, about in content["Resources"].items():
        of_type[about["Type"]].add(name)
    metrics = set(re.findall(r'payment3/follow-up(?:", "|, MetricName: )(\w+)', (ROOT / "template.yaml").read_text()))
    variables, queues = content["Globals"]["Function"]["Environment"]["Variables"], of_type["AWS::SQS::Queue"]
    assert {*content["Parameters"], *variables, *queues, *metrics} <= _words(CONTRACTS)
    assert of_type["AWS::CloudWatch::Alarm"] <= _words(OPERATIONS)
    assert queues <= _words(DATA)
    assert all(name in DATA.read_text() for name in of_type["AWS::DynamoDB::Table"] - {"OrderTable"})


def _words(file: Path) -> set[str]:
    return set(re.findall(r"`(\w+)`", file.read_text()))
