"""The image flavour: derived from template.yaml, equal in all but packaging."""

import copy
import re
from typing import Any

import pytest
from samtranslator.translator.transform import transform

from local.containers import IMAGE, derive
from local.emulator import ROOT
from tests.support.template import NoPolicies, source

FUNCTIONS = ("DelayedNotifyFunction", "RecheckFunction", "RetryFunction", "SweepFunction")
PACKAGING = ("Runtime", "Handler", "Code", "PackageType", "ImageConfig")
DOCKERFILE = (ROOT / "functions" / "Dockerfile").read_text()


def derived(architecture: str = "arm64") -> dict[str, Any]:
    """The flavour as `sam build` gets it."""
    return derive(source(), architecture, "base:1")


def transformed(template: dict[str, Any], **code: str) -> dict[str, Any]:
    """What CloudFormation makes of it, with the code where `sam package` puts it."""
    template = copy.deepcopy(template)
    for name in FUNCTIONS:
        template["Resources"][name]["Properties"] |= code
    made: dict[str, Any] = transform(template, {}, NoPolicies())
    return made


ZIP = transformed(source(), CodeUri="s3://a-bucket/the-code")
AS_IMAGE = transformed(derived(), ImageUri=f"123456789012.dkr.ecr.ap-southeast-1.amazonaws.com/{IMAGE}")


def without_packaging(template: dict[str, Any]) -> dict[str, Any]:
    """All that is not packaging."""
    template = copy.deepcopy(template)
    del template["Parameters"]["Architecture"]
    for name, resource in template["Resources"].items():
        resource.pop("Metadata", None)  # how to build it
        if name in FUNCTIONS:
            resource["Properties"] = {k: v for k, v in resource["Properties"].items() if k not in PACKAGING}
    return template


def test_flavours_are_equal_in_all_but_packaging() -> None:
    """Transformed, both have the same resources, permissions, alarms, parameters and outputs."""
    assert without_packaging(AS_IMAGE) == without_packaging(ZIP)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_the_image_s_by_its_command(function: str) -> None:
    """One image for all of them; the zip's handler is the command, and Lambda gets no runtime of its own."""
    as_zip, as_image = (made["Resources"][function]["Properties"] for made in (ZIP, AS_IMAGE))
    assert as_image["PackageType"] == "Image"
    assert as_image["ImageConfig"] == {"Command": [as_zip["Handler"]]}
    assert as_image["Code"]["ImageUri"].endswith(IMAGE)
    assert not {"Runtime", "Handler"} & set(as_image)


def test_functions_are_built_once() -> None:
    """The same context, file and arguments: the SAM CLI builds one image of them."""
    builds = [derived()["Resources"][name]["Metadata"] for name in FUNCTIONS]
    assert all(build == builds[0] for build in builds)
    assert builds[0]["DockerBuildArgs"] == {"BASE": "base:1"}


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_image_is_deployed_to_its_own_architecture_only(architecture: str) -> None:
    """An image is of one architecture: a deployment to the other is refused, and does not fail at its first start."""
    parameter = derived(architecture)["Parameters"]["Architecture"]
    assert parameter["Default"] == architecture
    assert parameter["AllowedValues"] == [architecture]


def test_template_is_left_as_it_was() -> None:
    """Deriving changes nothing of what it derives from."""
    template = source()
    derive(template, "arm64", "base:1")
    assert template == source()


def test_image_holds_what_is_deployed_and_is_locked() -> None:
    """Every package of functions/, wheels by hash only, and bytecode; the last stage runs nothing and adds no tool."""
    packages = {folder.parent.name for folder in (ROOT / "functions").glob("*/__init__.py")}
    build, last = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert {found[1] for found in re.finditer(r"^COPY (\w+) \1$", build, re.MULTILINE)} == packages
    for option in ("--require-hashes", "--only-binary=:all:", "--no-deps"):
        assert option in build
    assert "compileall -q --invalidation-mode unchecked-hash" in build
    assert re.findall(r"^[A-Z]+", last, re.MULTILINE) == ["COPY", "CMD"]
    assert re.search(r"^ARG BASE=public\.ecr\.aws/lambda/python:3\.12$", DOCKERFILE, re.MULTILINE)


def test_image_s_context_is_what_it_copies() -> None:
    """Nothing else of the folder is sent to the engine, bytecode of this machine least of all."""
    allowed = re.findall(r"^!(\S+)$", (ROOT / "functions" / ".dockerignore").read_text(), re.MULTILINE)
    assert set(allowed) == set(re.findall(r"^COPY (\w\S*) ", DOCKERFILE, re.MULTILINE))
