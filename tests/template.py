"""template.yaml as CloudFormation sees it: transformed by SAM's own translator, its intrinsics resolved."""

import re
from functools import cache
from typing import Any

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from local.emulator import ACCOUNT, REGION, ROOT
from tests.quietly import unmeasured

PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com"}
# What GetAtt X.Arn gives, by type; `{}` is the resource's name.
_ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{}}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
}
_NAMES = ("TableName", "FunctionName", "LogGroupName", "TopicName", "Name")


class NoPolicies:
    """No managed policies: ours are written out."""

    def load(self) -> dict[str, str]:
        """None."""
        return {}


def source() -> dict[str, Any]:
    """The template as written."""
    parsed: dict[str, Any] = unmeasured(yaml_parse, (ROOT / "template.yaml").read_text())
    return parsed


@cache
def resolved(**parameters: str) -> dict[str, Any]:
    """The resources that would be made, with every reference replaced by its value."""
    return _resolver(**parameters).resources()


def arn(name: str, **parameters: str) -> str:
    """The ARN of a resource of the template."""
    found: str = _resolver(**parameters).value({"Fn::GetAtt": f"{name}.Arn"})
    return found


@cache
def _resolver(**parameters: str) -> "_Resolver":
    written = source()
    written["Globals"]["Function"]["CodeUri"] = "s3://a-bucket/the-code"  # as `sam package` leaves it
    template = unmeasured(transform, written, {}, NoPolicies())
    given = {name: str(about["Default"]) for name, about in template["Parameters"].items()} | parameters
    return _Resolver(template, given)


class _Resolver:
    def __init__(self, template: dict[str, Any], parameters: dict[str, str]) -> None:
        self._template = template
        self._values = PSEUDO | parameters

    def resources(self) -> dict[str, Any]:
        made = {}
        for name, resource in self._template["Resources"].items():
            if "Condition" not in resource or self._condition(resource["Condition"]):
                made[name] = resource | {"Properties": self.value(resource.get("Properties", {}))}
        return made

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(key, argument)] = node.items()
            if key == "Ref":
                return self._ref(argument)
            if key.startswith("Fn::"):
                return getattr(self, "_" + key[4:].lower())(argument)
        return {key: self.value(inner) for key, inner in node.items()}

    def _ref(self, name: str) -> str:
        return self._values[name] if name in self._values else self._name(name)

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
            return own.get(name) or (self._getatt(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _if(self, argument: list[Any]) -> Any:
        name, yes, no = argument
        return self.value(yes if self._condition(name) else no)

    def _condition(self, name: str) -> bool:
        return bool(self.value(self._template["Conditions"][name]))

    def _equals(self, argument: list[Any]) -> bool:
        left, right = self.value(argument)
        return str(left) == str(right)

    def _not(self, argument: list[Any]) -> bool:
        return not self.value(argument)[0]

    def _findinmap(self, argument: list[Any]) -> Any:
        name, top, second = self.value(argument)
        return self._template["Mappings"][name][top][second]
