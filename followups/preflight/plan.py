"""What would be deployed: the template with its parameters, in one account, into one stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from followups.preflight.target import Where
from followups.preflight.template import Template

# Types whose names are ours to choose, and so may be taken: the property, and what a deployed stack calls the type.
_NAMED = {
    "AWS::Serverless::Function": ("FunctionName", "AWS::Lambda::Function"),
    "AWS::Logs::LogGroup": ("LogGroupName", "AWS::Logs::LogGroup"),
    "AWS::Scheduler::ScheduleGroup": ("Name", "AWS::Scheduler::ScheduleGroup"),
    "AWS::CloudWatch::Dashboard": ("DashboardName", "AWS::CloudWatch::Dashboard"),
    "AWS::SNS::Topic": ("TopicName", "AWS::SNS::Topic"),
    "AWS::DynamoDB::Table": ("TableName", "AWS::DynamoDB::Table"),
}


@dataclass(frozen=True)
class Named:
    """A resource that would be made under a name of our choice."""

    logical: str
    kind: str
    name: str


@dataclass(frozen=True)
class Table:
    """One of the four tables: to be made, or there already; `properties` are what the template gives it."""

    logical: str
    name: str
    exists: bool
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a deployment would make, and what it would use."""

    where: Where
    stack: str
    parameters: Mapping[str, str]
    content: Mapping[str, Any]

    @cached_property
    def template(self) -> Template:
        """The template in this account, with these parameters."""
        where = self.where
        pseudo = {"AWS::Partition": where.partition, "AWS::Region": where.region, "AWS::AccountId": where.account}
        return Template(self.content, pseudo | {"AWS::StackName": self.stack} | dict(self.parameters))

    @property
    def named(self) -> list[Named]:
        """The resources whose names must be free, or this stack's already."""
        found = []
        for logical, resource in self.template.resources.items():
            if resource["Type"] in _NAMED:
                key, kind = _NAMED[resource["Type"]]
                found.append(Named(logical, kind, str(self.template.value(resource["Properties"][key]))))
        return found

    @property
    def tables(self) -> list[Table]:
        """Every table of the template's, with the name that the functions get."""
        made = self.template.resources
        declared = {k: v for k, v in self.content["Resources"].items() if v["Type"] == "AWS::DynamoDB::Table"}
        return [
            Table(logical, self.template.output(logical), logical not in made, resource["Properties"])
            for logical, resource in declared.items()
        ]
