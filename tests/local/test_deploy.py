"""`sam build && sam deploy`, as in the README, but to the emulator: only AWS_ENDPOINT_URL sends it there.

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

from local import emulator
from local.emulator import ROOT
from local.samples import EVENTS, read_sample
from local.stack import NAME, Options, Stack, build, create_surroundings, furnish, packaged
from tests.support.template import resolved, source

pytestmark = [pytest.mark.stack, pytest.mark.enable_socket]
SAM = str(Path(sys.executable).with_name("sam"))
SAMPLE = read_sample(EVENTS / "authorized.json")
KEYS = {"chargeId": SAMPLE.notification.charge_id, "notificationId": SAMPLE.notification.notification_id}


@dataclass(frozen=True)
class Project:
    """A folder with what `sam build` made, and the account that it goes to."""

    folder: Path
    stack: Stack

    def sam(self, *arguments: str, says: str = "") -> str:
        """Run the SAM CLI as a person does, and return what it prints; `says` answers its question."""
        # Otherwise it asks only every 5 s whether a deployment is done.
        here = {"SAM_CLI_POLL_DELAY": "0.1", "HOME": str(self.folder), "SAM_CLI_TELEMETRY": "0"}
        environment = os.environ | self.stack.environment | here
        options: Any = {"input": says, "capture_output": True, "text": True}
        done = subprocess.run([SAM, *arguments], cwd=self.folder, env=environment, check=False, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def record(self) -> dict[str, Any]:
        """The notification's record."""
        table = self.stack.table(self.stack.outputs["CreditCardNotifyTable"])
        found: dict[str, Any] = table.get_item(Key=KEYS, ConsistentRead=True).get("Item", {})
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A fresh account with ProcessPaidOrder and the secret, and a built project to deploy to it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "samconfig.toml", folder)
    build()
    # The SAM CLI reads the template seven times, JSON much faster; and it would compress the same folder eight times.
    template, code = packaged("code.zip")
    built = folder / ".aws-sam" / "build"
    built.mkdir(parents=True)
    (built / "template.yaml").write_bytes(template)
    (built / "code.zip").write_bytes(code)
    started = emulator.start()
    try:
        made = Project(folder, Stack(started))
        create_surroundings(made.stack, Options(latency_ms=1))
        yield made
    finally:
        started.stop()


def test_deploys_complete(project: Project) -> None:
    """`sam deploy` for dev creates every resource of the template and asks nothing."""
    printed = project.sam("deploy")
    assert f"Successfully created/updated stack - {NAME}" in printed
    listed = project.stack.client("cloudformation").describe_stack_resources(StackName=NAME)["StackResources"]
    assert {r["ResourceStatus"] for r in listed} == {"CREATE_COMPLETE"}
    assert {r["LogicalResourceId"] for r in listed} == set(resolved(Branch="dev"))


def test_changed_parameter_reaches_the_functions(project: Project) -> None:
    """The changes are shown, and made once a person agrees; the stack is updated in place, and so are the functions."""
    # As in samconfig.toml: a value that is empty or has blanks in it needs quotes within.
    parameters = ("Branch=dev", "RecheckDelays=1", 'ExistingOrderTable=""', 'SettledOrderStatuses="PAID, SHIPPED"')
    printed = project.sam("deploy", "--confirm-changeset", "--parameter-overrides", *parameters, says="y\n")
    assert re.search(r"\* Modify +RecheckFunction .*Deploy this changeset\? \[y/N\]", printed, re.DOTALL)
    given = {"RECHECK_DELAYS": "1", "ORDER_TABLE": "order-table-dev", "SETTLED_ORDER_STATUSES": "PAID, SHIPPED"}
    assert given.items() <= project.stack.variables("RecheckFunction").items()


def test_notification_goes_through_both_passes(project: Project) -> None:
    """`sam remote invoke` is answered, `sam logs` finds the function's line by its name, and the timer runs pass 2."""
    furnish(project.stack, SAMPLE.notification)
    of_stack, event = ("--stack-name", NAME), str(EVENTS / "authorized.json")
    printed = project.sam("remote", "invoke", "DelayedNotifyFunction", *of_stack, "--event-file", event)
    assert json.loads(printed)["statusCode"] == 200
    logged = project.sam("logs", *of_stack, "--name", "DelayedNotifyFunction")
    assert KEYS["notificationId"] in logged
    assert re.search(r'"message": ?"delivered"', logged)
    while (record := project.record())["state"] == "PENDING":  # the caller of pytest sets the time limit
        assert record["passesDone"] >= 1
    assert (record["state"], record["passesDone"]) == ("DONE", 2)


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
    deployment = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]["deploy"]["parameters"]
    branch = "dev" if environment == "default" else environment
    assert deployment["stack_name"] == f"payment3-follow-up-{branch}"
    assert f"Branch={branch}" in deployment["parameter_overrides"]
    assert (deployment["confirm_changeset"], deployment["resolve_s3"]) == (asks, True)
    given = {line.split("=")[0] for line in deployment["parameter_overrides"]}
    assert given <= set(source()["Parameters"])
