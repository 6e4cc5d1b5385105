"""The image flavour: a template derived from template.yaml, the same in all but packaging, and its build."""

import copy
import json
from typing import Any

from samcli.yamlhelper import yaml_parse

from local.emulator import ROOT, STATE, write_private
from local.stack import sam_build

IMAGE_BUILD = ROOT / ".aws-sam" / "image"
FILE = STATE / "image-template.json"

TAG = "payment3-follow-up"
# The SAM CLI names the image after the first function that it is for.
IMAGE = f"delayednotifyfunction:{TAG}"
_PACKAGING = ("Runtime", "Handler", "CodeUri")
Template = dict[str, Any]


def derive(template: Template, architecture: str, base: str) -> Template:
    """Return a template whose functions come from one image, each with its handler as the command.

    An image is of one architecture, where the zip is of both: the parameter allows no other.
    """
    derived = copy.deepcopy(template)
    for name in _PACKAGING:
        derived["Globals"]["Function"].pop(name, None)
    for resource in derived["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            _pack(resource, base)
    only = {"Default": architecture, "AllowedValues": [architecture], "Description": "The image's"}
    derived["Parameters"]["Architecture"] |= only
    return derived


def build(architecture: str, base: str) -> None:
    """Build the image with the SAM CLI, and beside it the template that names it."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    write_private(FILE, json.dumps(derive(template, architecture, base), indent=2))
    sam_build(FILE, IMAGE_BUILD)


def _pack(resource: dict[str, Any], base: str) -> None:
    properties = resource["Properties"]
    properties["PackageType"] = "Image"
    properties["ImageConfig"] = {"Command": [properties["Handler"]]}
    for name in _PACKAGING:
        properties.pop(name, None)
    resource["Metadata"] = {
        "Dockerfile": "Dockerfile",
        "DockerContext": str(ROOT / "functions"),
        "DockerTag": TAG,
        "DockerBuildArgs": {"BASE": base},
    }
