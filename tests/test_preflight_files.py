"""What preflight reads of samconfig.toml and template.yaml is what `sam deploy` would give and CloudFormation make."""

from pathlib import Path
from typing import Any

import boto3
import pytest

from followups.cli import main
from followups.commands import preflight as command
from followups.operator import Operator
from followups.preflight.parameters import ConfigError, assigned, effective, read_environment
from followups.preflight.plan import Plan
from followups.preflight.target import Target, Where
from followups.preflight.template import Template, TemplateError, read_template
from followups.stack import Account
from local.emulator import ACCOUNT, REGION, ROOT
from tests.template import resolved, source
from tests.world import _Session

HERE = Where(ACCOUNT, REGION, "aws", "arn:aws:iam::123456789012:user/somebody")
Print = pytest.CaptureFixture[str]


def plan(**parameters: str) -> Plan:
    """The real template in the account of the tests."""
    content = read_template(ROOT / "template.yaml")
    return Plan(HERE, "payment3-follow-up-dev", effective(content["Parameters"], parameters, {}), content)


def template(**sections: Any) -> Template:
    """A small one."""
    return Template({"Resources": {}, **sections}, {"AWS::Region": REGION, "Branch": "dev"})


# --- the template ---


@pytest.mark.parametrize(
    "parameters",
    [{}, {"Branch": "x", "ExistingOrderTable": "orders", "AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"}],
)
def test_names_are_those_of_the_transformed_template(parameters: dict[str, str]) -> None:
    """Read without SAM's translator, the template gives the very names that a deployment would make."""
    made = resolved(**parameters)
    keys = ("TableName", "FunctionName", "LogGroupName", "TopicName", "DashboardName", "Name")
    types = {named.kind for named in plan().named}
    names = {
        logical: next(resource["Properties"][key] for key in keys if key in resource["Properties"])
        for logical, resource in made.items()
        if resource["Type"] in types
    }
    assert {named.logical: named.name for named in plan(**parameters).named} == names


def test_what_the_functions_get_is_what_is_looked_at() -> None:
    """Tables, ProcessPaidOrder and the secret, by the functions' own environment."""
    given = {"ExistingOrderTable": "orders", "KBankSecretId": "a/b", "ProcessPaidOrderFunction": "pay"}
    given_to_them = resolved(**given)["RecheckFunction"]["Properties"]["Environment"]["Variables"]
    ours = plan(**given)
    for variable in ("PROCESS_PAID_ORDER_FUNCTION", "KBANK_SECRET_ID"):
        assert ours.template.variable(variable) == given_to_them[variable]
    tables = {table.logical: (table.name, table.exists) for table in ours.tables}
    assert tables == {
        "CreditCardNotifyTable": (given_to_them["CREDIT_CARD_NOTIFY_TABLE"], False),
        "CardPaymentRecordTable": (given_to_them["CARD_PAYMENT_RECORD_TABLE"], False),
        "OrderTable": ("orders", True),
        "CallbackErrorLogTable": (given_to_them["CALLBACK_ERROR_LOG_TABLE"], False),
    }


def test_template_is_read_as_sam_reads_it() -> None:
    """The short forms of the intrinsic functions become their long ones; what GetAtt names is never asked."""
    ours, sams = read_template(ROOT / "template.yaml"), source()
    assert ours["Parameters"] == sams["Parameters"]
    assert ours["Rules"] == sams["Rules"]
    assert ours["Conditions"] == sams["Conditions"]
    assert ours["Globals"]["Function"]["Timeout"] == sams["Globals"]["Function"]["Timeout"]


def test_every_function_that_names_need_is_known(tmp_path: Path) -> None:
    """Each intrinsic function of the template's, in its short form."""
    text = """
Parameters: {Branch: {Type: String}}
Mappings: {Limits: {dev: {Time: 40}}}
Conditions:
  Dev: !Equals [!Ref Branch, dev]
  Both: !And [!Condition Dev, !Not [!Equals [a, b]]]
  Neither: !Or [!Not [!Condition Dev], !Equals [a, b]]
Resources:
  A:
    Type: T
    Condition: Both
    Properties:
      Name: !Sub ["${Branch}-${Own}", { Own: !FindInMap [Limits, !Ref Branch, Time] }]
  B: { Type: T, Properties: { Name: !If [Dev, !Sub "${A}", no], Literal: !Sub "${!Own}" } }
  C: { Type: T, Condition: Neither, Properties: !Transform { Name: Unknown } }
"""
    (tmp_path / "t.yaml").write_text(text)
    read = Template(read_template(tmp_path / "t.yaml"), {"Branch": "dev"})
    assert {name: read.value(one["Properties"]) for name, one in read.resources.items()} == {
        "A": {"Name": "dev-40"},
        "B": {"Name": "dev-40", "Literal": "${!Own}"},
    }


def test_what_it_does_not_know_is_said() -> None:
    """A function, or a name that CloudFormation would make up: no guess."""
    with pytest.raises(TemplateError, match="does not know Fn::Split"):
        template().value({"Fn::Split": [",", "a,b"]})
    with pytest.raises(TemplateError, match="Queue has no name before it is made"):
        template(Resources={"Queue": {"Type": "AWS::SQS::Queue", "Properties": {}}}).value({"Ref": "Queue"})


def test_rule_without_a_condition_always_applies() -> None:
    """RuleCondition may be absent."""
    rules = {"R": {"Assertions": [{"Assert": {"Fn::Equals": ["a", "b"]}, "AssertDescription": "never"}]}}
    assert template(Rules=rules).rules == [(False, "never")]


# --- samconfig.toml ---


@pytest.mark.parametrize("name", ["default", "prod"])
def test_our_own_environments_are_read(name: str) -> None:
    """Each environment of the repository's samconfig.toml; its parameters are the template's."""
    environment = read_environment(ROOT / "samconfig.toml", name)
    branch = "dev" if name == "default" else name
    assert environment.stack == f"payment3-follow-up-{branch}"
    assert environment.given["Branch"] == branch
    assert environment.given.keys() <= source()["Parameters"].keys()


@pytest.mark.parametrize(
    "overrides",
    [
        '["Branch=x", "ErrorMailTo=a@b.c, d@e.f", "AlarmTopicArn="]',
        "\"Branch=x ErrorMailTo='a@b.c, d@e.f' AlarmTopicArn=\"",
        '{ Branch = "x", ErrorMailTo = "a@b.c, d@e.f", AlarmTopicArn = "" }',
        '["ParameterKey=Branch,ParameterValue=x", "ErrorMailTo=\\"a@b.c, d@e.f\\"", "AlarmTopicArn="]',
    ],
)
def test_every_form_of_overrides_is_read(tmp_path: Path, overrides: str) -> None:
    """A list, a text, a table, and the long form, as SAM takes them; profile and region, too."""
    config = tmp_path / "samconfig.toml"
    text = '[a.global.parameters]\nregion = "eu-west-1"\nstack_name = "s"\n[a.deploy.parameters]\nprofile = "shop"\n'
    config.write_text(f"{text}parameter_overrides = {overrides}\n")
    environment = read_environment(config, "a")
    assert environment.given == {"Branch": "x", "ErrorMailTo": "a@b.c, d@e.f", "AlarmTopicArn": ""}
    assert environment.session == {"region_name": "eu-west-1", "profile_name": "shop"}
    assert environment.stack == "s"


@pytest.mark.parametrize("text", ["Branch", "", "A B=C"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    """Name=Value."""
    with pytest.raises(ConfigError, match="Name=Value"):
        assigned([text])


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({}, ([], "samconfig.toml cannot be read")),
        ({"samconfig.toml": "["}, ([], "samconfig.toml cannot be read")),
        ({"samconfig.toml": "version = 0.1\n[prod.deploy]"}, ([], "has no environment default; it has prod")),
        ({"samconfig.toml": "[default.deploy]"}, ([], "gives default no stack_name: name the stack")),
        (
            {"samconfig.toml": "[default.deploy]"},
            (["--stack", "s", "--parameter", "Branch"], "'Branch' is no parameter"),
        ),
        ({"samconfig.toml": "[default.deploy]"}, (["--stack", "s"], "template.yaml cannot be read")),
        (
            {"samconfig.toml": "[default.deploy]", "template.yaml": "{"},
            (["--stack", "s"], "template.yaml cannot be read"),
        ),
        (
            {"samconfig.toml": "[default.deploy]", "template.yaml": "5"},
            (["--stack", "s"], "template.yaml is no template"),
        ),
    ],
)
def test_files_that_cannot_be_read_are_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Print, files: dict[str, str], ends: tuple[list[str], str]
) -> None:
    """Without an environment, a stack or a template there is nothing to look at: said, and nothing is asked of AWS."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    arguments, says = ends
    assert main(["preflight", *arguments]) == 2
    assert says in capsys.readouterr().err


# --- where ---


@pytest.mark.parametrize(
    ("config", "options", "session"),
    [
        ("", [], {}),
        ('profile = "shop"\nregion = "eu-west-1"', [], {"profile_name": "shop", "region_name": "eu-west-1"}),
        (
            'region = "eu-west-1"',
            ["--region", "eu-north-1", "--profile", "p"],
            {"region_name": "eu-north-1", "profile_name": "p"},
        ),
    ],
)
def test_place_is_the_one_that_sam_would_deploy_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, options: list[str], session: dict[str, str]
) -> None:
    """An option, else samconfig.toml's profile and region, else the environment."""
    (tmp_path / "samconfig.toml").write_text(f'[default.deploy.parameters]\nstack_name = "s"\n{config}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(boto3, "Session", _Session)
    _Session.asked.clear()
    monkeypatch.setattr(command, "preflight", lambda *_: iter(()))
    assert main(["preflight", *options]) == 0
    assert _Session.asked == [session]


def test_local_stack_is_reached_by_its_own_keys_alone() -> None:
    """What samconfig.toml says of profile and region leads to an account, never to the emulator."""
    operator = Operator()
    keys = {"aws_access_key_id": "1", "aws_secret_access_key": "2", "region_name": REGION}
    operator._account = lambda: Account(keys, "http://127.0.0.1:1")  # type: ignore[method-assign]
    environment = read_environment(ROOT / "samconfig.toml", "default")
    target: Target = command._target(operator, environment)
    assert target.client("sts").meta.endpoint_url == "http://127.0.0.1:1"
    assert target.client("sts") is target.client("sts")
