"""The dashboard and the saved queries: what they name is what the functions log, or a metric of AWS's own."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from callback.log import NAMESPACE
from tests.support.aws import World, made, sample
from tests.support.recorded_calls import Call, listening, refuse
from tests.template.test_template import ALARMS, FUNCTIONS, QUEUES, RESOURCES, properties

WIDGETS: list[dict[str, Any]] = json.loads(properties("Dashboard")["DashboardBody"])["widgets"]
QUERIES = {n: r["Properties"] for n, r in RESOURCES.items() if r["Type"] == "AWS::Logs::QueryDefinition"}
# Words of the query language, and fields that CloudWatch adds.
_WORDS = set(
    re.findall(r"\w+", "fields filter sort stats limit by as desc and in count latest pct max bin ispresent or")
)
_OWN = {"@timestamp"}


def metrics() -> list[list[Any]]:
    """The lines of all plots."""
    return [line for w in WIDGETS if w["type"] == "metric" for line in w["properties"]["metrics"]]


def expressions() -> list[str]:
    """The calculated lines of all plots."""
    return [line[0]["expression"] for line in metrics() if isinstance(line[0], dict)]


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """The log lines of notifications that go well, that go wrong in every step, and that end badly."""
    with pytest.MonkeyPatch.context() as patch, made(listening(patch), patch) as world:
        for number, story in enumerate(
            (_goes_well, _steps_fail, _record_fails, _is_given_up, _mails_are_held, _unsaved)
        ):
            world.wait(number * 7200)
            story(world)
            world.wire.before.clear()
        return world.log()


def _event(name: str, number: int) -> dict[str, Any]:
    event = sample(name)
    event["requestContext"]["requestId"] = f"{name}-{number}"
    return event


def _goes_well(world: World) -> None:
    world.pay(amount=1, currency="THB")
    world.deliver()
    world.deliver(_event("missing-checksum", 1))
    world.wait(200)
    world.sweep()
    world.recheck()


def _steps_fail(world: World) -> None:
    def fail(call: Call) -> None:
        if call.operation == "GetItem" or "payment-record" in call.request["TableName"]:
            raise ClientError({"Error": {"Code": "InternalServerError"}}, call.operation)

    world.cold_start()
    world.wire.before |= {f"dynamodb.{operation}": fail for operation in ("GetItem", "UpdateItem")}
    world.wire.before["secretsmanager.GetSecretValue"] = refuse("InternalServiceError", times=9)
    world.wire.before["scheduler.CreateSchedule"] = refuse("InternalServerException")
    world.deliver(_event("authorized", 2))


def _record_fails(world: World) -> None:
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    world.wire.before["dynamodb.UpdateItem"] = refuse("InternalServerError", times=9)
    world.wire.before["ses.SendEmail"] = refuse("Throttling")
    with pytest.raises(Exception, match="could not be invoked"):
        world.deliver(_event("authorized", 3))


def _is_given_up(world: World) -> None:
    for number, name in enumerate(("authorized", "missing-checksum"), 4):
        world.deliver(_event(name, number))
    world.wait(73 * 3600)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=2)
    for number, name in enumerate(("authorized", "missing-checksum"), 4):
        charge = json.loads(sample(name)["body"])["id"]
        with pytest.raises(Exception, match="could not be invoked"):
            world.recheck(chargeId=charge, notificationId=f"{name}-{number}")


def _mails_are_held(world: World) -> None:
    for _ in range(5):
        with pytest.raises(Exception, match="JSON"):
            world.deliver({"body": "nonsense", "requestContext": {"requestId": str(world.now)}})
        world.wait(1)
    for number, name in enumerate(("authorized", "wrong-checksum"), 6):
        world.pay(chargeId=json.loads(sample(name)["body"])["id"], amount=1, currency="THB")
        world.deliver(_event(name, number))


def _unsaved(world: World) -> None:
    for number, name in enumerate(("authorized", "missing-checksum"), 8):
        world.wire.before["dynamodb.PutItem"] = refuse("InternalServerError")
        world.retry(_event(name, number))
    conflict = _event("authorized", 6)
    conflict["body"] += " "
    world.retry(conflict)


def test_every_metric_of_ours_is_in_such_lines(lines: list[dict[str, Any]]) -> None:
    """What is plotted or rings is counted under that very name, and what is counted is plotted or rings."""
    counted = {metric["Name"] for line in lines for declared in _declared(line) for metric in declared["Metrics"]}
    plotted = {line[1] for line in metrics() if line[0] == NAMESPACE}
    alarmed = {alarm["MetricName"] for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE}
    assert plotted | alarmed == counted


def test_every_value_is_of_this_branch(lines: list[dict[str, Any]]) -> None:
    """Branches share an account; and each further dimension would be paid for as a metric of its own."""
    assert {str(d["Dimensions"]) for line in lines for d in _declared(line)} == {"[['Branch']]"}
    assert {line["Branch"] for line in lines if "_aws" in line} == {"dev"}
    assert {tuple(line[2:4]) for line in metrics() if line[0] == NAMESPACE} == {("Branch", "dev")}


def test_values_are_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat saves nothing and runs nothing; lateness counts from when the pass was first due."""
    with made(listening(monkeypatch), monkeypatch) as world:
        world.deliver()
        world.deliver()
        world.wait(61 + 95)
        world.recheck()
        counts = ("Saved", "PassesCompleted", "PassesFailed", "ChecksumsValid", "RecheckLateness")
        totals = {name: sum(line[name] for line in world.metrics(name)) for name in counts}
    assert totals == {
        "Saved": 1,
        "PassesCompleted": 2,
        "PassesFailed": 0,
        "ChecksumsValid": 2,
        "RecheckLateness": 95,
    }


def _declared(line: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = line.get("_aws", {}).get("CloudWatchMetrics", [])
    assert all(declared["Namespace"] == NAMESPACE for declared in found)
    return found


def test_dashboard_answers_its_four_questions() -> None:
    """Is it working, what is late, what failed, what does it cost: a heading and plots for each, none over another."""
    text = " ".join(w["properties"]["markdown"] for w in WIDGETS if w["type"] == "text")
    for question in ("Is it working?", "What is late?", "What failed?", "What does it cost?"):
        assert f"## {question}" in text
    taken = [(x, y) for w in WIDGETS for x in range(w["x"], w["x"] + w["width"]) for y in _rows(w)]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23


def _rows(widget: dict[str, Any]) -> range:
    return range(widget["y"], widget["y"] + widget["height"])


def test_dashboard_shows_every_alarm_queue_and_function() -> None:
    """What the template makes and watches is on the one page."""
    [shown] = [w["properties"]["alarms"] for w in WIDGETS if w["type"] == "alarm"]
    assert sorted(alarm.rsplit("stack-", 1)[1] for alarm in shown) == sorted(ALARMS)
    named = {part for line in metrics() for part in line if isinstance(part, str)}
    assert {f"stack-{queue}" for queue in QUEUES} <= named
    assert {properties(f"{function}Function")["FunctionName"] for function in FUNCTIONS} <= named
    assert properties("ScheduleGroup")["Name"] in named


def test_cost_is_calculated_with_the_prices_of_the_architecture() -> None:
    """The estimate follows MemorySize, the sweep's own size, Architecture, and the table that is in use."""
    [compute] = [e for e in expressions() if "1024" in e]
    assert compute.endswith("* 256 + FILL(d3, 0) * 1769) / 1024000 * 0.0000133334")
    assert any('TableName="payment3-credit-card-notify-dev"' in e for e in expressions())
    hidden = {line[-1]["id"] for line in metrics() if isinstance(line[-1], dict) and line[-1].get("visible") is False}
    assert set(re.findall(r"FILL\((\w+), 0\)", " ".join(expressions()))) == hidden


@pytest.mark.parametrize("name", QUERIES)
def test_saved_query_asks_for_what_the_logs_hold(lines: list[dict[str, Any]], name: str) -> None:
    """Each field of a saved query is in some line, and each filter finds at least one."""
    query = re.sub(r'"[^"]*"|\.\d', "", QUERIES[name]["QueryString"])
    aliases = set(re.findall(r" as (\w+)", query))
    asked = set(re.findall(r"@?[A-Za-z]\w*", re.sub(r"\d\w*", "", query))) - _WORDS - aliases
    assert asked <= {field for line in lines for field in line} | _OWN
    present = re.findall(r"ispresent\((\w+)\)", query)
    assert not present or any(set(present) & set(line) for line in lines)
    level = re.search(r'level = "(\w+)"', QUERIES[name]["QueryString"])
    assert level is None or any(line["level"] == level[1] for line in lines)


def test_saved_queries_read_the_logs_of_the_functions_and_carry_the_branch() -> None:
    """In a folder of the branch's own."""
    groups = {properties(f"{function}LogGroup")["LogGroupName"] for function in FUNCTIONS}
    assert {group for query in QUERIES.values() for group in query["LogGroupNames"]} == groups
    assert all(query["Name"].startswith("payment3-follow-up-dev/") for query in QUERIES.values())
    assert len({query["Name"] for query in QUERIES.values()}) == len(QUERIES)
