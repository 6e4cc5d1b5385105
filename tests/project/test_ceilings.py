"""What may not grow unnoticed: AWS calls, imports, billed units, the artefact. Counts only: no clock is read here."""

import json
import sys
import tomllib
from functools import partial
from itertools import pairwise

import pytest

from bench import facts, worker
from local.emulator import ROOT
from tests.support.aws import World, sample
from tests.support.programs import run_python

CEILINGS: dict[str, dict[str, int]] = tomllib.loads((ROOT / "tests" / "project" / "ceilings.toml").read_text())
STANDARD = {name.strip("_") for name in sys.stdlib_module_names} | {"sysconfigdata"}


def test_aws_calls_are_as_recorded(world: World) -> None:
    """Each call is a wait that is billed; a warm function asks for no key, a sweep pays extra only for what is late."""
    world.order()
    world.pay()
    world.finished(50)
    made = [0]
    warm_delivery = partial(world.deliver, sample("declined"))
    for invoke in (world.deliver, warm_delivery, world.recheck, world.sweep, world.sweep):
        invoke()
        made.append(len(world.wire.calls))
        world.wait(61 if len(made) < 5 else 600)
    cold, warm, recheck, idle, one_overdue = (b - a for a, b in pairwise(made))
    found = {"cold_delivery": cold, "warm_delivery": warm, "recheck": recheck, "idle_sweep": idle}
    assert found | {"sweep_per_overdue": one_overdue - idle} == CEILINGS["aws_calls"]


@pytest.mark.parametrize("handler", ["delayednotify", "recheck"])
def test_a_handler_imports_no_more_than_recorded(handler: str) -> None:
    """A cold start reads every module; Recheck needs none that takes a notification in. No import reads a variable."""
    imported = _imported(f"import {handler}") - _imported("import boto3, botocore.config, boto3.dynamodb.types")
    assert len(imported) <= CEILINGS["modules"][handler], sorted(imported)
    assert handler != "recheck" or not imported & {"callback.notification", "callback.checksum", "callback.processor"}


def test_a_notification_is_billed_no_more_table_units_than_recorded() -> None:
    """The tables are most of the bill (docs/benchmarks.md): their units and the record's size are counted."""
    facts.write_template()
    counted, ceilings = worker.run("handlers.study"), CEILINGS["tables"]
    assert {name: most for name, most in ceilings.items() if counted[name] > most} == {}


def _imported(program: str) -> set[str]:
    printing = f"{program}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    modules = json.loads(run_python("-c", printing))
    # Without the standard library, which differs between versions of Python.
    return {name for name in modules if name.split(".")[0].strip("_").partition("__")[0] not in STANDARD}
