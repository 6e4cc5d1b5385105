"""`sam build && sam deploy`, as the README says it, to the emulator: nothing but AWS_ENDPOINT_URL leads it there.

One stack, from its first deployment to its end: the tests are the steps, in their order.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artefact.size import contents
from local import emulator
from local.emulator import ROOT
from local.samples import EVENTS, read_sample
from local.stack import BUILD, NAME, Options, Stack, build, create_surroundings, emulators_python, furnish
from tests.support.template import resolved, source

pytestmark = [
    pytest.mark.stack,
    pytest.mark.enable_socket,
]
BIN = Path(sys.executable).parent
SAMPLE = read_sample(EVENTS / "authorized.json")
CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
KEYS = {"chargeId": SAMPLE.notification.charge_id, "notificationId": SAMPLE.notification.notification_id}


@dataclass(frozen=True)
class Project:
    """A copy of what is deployed, in another folder, and the account that it goes to."""

    folder: Path
    stack: Stack

    def sam(self, *arguments: str, says: str = "") -> str:
        """Run the SAM CLI as a person does, and return what it prints; `says` answers its question."""
        # It is asked every 5 s otherwise whether it is done; and the emulator's Python may not be Lambda's.
        here = {"SAM_CLI_POLL_DELAY": "0.1", "PYTHON_VERSION": emulators_python(), "HOME": str(self.folder)}
        here |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
        command, environment = [str(BIN / "sam"), *arguments], os.environ | self.stack.environment | here
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            input=says,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def record(self) -> dict[str, Any]:
        """The notification's record."""
        table = self.stack.table(self.stack.outputs["CreditCardNotifyTable"])
        found: dict[str, Any] = table.get_item(Key=KEYS, ConsistentRead=True).get("Item", {})
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fresh account with a ProcessPaidOrder and the secret in it, and a fresh copy of the project, built."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    build()
    shutil.copytree(BUILD, folder / ".aws-sam" / "build")
    started = emulator.start()
    try:
        made = Project(folder, Stack(started))
        create_surroundings(made.stack, Options(latency_ms=1))
        yield made
    finally:
        started.stop()


def test_another_folder_builds_the_same_bytes(project: Project) -> None:
    """Two builds, in two folders, at two times: what is packaged of a function is the same, byte by byte."""
    project.sam("build", "RecheckFunction", "--build-dir", "again")
    assert _packaged(project.folder / "again" / "RecheckFunction") == _packaged(BUILD / "RecheckFunction")


def _packaged(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {file.relative_to(folder): (file.stat().st_mode, file.read_bytes()) for file in contents(folder)}


def test_deploys_complete(project: Project) -> None:
    """`sam deploy` for dev: every resource of the template is made, and nothing is asked."""
    printed = project.sam("deploy")
    assert f"Successfully created/updated stack - {NAME}" in printed
    listed = project.stack.client("cloudformation").describe_stack_resources(StackName=NAME)["StackResources"]
    assert {r["ResourceStatus"] for r in listed} == {"CREATE_COMPLETE"}
    assert {r["LogicalResourceId"] for r in listed} == set(resolved(Branch="dev"))


def test_changed_parameter_reaches_the_functions(project: Project) -> None:
    """A parameter of the command line goes into the functions' environment, and the stack is updated in place."""
    # As samconfig.toml says it: a value that is empty or has blanks in it needs quotes within.
    quoted = ('ExistingOrderTable=""', 'SettledOrderStatuses="PAID, SHIPPED"')
    project.sam("deploy", "--parameter-overrides", "Branch=dev", "RecheckDelays=1", *quoted)
    [stack] = project.stack.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    given = {"RecheckDelays": "1", "ExistingOrderTable": "", "SettledOrderStatuses": "PAID, SHIPPED"}
    assert given.items() <= parameters.items()
    variables = project.stack.variables("RecheckFunction")
    assert (variables["RECHECK_DELAYS"], variables["SETTLED_ORDER_STATUSES"]) == ("1", "PAID, SHIPPED")


def test_notification_goes_through_both_passes(project: Project) -> None:
    """`sam remote invoke` with a sample: answered with the redirect, and a second later its timer has run pass 2."""
    furnish(project.stack, SAMPLE.notification)
    event = str(EVENTS / "authorized.json")
    printed = project.sam("remote", "invoke", "DelayedNotifyFunction", "--stack-name", NAME, "--event-file", event)
    assert json.loads(printed)["statusCode"] == 200
    while (record := project.record())["state"] == "PENDING":  # pytest's caller has the patience, not this test
        assert record["passesDone"] >= 1
    assert (record["state"], record["passesDone"]) == ("DONE", 2)


def test_logs_are_found_by_the_functions_name(project: Project) -> None:
    """`sam logs` finds a function's lines, though the log group is the stack's own."""
    printed = project.sam("logs", "--stack-name", NAME, "--name", "DelayedNotifyFunction")
    assert KEYS["notificationId"] in printed
    assert re.search(r'"message": ?"delivered"', printed)


def test_production_shows_its_changes_and_asks(project: Project) -> None:
    """`sam deploy --config-env prod`, once filled in, lists what would change; the answer no changes nothing."""
    config = project.folder / "samconfig.toml"
    config.write_text(_filled_in(config.read_text()))
    printed = project.sam("deploy", "--config-env", "prod", says="n\n")
    assert "+ Add" in printed
    assert "Deploy this changeset? [y/N]" in printed
    stacks = project.stack.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    assert "payment3-follow-up-prod" not in {stack["StackName"] for stack in stacks}


def _filled_in(config: str) -> str:
    named = re.sub(r"# (\"AlarmTopicArn=)\.\.\.", r"\1arn:aws:sns:ap-southeast-1:123456789012:on-call", config)
    return re.sub(r"# (\"Existing\w+=)\.\.\.", r"\1a-live-table", named.replace("example.com", "shop.test"))


def test_delete_leaves_what_must_be_kept(project: Project) -> None:
    """`sam delete` deletes the functions, and the timers with their group; tables and dead letters are kept."""
    outputs = project.stack.outputs
    assert "Deleted successfully" in project.sam("delete", "--stack-name", NAME, "--no-prompts")
    functions = project.stack.client("lambda").list_functions()["Functions"]
    assert {function["FunctionName"] for function in functions} == {"payment3-process-paid-order-dev"}
    assert project.stack.client("scheduler").list_schedules()["Schedules"] == []
    assert project.record()["state"] == "DONE"
    queue = {"QueueUrl": outputs["FailureQueue"], "AttributeNames": ["QueueArn"]}
    assert project.stack.client("sqs").get_queue_attributes(**queue)["Attributes"]


# --- samconfig.toml ---


@pytest.mark.parametrize(("environment", "asks"), [("default", False), ("staging", True), ("prod", True)])
def test_each_environment_is_one_command(environment: str, asks: bool) -> None:  # noqa: FBT001 - a table's column
    """Stack and branch go together, only dev is deployed without a question, and no parameter is misspelt."""
    deployment = CONFIG[environment]["deploy"]["parameters"]
    branch = "dev" if environment == "default" else environment
    assert deployment["stack_name"] == f"payment3-follow-up-{branch}"
    assert f"Branch={branch}" in deployment["parameter_overrides"]
    assert (deployment["confirm_changeset"], deployment["resolve_s3"]) == (asks, True)
    given = {line.split("=")[0] for line in deployment["parameter_overrides"]}
    assert given <= set(source()["Parameters"])
