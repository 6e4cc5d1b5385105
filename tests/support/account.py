"""An account before a deployment: moto's, with what payment3 already has there; what moto lacks is answered here."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from followups.cli import main
from local.emulator import ROOT
from local.stack import SECRET
from tests.support.aws import PARAMETERS, World
from tests.support.recorded_calls import Answer, Call, RecordedCalls, client_error
from tests.support.template import source

STACK = "payment3-follow-up-test"
PROCESS = "payment3-process-paid-order-test"


@dataclass
class Account:
    """An account, and what preflight is to find in it."""

    wire: RecordedCalls
    folder: Path
    capsys: pytest.CaptureFixture[str]
    given: dict[str, str] = field(default_factory=lambda: PARAMETERS | {"Branch": "test"})
    functions: dict[str, dict[str, Any]] = field(default_factory=lambda: {PROCESS: {"Timeout": 30}})
    identities: dict[str, bool] = field(default_factory=lambda: {"payment3@local.example": True})
    ses: dict[str, Any] = field(default_factory=lambda: {"ProductionAccessEnabled": True, "SendingEnabled": True})
    stack: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Make the secret, and answer for what moto does not emulate."""
        self.client("secretsmanager").create_secret(Name="payment3/kbank", SecretString=json.dumps(SECRET))
        self.wire.answers |= {
            "lambda.GetFunctionConfiguration": self._function,
            "cloudformation.DescribeStacks": lambda call: {"Stacks": [self.stack or _absent("ValidationError", call)]},
            "sesv2.GetEmailIdentity": self._identity,
            "sesv2.GetAccount": lambda _: self.ses,
        }

    client = staticmethod(World.client)

    def answer(self, call: str, **answer: Any) -> None:
        self.wire.answers[call] = lambda _: dict(answer)

    def run(self, *arguments: str) -> int:
        """Run preflight on the environment `test` of a samconfig.toml that gives what is `given`."""
        config = self.folder / "samconfig.toml"
        overrides = json.dumps([f'{name}="{value}"' for name, value in self.given.items()])
        config.write_text(
            f'version = 0.1\n[test.deploy.parameters]\nstack_name = "{STACK}"\nparameter_overrides = {overrides}\n'
        )
        files = ("--config-file", str(config), "--template", str(ROOT / "template.yaml"))
        with self.wire:
            return main(["preflight", "--config-env", "test", *files, *arguments])

    def findings(self, *arguments: str) -> list[dict[str, str]]:
        """What preflight says, as programs read it; its exit code must be what the findings ask for."""
        self.capsys.readouterr()
        code = self.run("--json", *arguments)
        found = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        assert code == int(any(one["level"] == "stop" for one in found)), found
        return found

    def make_table(self, name: str, logical: str) -> None:
        """Make a table as the template would."""
        written: dict[str, Any] = source()["Resources"][logical]["Properties"]
        names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        client = self.client("dynamodb")
        client.create_table(TableName=name, **{key: written[key] for key in names if key in written})
        if "TimeToLiveSpecification" in written:
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=written["TimeToLiveSpecification"])

    def _function(self, call: Call) -> Answer:
        found = self.functions.get(call.request["FunctionName"])
        return {"State": "Active"} | (found or _absent("ResourceNotFoundException", call))

    def _identity(self, call: Call) -> Answer:
        is_verified = self.identities.get(call.request["EmailIdentity"])
        return _absent("NotFoundException", call) if is_verified is None else {"VerifiedForSendingStatus": is_verified}


def _absent(code: str, call: Call) -> NoReturn:
    raise client_error(code, call)
