"""The image flavour: derived from template.yaml, equal in all but packaging."""

import copy
import re
from typing import Any

import pytest
from samtranslator.translator.transform import transform

from local.containers import FUNCTIONS, IMAGE, derive
from local.emulator import ROOT
from tests.support.template import NoPolicies, source

PACKAGING = ("Runtime", "Handler", "Code", "PackageType", "ImageConfig")
DOCKERFILE = (ROOT / "functions" / "Dockerfile").read_text()
DERIVED = derive(source(), "arm64", "base:1")


def transformed(template: dict[str, Any], **code: str) -> dict[str, Any]:
    """What CloudFormation makes of it, with the code where `sam package` puts it."""
    template = copy.deepcopy(template)
    for name in FUNCTIONS:
        template["Resources"][name]["Properties"] |= code
    made: dict[str, Any] = transform(template, {}, NoPolicies())
    return made


ZIP = transformed(source(), CodeUri="s3://a-bucket/the-code")
AS_IMAGE = transformed(DERIVED, ImageUri=f"123456789012.dkr.ecr.ap-southeast-1.amazonaws.com/{IMAGE}")


def without_packaging(template: dict[str, Any]) -> dict[str, Any]:
    """All that is not packaging."""
    template = copy.deepcopy(template)
    del template["Parameters"]["Architecture"]
    for name, resource in template["Resources"].items():
        resource.pop("Metadata", None)  # how to build it
        for part in PACKAGING if name in FUNCTIONS else ():
            resource["Properties"].pop(part, None)
    return template


def test_flavours_are_equal_in_all_but_packaging() -> None:
    """Transformed, both have the same resources, permissions, alarms, parameters and outputs."""
    assert without_packaging(AS_IMAGE) == without_packaging(ZIP)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_the_image_s_by_its_command(function: str) -> None:
    """One image, built once, for all; the zip's handler is the command, and Lambda gets no second runtime."""
    as_zip, as_image = (made["Resources"][function]["Properties"] for made in (ZIP, AS_IMAGE))
    assert as_image["PackageType"] == "Image"
    assert as_image["ImageConfig"] == {"Command": [as_zip["Handler"]]}
    assert as_image["Code"]["ImageUri"].endswith(IMAGE)
    assert not {"Runtime", "Handler"} & set(as_image)
    build = DERIVED["Resources"][function]["Metadata"]
    assert build == DERIVED["Resources"][FUNCTIONS[0]]["Metadata"]
    assert build["DockerBuildArgs"] == {"BASE": "base:1"}


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_image_is_deployed_to_its_own_architecture_only(architecture: str) -> None:
    """A deployment to the other is refused, and does not fail at its first start; what it derives from is unchanged."""
    template = source()
    parameter = derive(template, architecture, "base:1")["Parameters"]["Architecture"]
    assert (parameter["Default"], parameter["AllowedValues"]) == (architecture, [architecture])
    assert template == source()


def test_image_holds_what_is_deployed_and_is_locked() -> None:
    """Every package of functions/, wheels by hash only, and bytecode; the last stage runs nothing and adds no tool.

    Nothing else of the folder is sent to the engine, bytecode of this machine least of all.
    """
    packages = {folder.parent.name for folder in (ROOT / "functions").glob("*/__init__.py")}
    build, last = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert set(re.findall(r"^COPY (\w+) \1$", build, re.MULTILINE)) == packages
    for option in ("--require-hashes", "--only-binary=:all:", "--no-deps"):
        assert option in build
    assert "compileall -q --invalidation-mode unchecked-hash" in build
    assert re.findall(r"^[A-Z]+", last, re.MULTILINE) == ["COPY", "CMD"]
    assert re.search(r"^ARG BASE=public\.ecr\.aws/lambda/python:3\.12$", DOCKERFILE, re.MULTILINE)
    sent = re.findall(r"^!(\S+)$", (ROOT / "functions" / ".dockerignore").read_text(), re.MULTILINE)
    assert set(sent) == set(re.findall(r"^COPY (\w\S*) ", DOCKERFILE, re.MULTILINE))
