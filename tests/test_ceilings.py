"""What may not grow unnoticed: AWS calls, imports, billed units, the artefact. Counts only: no clock is read here."""

import json
import sys
import tomllib
from typing import Any

import pytest

from local import stack
from local.emulator import ROOT
from tests.fresh_python import told_by
from tests.world import World

CEILINGS: dict[str, dict[str, int]] = tomllib.loads((ROOT / "tests" / "ceilings.toml").read_text())
STANDARD = {name.strip("_") for name in sys.stdlib_module_names} | {"sysconfigdata"}
# Only a notification's way in needs these: Recheck and the sweep start without them.
NOT_FOR_RECHECK = {"callback.notification", "callback.checksum", "callback.processor", "callback.redirect"}
# Not one of them is needed (docs/decisions/04, 05, 10), and each took as long to import as all of ours together.
NEVER = {
    "aws_xray_sdk",
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.utilities.idempotency",
    "aws_lambda_powertools.utilities.parameters",
    "aws_lambda_powertools.utilities.parser",
    "boto3.dynamodb.table",
    "pydantic.networks",
    "pydantic.v1",
}


def _calls(world: World) -> int:
    made = len(world.wire.calls)
    world.wire.calls.clear()
    return made


def test_a_delivery_and_its_recheck_make_no_more_calls_than_recorded(world: World) -> None:
    """Each call is a wait that is billed: 7 on a cold function, and 3 a minute later."""
    ceilings = CEILINGS["aws_calls"]
    world.order()
    world.pay()
    world.deliver()
    assert _calls(world) <= ceilings["cold_delivery"]
    world.wait(61)
    world.recheck()
    assert _calls(world) <= ceilings["recheck"]


def test_a_warm_function_asks_for_the_merchants_key_no_more(world: World) -> None:
    """The key is kept for minutes: a delivery on a warm function makes a call less."""
    world.deliver()
    _calls(world)
    again = json.loads(json.dumps(_sample()))
    again["requestContext"]["requestId"] = "another delivery"
    world.deliver(again)
    assert _calls(world) <= CEILINGS["aws_calls"]["warm_delivery"]


def test_the_sweep_costs_what_is_overdue_and_no_more(world: World) -> None:
    """A sweep that finds nothing makes 17 calls, and one call more for each that is overdue, whatever is finished."""
    ceilings = CEILINGS["aws_calls"]
    world.finished(50)
    world.sweep()
    assert _calls(world) <= ceilings["idle_sweep"]
    world.deliver()
    world.wait(600)
    _calls(world)
    world.sweep()
    assert _calls(world) <= ceilings["idle_sweep"] + ceilings["sweep_per_overdue"]


@pytest.mark.parametrize("handler", ["delayednotify", "recheck"])
def test_a_handler_imports_no_more_than_recorded(handler: str) -> None:
    """A cold start reads every module: one that is not needed for the way through is not imported."""
    imported = _imported(f"import {handler}") - _imported("import boto3, botocore.config, boto3.dynamodb.types")
    assert len(imported) <= CEILINGS["modules"][handler], sorted(imported)
    assert not imported & NEVER
    if handler == "recheck":
        assert not imported & NOT_FOR_RECHECK


def test_no_client_is_made_before_it_is_needed(world: World) -> None:
    """One session makes all clients, each at its first use: a Recheck makes none for the key or the mail."""
    world.deliver()
    world.cold_start()
    world.wait(61)
    world.recheck()
    assert not {"secret", "ses", "rechecks", "schedules"} & set(vars(world.app))


def test_a_notification_is_billed_no_more_table_units_than_recorded() -> None:
    """The tables are most of the bill (docs/benchmarks.md): their units and the record's size are counted."""
    counted, ceilings = json.loads(told_by("-m", "bench.counting", "ours")), CEILINGS["tables"]
    assert counted["writes"] <= ceilings["write_units"]
    assert counted["index_writes"] <= ceilings["index_write_units"]
    assert counted["reads"] <= ceilings["read_units"]
    assert counted["record_bytes"] <= ceilings["record_bytes"]


@pytest.mark.stack
def test_the_artefact_is_no_larger_than_recorded() -> None:
    """A new environment fetches and unpacks the artefact before it starts."""
    stack.build()
    files = [file for file in (stack.BUILD / "DelayedNotifyFunction").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files if file.suffix != ".pyc") <= CEILINGS["artefact"]["bytes"]


def _sample() -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / "authorized.json").read_text())
    return event


def _imported(program: str) -> set[str]:
    told = f"{program}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    modules = json.loads(told_by("-c", told))
    # The standard library's own are not counted: each Python has others.
    return {name for name in modules if name.split(".")[0].strip("_").partition("__")[0] not in STANDARD}
