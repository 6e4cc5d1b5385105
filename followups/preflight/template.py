"""template.yaml, read as CloudFormation would with these parameters; only what preflight asks of it is resolved."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Node = Any
_REFERENCE = re.compile(r"\$\{([^!}]+)\}")


class TemplateError(Exception):
    """The template cannot be read, or uses what this reader does not know."""


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as `!Ref`, as their long ones."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Node:
    key = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.SequenceNode):
        return {key: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {key: loader.construct_mapping(node, deep=True)}
    return {key: loader.construct_scalar(node)}  # type: ignore[arg-type] # there is no fourth kind


_Loader.add_multi_constructor("!", _intrinsic)


def read_template(file: Path) -> dict[str, Node]:
    """Read a template as it is written. Raises `TemplateError`."""
    try:
        content = _Loader(file.read_text()).get_single_data()
    except (OSError, yaml.YAMLError) as error:
        raise TemplateError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict) or not {"Parameters", "Resources"} <= content.keys():
        raise TemplateError(f"{file} is no template: it has no Parameters and Resources")
    return content


class Template:
    """A template with a value for each parameter."""

    def __init__(self, content: Mapping[str, Node], values: Mapping[str, str]) -> None:
        self._content = content
        self._values = values
        self._functions = {
            "Condition": self._holds,
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::Not": self._not,
            "Fn::Or": self._or,
            "Fn::And": self._and,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Contains": self._contains,
            "Fn::EachMemberIn": self._each_member_in,
        }

    @property
    def resources(self) -> dict[str, dict[str, Node]]:
        """The resources that are made, by logical name, unresolved."""
        return {name: one for name, one in self._section("Resources").items() if self._is_made(one)}

    @property
    def rules(self) -> list[tuple[bool, str]]:
        """The assertions of the template's Rules that apply here: whether each holds, and what it says."""
        rules = self._section("Rules").values()
        applying = [rule for rule in rules if self.value(rule.get("RuleCondition", True))]
        asserted = [one for rule in applying for one in rule["Assertions"]]
        return [(bool(self.value(one["Assert"])), str(one["AssertDescription"])) for one in asserted]

    def output(self, name: str) -> str:
        """Return what an output would say."""
        return str(self.value(self._section("Outputs")[name]["Value"]))

    def variable(self, name: str) -> str:
        """Return an environment variable of the functions."""
        return str(self.value(self._section("Globals")["Function"]["Environment"]["Variables"][name]))

    def value(self, node: Node) -> Node:
        """Resolve a part of the template. Raises `TemplateError` for a function that is not known here."""
        if isinstance(node, list):
            return [self.value(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        [(key, argument), *others] = node.items()
        if not others and key in self._functions:
            return self._functions[key](argument)
        if key.startswith("Fn::"):
            raise TemplateError(f"preflight does not know {key}")
        return {name: self.value(inner) for name, inner in node.items()}

    def _section(self, name: str) -> dict[str, Node]:
        found: dict[str, Node] = self._content.get(name, {})
        return found

    def _is_made(self, resource: Mapping[str, Node]) -> bool:
        return "Condition" not in resource or self._holds(resource["Condition"])

    def _holds(self, condition: str) -> bool:
        return bool(self.value(self._section("Conditions")[condition]))

    def _ref(self, name: str) -> str:
        if name in self._values:
            return self._values[name]
        properties = self._section("Resources")[name]["Properties"]
        named = next((key for key in ("TableName", "TopicName", "Name") if key in properties), None)
        if named is None:
            raise TemplateError(f"{name} has no name before it is made")
        return str(self.value(properties[named]))

    def _sub(self, argument: Node) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def value(found: re.Match[str]) -> str:
            return str(self.value(own[found[1]])) if found[1] in own else self._ref(found[1])

        return _REFERENCE.sub(value, text)

    def _if(self, argument: Node) -> Node:
        condition, yes, no = argument
        return self.value(yes if self._holds(condition) else no)

    def _equals(self, argument: Node) -> bool:
        left, right = self.value(argument)
        return str(left) == str(right)

    def _not(self, argument: Node) -> bool:
        return not self.value(argument)[0]

    def _or(self, argument: Node) -> bool:
        return any(self.value(argument))

    def _and(self, argument: Node) -> bool:
        return all(self.value(argument))

    def _find_in_map(self, argument: Node) -> Node:
        table, top, second = self.value(argument)
        return self._section("Mappings")[table][top][second]

    def _contains(self, argument: Node) -> bool:
        among, one = self.value(argument)
        return one in among

    def _each_member_in(self, argument: Node) -> bool:
        # A parameter that is a list comes as its text.
        given, among = self.value(argument)
        return {part.strip() for part in given.split(",")} <= set(among)
