"""template.yaml as CloudFormation sees it: transformed by SAM's own translator, its intrinsics resolved."""

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from types import SimpleNamespace
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local.emulator import ACCOUNT, REGION, ROOT
from tests.support.without_coverage import without_coverage

_NO_VALUE = object()
_PSEUDO = {"Partition": "aws", "Region": REGION, "AccountId": ACCOUNT, "NoValue": _NO_VALUE}
# What GetAtt X.Arn gives, by type; `{}` is the resource's name.
_ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{}}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
}
# What Ref gives where it is not the name.
_REFS = {
    "AWS::IAM::ManagedPolicy": _ARNS["AWS::IAM::ManagedPolicy"],
    "AWS::SQS::Queue": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{}}",
}
# What needs nothing but the values of its arguments.
_OF_VALUES: dict[str, Callable[..., Any]] = {
    "Fn::Equals": lambda left, right: str(left) == str(right),
    "Fn::Not": lambda value: not value,
    "Fn::Or": lambda *values: any(values),
    "Fn::Contains": lambda among, wanted: wanted in among,
    "Fn::EachMemberIn": lambda members, among: set(members) <= set(among),
    "Fn::Join": lambda delimiter, parts: delimiter.join(parts),
}
_NAMES = ("TableName", "FunctionName", "LogGroupName", "TopicName", "Name")


def source() -> dict[str, Any]:
    """The template as written; a copy, which a test may change."""
    return deepcopy(_written())


@cache
def _written() -> Any:
    with without_coverage():
        return yaml_parse((ROOT / "template.yaml").read_text())


@cache
def resolved(**parameters: str) -> dict[str, Any]:
    """The resources that would be made, with every reference replaced by its value."""
    return _Resolver(**parameters).resources()


def arn(name: str) -> str:
    return str(_Resolver().value({"Fn::GetAtt": f"{name}.Arn"}))


@cache
def outputs() -> dict[str, str]:
    """The outputs of a stack."""
    return {name: _Resolver().value(about["Value"]) for name, about in source()["Outputs"].items()}


def refusals(**parameters: str) -> list[str]:
    """What the rules say to a deployment with these parameters; nothing if it may go on."""
    return _Resolver(**parameters).refusals()


@cache
def _transformed() -> dict[str, Any]:
    written = source()
    written["Globals"]["Function"]["CodeUri"] = "s3://a-bucket/the-code"  # as `sam package` leaves it
    with without_coverage():
        made: dict[str, Any] = transform(written, {}, SimpleNamespace(load=dict))  # no managed policy is named
    return made


@cache
class _Resolver:
    def __init__(self, **parameters: str) -> None:
        self._template: dict[str, Any] = _transformed()
        self._values: dict[str, Any] = {f"AWS::{name}": value for name, value in _PSEUDO.items()}
        for name, about in self._template["Parameters"].items():
            given = parameters.get(name, str(about["Default"]))
            is_list = about["Type"] == "CommaDelimitedList"
            self._values[name] = [part.strip() for part in given.split(",")] if is_list else given

    def resources(self) -> dict[str, Any]:
        found = self._template["Resources"].items()
        made = {name: r for name, r in found if "Condition" not in r or self._condition(r["Condition"])}
        return {name: r | {"Properties": self.value(r.get("Properties", {}))} for name, r in made.items()}

    def refusals(self) -> list[str]:
        rules = [rule for rule in self._template["Rules"].values() if self.value(rule["RuleCondition"])]
        return [a["AssertDescription"] for rule in rules for a in rule["Assertions"] if not self.value(a["Assert"])]

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [found for item in node if (found := self.value(item)) is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(key, argument)] = node.items()
            if key == "Ref":
                return self._ref(argument)
            if key in _OF_VALUES:
                return _OF_VALUES[key](*self.value(argument))
            if key.startswith("Fn::"):
                return getattr(self, "_" + key[4:].lower())(argument)
        return {key: found for key, inner in node.items() if (found := self.value(inner)) is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        return _REFS.get(self._template["Resources"][name]["Type"], "{}").format(self._name(name))

    def _name(self, logical: str) -> str:
        properties = self._template["Resources"][logical].get("Properties", {})
        return next((str(self.value(properties[n])) for n in _NAMES if n in properties), f"stack-{logical}")

    def _getatt(self, argument: Any) -> str:
        logical, attribute = argument if isinstance(argument, list) else argument.split(".")
        if attribute == "QueueName":
            return self._name(logical)
        assert attribute == "Arn", argument
        return _ARNS[self._template["Resources"][logical]["Type"]].format(self._name(logical))

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = {name: str(self.value(value)) for name, value in own.items()}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):  # `${!Literal}` is CloudWatch's own
                return f"${{{name[1:]}}}"
            return own.get(name) or (self._getatt(name) if "." in name else str(self._ref(name)))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _if(self, argument: list[Any]) -> Any:
        return self.value(argument[1 if self._condition(argument[0]) else 2])

    def _condition(self, name: str) -> bool:
        return bool(self.value(self._template["Conditions"][name]))

    def _findinmap(self, argument: list[Any]) -> Any:
        name, top, second = self.value(argument)
        return self._template["Mappings"][name][top][second]
