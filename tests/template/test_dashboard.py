"""The dashboard and the saved queries: what they name is what the functions log, or a metric of AWS's own."""

import json
import re
from typing import Any

import pytest

from callback.log import NAMESPACE
from tests.functions.test_strangers import ALL, MINUTE, play, posts
from tests.support.aws import World, worlds
from tests.support.failure_table import SCENARIOS, Story
from tests.support.outages import outage
from tests.template.test_template import ALARMS, FUNCTIONS, QUEUES, of_type, properties

WIDGETS: list[dict[str, Any]] = json.loads(properties("Dashboard")["DashboardBody"])["widgets"]
# The lines of all plots.
PLOTTED: list[list[Any]] = [line for w in WIDGETS if w["type"] == "metric" for line in w["properties"]["metrics"]]
QUERIES = of_type("AWS::Logs::QueryDefinition")
# Words of the query language, and a field that CloudWatch adds.
_WORDS = set("@timestamp fields filter sort stats limit by as desc count latest pct max bin ispresent or".split())
DOWN = "CreditCardNotifyTable CardPaymentRecordTable CallbackErrorLogTable SES Scheduler".split()
DOWN += ["order table", "Secrets Manager"]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """The log lines of outages of every step, of a stranger's day, and of a failure that cannot be recorded."""
    found = []
    with worlds() as world:
        for name in DOWN:
            fails = "fails" if name in {"SES", "CallbackErrorLogTable"} else ""
            outage(world, {name: "server error", "ProcessPaidOrder": fails}, 10 * MINUTE, MINUTE)
            found += world.lines
        play(world, posts(ALL, 1))
        found += world.lines
        story = Story(world, SCENARIOS["each pass fails once"], (True, "once"))
        story.cell(("DelayedNotify", "record the failed pass", 0), "server error")
        return [line for *_, line in found + world.lines]


def test_every_metric_is_in_such_lines(lines: list[dict[str, Any]]) -> None:
    """The functions count what is plotted or alarmed, under that name and branch, and count nothing else."""
    declared = [about for line in lines if "_aws" in line for about in line["_aws"]["CloudWatchMetrics"]]
    assert all((about["Namespace"], about["Dimensions"]) == (NAMESPACE, [["Branch"]]) for about in declared)
    plotted = [line for line in PLOTTED if line[0] == NAMESPACE]
    assert {tuple(line[2:4]) for line in plotted} == {("Branch", "dev")}
    alarmed = {alarm["MetricName"] for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE}
    counted = {metric["Name"] for about in declared for metric in about["Metrics"]}
    assert {line[1] for line in plotted} | alarmed == counted


def test_values_are_what_happened(world: World) -> None:
    """A repeat saves nothing and runs nothing; lateness counts from when the pass was first due."""
    world.deliver()
    world.deliver()
    world.wait(61 + 95)
    world.recheck()
    expected = {"Saved": 1, "PassesCompleted": 2, "PassesFailed": 0, "ChecksumsValid": 2, "RecheckLateness": 95}
    assert {name: sum(line[name] for line in world.metrics(name)) for name in expected} == expected


def test_dashboard_shows_every_alarm_queue_and_function() -> None:
    """What the template makes and watches is on the one page."""
    [shown] = [w["properties"]["alarms"] for w in WIDGETS if w["type"] == "alarm"]
    assert sorted(alarm.rsplit("stack-", 1)[1] for alarm in shown) == sorted(ALARMS)
    named = {part for line in PLOTTED for part in line if isinstance(part, str)}
    assert {f"stack-{queue}" for queue in QUEUES} <= named
    assert {properties(f"{function}Function")["FunctionName"] for function in FUNCTIONS} <= named
    assert properties("ScheduleGroup")["Name"] in named


def test_cost_is_calculated_with_the_prices_of_the_architecture() -> None:
    """The estimate follows MemorySize, the sweep's own size, Architecture, and the table that is in use."""
    calculated = [line[0]["expression"] for line in PLOTTED if isinstance(line[0], dict)]
    [compute] = [expression for expression in calculated if "1024" in expression]
    assert compute.endswith("* 256 + FILL(d3, 0) * 1769) / 1024000 * 0.0000133334")
    assert any('TableName="payment3-credit-card-notify-dev"' in expression for expression in calculated)
    hidden = {line[-1]["id"] for line in PLOTTED if isinstance(line[-1], dict) and line[-1].get("visible") is False}
    assert set(re.findall(r"FILL\((\w+), 0\)", " ".join(calculated))) == hidden


@pytest.mark.parametrize("name", QUERIES)
def test_saved_query_asks_for_what_the_logs_hold(lines: list[dict[str, Any]], name: str) -> None:
    """Each field of a saved query is in some line, and each filter finds at least one."""
    text = QUERIES[name]["QueryString"]
    words = set(re.findall(r"@?[A-Za-z]\w*", re.sub(r'"[^"]*"|\d\w*', "", text)))
    asked = words - _WORDS - set(re.findall(r" as (\w+)", text))
    assert asked <= {field for line in lines for field in line}
    level = re.search(r'level = "(\w+)"', text)
    assert level is None or any(line["level"] == level[1] for line in lines)


def test_saved_queries_read_the_functions_logs_in_a_folder_of_the_branch() -> None:
    """Those of all functions and no other."""
    groups = {properties(f"{function}LogGroup")["LogGroupName"] for function in FUNCTIONS}
    assert {group for query in QUERIES.values() for group in query["LogGroupNames"]} == groups
    assert all(query["Name"].startswith("payment3-follow-up-dev/") for query in QUERIES.values())
