"""The dashboard and the saved queries: what they name is what the functions tell, or a metric of AWS's own."""

import json
import re
from datetime import datetime
from typing import Any

import pytest

from callback.metric import NAMESPACE
from tests.test_template import FUNCTIONS, QUEUES, RESOURCES, properties
from tests.wire import listening, refuse
from tests.world import World, made, sample

WIDGETS: list[dict[str, Any]] = json.loads(properties("Dashboard")["DashboardBody"])["widgets"]
QUERIES = {n: r["Properties"] for n, r in RESOURCES.items() if r["Type"] == "AWS::Logs::QueryDefinition"}
# Words of the query language, and fields that CloudWatch adds.
_WORDS = set(re.findall(r"\w+", "fields filter sort stats limit by as desc and in count latest pct max bin ispresent"))
_OWN = {"@timestamp"}


def metrics() -> list[list[Any]]:
    """The lines of all plots."""
    return [line for w in WIDGETS if w["type"] == "metric" for line in w["properties"]["metrics"]]


def expressions() -> list[str]:
    """The reckoned lines of all plots."""
    return [line[0]["expression"] for line in metrics() if isinstance(line[0], dict)]


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """The log lines of a notification that goes well, others that fail for good, mails held back, a sweep."""
    with pytest.MonkeyPatch.context() as patch, made(listening(patch), patch) as world:
        return _lines(world)


def _lines(world: World) -> list[dict[str, Any]]:
    world.cold_start(MAX_ATTEMPTS="1")
    world.deliver()
    world.wait(200)
    world.sweep()
    world.recheck()
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=99)
    for number in range(23):
        event = sample("wrong-checksum")
        event["requestContext"]["requestId"] = f"n-{number}"
        with pytest.raises(Exception, match="could not be invoked"):
            world.deliver(event)
    return world.log()


def test_every_metric_of_ours_is_told_in_such_lines(told: list[dict[str, Any]]) -> None:
    """A plot or an alarm of a metric that nobody tells would be empty for ever: name, namespace and dimensions fit."""
    emitted = {(n["Name"], *declared["Dimensions"][0]) for line in told for declared, n in _declared(line)}
    plotted = {(line[1], *line[2:-1:2]) for line in metrics() if line[0] == NAMESPACE}
    searched = {
        (name, *_dimensions(given)) for e in expressions() for given, name in _searches(e) if NAMESPACE in given
    }
    alarmed = {
        (r["Properties"]["MetricName"], "Branch")
        for r in RESOURCES.values()
        if r["Type"] == "AWS::CloudWatch::Alarm" and r["Properties"]["Namespace"] == NAMESPACE
    }
    assert plotted | {_sorted(s) for s in searched} | alarmed == {_sorted(e) for e in emitted}


def test_every_value_is_of_this_branch(told: list[dict[str, Any]]) -> None:
    """Branches share an account: each line of ours names the branch, and so does each plot."""
    assert {line["Branch"] for line in told if "_aws" in line} == {"dev"}
    assert all("dev" in line for line in metrics() if line[0] == NAMESPACE)
    assert all('Branch="dev"' in e for e in expressions() if NAMESPACE in e)


def test_metrics_have_units_and_few_dimensions(told: list[dict[str, Any]]) -> None:
    """Each value of a dimension is paid for as a metric of its own: none holds an id of any kind."""
    units = {n["Name"]: n["Unit"] for line in told for _, n in _declared(line)}
    assert units.pop("RecheckLateness") == units.pop("OldestOverdue") == "Seconds"
    assert set(units.values()) == {"Count"}
    dimensions = {d for line in told for declared, _ in _declared(line) for d in declared["Dimensions"][0]}
    assert dimensions == {"Branch", "Status", "Pass", "Outcome"}


def test_passes_are_counted_by_number_and_outcome(world: World) -> None:
    """How many passes of each kind, and how they went: also the ones that fail and are tried again."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(Exception, match="could not be invoked"):
        world.deliver()
    world.deliver()
    world.wait(60)
    world.recheck()
    passes = [(line["Pass"], line["Outcome"], line["Passes"]) for line in world.metrics("Passes")]
    assert passes == [("1", "failed", 1), ("1", "completed", 1), ("2", "completed", 1)]


def test_notification_is_counted_once_as_saved(world: World) -> None:
    """A retry saves nothing, and counts nothing."""
    world.deliver()
    world.deliver()
    assert [line["Saved"] for line in world.metrics("Saved")] == [1]


@pytest.mark.parametrize(("event", "status"), [("authorized", "valid"), ("wrong-checksum", "invalid")])
@pytest.mark.parametrize("policy", ["warn", "reject"])
def test_checksums_are_counted_by_status(world: World, event: str, status: str, policy: str) -> None:
    """Whatever the policy makes of it, what came is counted."""
    world.cold_start(CHECKSUM_POLICY=policy)
    if (status, policy) == ("invalid", "reject"):
        with pytest.raises(Exception, match="checksum invalid"):
            world.deliver(sample(event))
    else:
        world.deliver(sample(event))
    assert [(line["Status"], line["Checksums"]) for line in world.metrics("Checksums")] == [(status, 1)]


def test_recheck_tells_how_late_it_is(world: World) -> None:
    """Seconds between when the pass was due and when it began; the first pass has nothing to be late for."""
    world.deliver()
    world.wait(60 + 95)
    world.recheck()
    assert [line["RecheckLateness"] for line in world.metrics("RecheckLateness")] == [95]


def test_metric_is_told_with_the_time_that_cloudwatch_wants(world: World) -> None:
    """Milliseconds since 1970, of when the line was written: CloudWatch drops what is two weeks old."""
    world.deliver()
    [line] = world.metrics("Saved")
    written = datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    assert abs(line["_aws"]["Timestamp"] / 1000 - written.timestamp()) < 60


def test_dashboard_answers_its_four_questions() -> None:
    """Is it working, what is late, what failed, what does it cost: a heading and plots for each, none over another."""
    text = " ".join(w["properties"]["markdown"] for w in WIDGETS if w["type"] == "text")
    for question in ("Is it working?", "What is late?", "What failed?", "What does it cost?"):
        assert f"## {question}" in text
    taken = [(x, y) for w in WIDGETS for x in range(w["x"], w["x"] + w["width"]) for y in _rows(w)]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23


def test_dashboard_shows_every_alarm_queue_and_function() -> None:
    """What the template makes and watches is on the one page."""
    [alarms] = [w["properties"]["alarms"] for w in WIDGETS if w["type"] == "alarm"]
    made = {name for name, r in RESOURCES.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
    assert {alarm.rsplit("stack-", 1)[1] for alarm in alarms} == made
    named = {part for line in metrics() for part in line if isinstance(part, str)}
    assert {f"stack-{queue}" for queue in QUEUES} <= named
    assert {properties(f"{function}Function")["FunctionName"] for function in FUNCTIONS} <= named
    assert properties("ScheduleGroup")["Name"] in named


def test_cost_is_reckoned_with_the_prices_of_the_architecture() -> None:
    """The estimate follows MemorySize and Architecture, and the table that is in use."""
    [compute] = [e for e in expressions() if "1024" in e]
    assert "* 256 / 1024 * 0.0000133334" in compute
    assert any('TableName="payment3-credit-card-notify-dev"' in e for e in expressions())
    hidden = {line[-1]["id"] for line in metrics() if isinstance(line[-1], dict) and line[-1].get("visible") is False}
    used = set(re.findall(r"FILL\((\w+), 0\)", " ".join(expressions())))
    assert used == hidden


@pytest.mark.parametrize("name", QUERIES)
def test_saved_query_asks_for_what_the_logs_hold(told: list[dict[str, Any]], name: str) -> None:
    """Each field of a saved query is in some line, and each filter finds at least one."""
    fields = {field for line in told for field in line} | _OWN
    query = re.sub(r'"[^"]*"', "", QUERIES[name]["QueryString"])
    made = set(re.findall(r" as (\w+)", query))
    asked = set(re.findall(r"@?[A-Za-z]\w*", re.sub(r"\d\w*", "", query))) - _WORDS - made
    assert asked <= fields
    present = re.search(r"ispresent\((\w+)\)", query)
    assert present is None or any(present[1] in line for line in told)


def test_saved_queries_read_the_logs_of_the_functions_and_carry_the_branch() -> None:
    """One for each question of the runbook, in a folder of the branch's own."""
    groups = {properties(f"{function}LogGroup")["LogGroupName"] for function in FUNCTIONS}
    assert {group for query in QUERIES.values() for group in query["LogGroupNames"]} == groups
    assert all(query["Name"].startswith("payment3-follow-up-dev/") for query in QUERIES.values())
    assert len({query["Name"] for query in QUERIES.values()}) == len(QUERIES) >= 8


def _declared(line: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    declared = line.get("_aws", {}).get("CloudWatchMetrics", [])
    assert all(d["Namespace"] == NAMESPACE for d in declared)
    return [(d, n) for d in declared for n in d["Metrics"]]


def _searches(expression: str) -> list[tuple[str, str]]:
    return re.findall(r"\{([^}]+)\} MetricName=\"(\w+)\"", expression)


def _dimensions(given: str) -> list[str]:
    return given.split(",")[1:]


def _sorted(named: tuple[str, ...]) -> tuple[str, ...]:
    return (named[0], *sorted(named[1:]))


def _rows(widget: dict[str, Any]) -> range:
    return range(widget["y"], widget["y"] + widget["height"])
