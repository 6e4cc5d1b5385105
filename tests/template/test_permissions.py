"""Who may do what: the template's policies against the calls that the functions really make, as IAM would judge."""

import re
from collections import defaultdict
from datetime import timedelta

import pytest

from local.emulator import ACCOUNT, REGION
from tests.functions.test_fault_scenarios import SITES
from tests.support.aws import PARAMETERS, worlds
from tests.support.fault_scenarios import SCENARIOS, Point, Scenario, Story
from tests.support.iam import (
    SCHEDULER,
    SUFFIX,
    Need,
    Statement,
    allowed,
    assuming_for,
    needs,
    needs_of_lambda,
    needs_of_scheduler,
    trusted,
)
from tests.support.lambda_model import read_rules
from tests.support.recorded_calls import Call
from tests.support.template import arn
from tests.template.test_template import ALARMS, RESOURCES, properties, statements


def of_type(kind: str) -> list[str]:
    """The names of all resources of a type."""
    return [name for name, resource in RESOURCES.items() if resource["Type"] == kind]


def arn_of(name: str) -> str:
    """The ARN of a resource."""
    return arn(name, **PARAMETERS)


FUNCTIONS = of_type("AWS::Lambda::Function")
ROLES = {arn_of(name): name for name in of_type("AWS::IAM::Role")}
ROLE_OF = {function: ROLES[properties(function)["Role"]] for function in FUNCTIONS}
STATEMENTS = [(role, s["Sid"]) for role in ROLES.values() for s in statements(role)]
# Only there does Retry itself report.
OUTLASTS_RETRIES = Scenario(
    settings={"GIVE_UP_AFTER_HOURS": "1"},
    down={"CreditCardNotifyTable": "server error"},
    until=timedelta(minutes=65),
    ends="failure queue",
)
Needs = dict[str, set[Need]]


def denied(policy: list[Statement], asked: set[Need]) -> set[Need]:
    """The needs that a policy does not meet."""
    return {need for need in asked if not allowed(policy, need)}


@pytest.fixture(scope="module")
def heard() -> list[tuple[Point, Call]]:
    """Every call of stories in which all goes well, passes fail, nothing is saved, no timer fires, one is given up."""
    stories = [
        (scenario, crossing) for scenario in SCENARIOS.values() for crossing in ((True, "once"), (False, "never"))
    ]
    calls: list[tuple[Point, Call]] = []
    with worlds() as world:
        for scenario, crossing in (*stories, (OUTLASTS_RETRIES, (True, "once"))):
            calls += zip(Story(world, scenario, crossing).play().points, world.wire.calls, strict=True)
    return calls


@pytest.fixture(scope="module")
def needed(heard: list[tuple[Point, Call]]) -> Needs:
    """By role, what was asked of IAM in its name."""
    asked: Needs = defaultdict(set)
    for (function, *_), call in heard:
        asked[ROLE_OF[f"{function}Function"]].update(needs(call))
        if call.name == "scheduler.CreateSchedule":
            asked[ROLES[call.request["Target"]["RoleArn"]]].update(needs_of_scheduler(call.request))
    rules = read_rules(RESOURCES)
    for name, rule in rules.functions.items():
        source = next((queue for queue, about in rules.queues.items() if about.consumer == name), None)
        queues = (rule.on_failure and arn_of(rule.on_failure), source and arn_of(source))
        asked[ROLE_OF[f"{name}Function"]].update(needs_of_lambda(properties(f"{name}Function"), *queues))
    return asked


# --- the roles: what is needed, and nothing else ---


def test_stories_make_every_call_there_is(heard: list[tuple[Point, Call]]) -> None:
    """A call that no story here makes would need a permission that nobody checks."""
    assert {point[:2] for point, _ in heard} >= set(SITES)


@pytest.mark.parametrize("role", ROLES.values())
def test_role_allows_every_call_that_is_made_in_its_name(needed: Needs, role: str) -> None:
    """Each call is allowed by the role of the very function that makes it, on its very resource."""
    assert needed[role]
    assert denied(statements(role), needed[role]) == set()


@pytest.mark.parametrize(("role", "sid"), STATEMENTS)
def test_no_statement_is_without_its_use(needed: Needs, role: str, sid: str) -> None:
    """Without any one statement some call is denied: the sweep runs no pass, Recheck reads no secret.

    And none says what another says too. That each names one action and one resource is in test_template.py.
    """
    assert denied([s for s in statements(role) if s["Sid"] != sid], needed[role])


@pytest.mark.parametrize("role", [role for role in ROLES.values() if role != "SchedulerRole"])
def test_call_with_another_context_is_denied(needed: Needs, role: str) -> None:
    """No mail as another sender, no role passed to another service: neither named, nor left unsaid."""
    guarded = [need for need in needed[role] if need.context]
    others = [need._replace(context=((key, "another"),)) for need in guarded for key, _ in need.context]
    unsaid = [need._replace(context=()) for need in guarded]
    assert guarded
    assert [need for need in others + unsaid if allowed(statements(role), need)] == []


@pytest.mark.parametrize(
    ("here", "there"),
    [
        *((ACCOUNT, "210987654321"), (REGION, "us-east-1"), ("-dev", "-prod"), ("/recheck-", "/another-")),
        *(("/index/due", "/index/order"), (f"-{SUFFIX}", f"-another-{SUFFIX}")),
    ],
)
def test_no_role_reaches_next_door(needed: Needs, here: str, there: str) -> None:
    """The same call in another account, region or branch, or on a resource of a similar name, is denied."""
    for role, asked in needed.items():
        elsewhere = {n._replace(resource=n.resource.replace(here, there)) for n in asked if here in n.resource}
        assert denied(statements(role), elsewhere) == elsewhere
    assert any(here in need.resource for asked in needed.values() for need in asked)


def test_nothing_else_grants_anything() -> None:
    """Permissions are in the roles, in the template's policies that roles name, and in the sweep's rule."""
    assert len(set(STATEMENTS)) == len(STATEMENTS)  # IAM refuses two statements of one Sid, and the tests go by it
    granting = {r["Type"] for r in RESOURCES.values() if re.search("IAM|Polic|Permission", r["Type"])}
    policies = {arn_of(name) for name in of_type("AWS::IAM::ManagedPolicy")}
    others = {"AWS::Lambda::Permission", "AWS::SQS::QueuePolicy"}  # the latter denies
    assert granting - {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"} == others
    assert {arn for role in ROLES.values() for arn in properties(role).get("ManagedPolicyArns", [])} == policies
    keys = {key for name in of_type("AWS::IAM::ManagedPolicy") for key in properties(name)}
    assert keys == {"Description", "PolicyDocument"}


# --- who may act in a role's name ---


@pytest.mark.parametrize("role", ROLES.values())
def test_only_its_own_service_assumes_a_role(role: str) -> None:
    """Lambda acts as the functions and Scheduler as the timers; no account, no user, no other service as anyone."""
    service = "lambda.amazonaws.com" if role in ROLE_OF.values() else SCHEDULER
    [trust] = _trust(role)
    assert (trust["Principal"], trust["Action"]) == ({"Service": service}, "sts:AssumeRole")
    assert service == SCHEDULER or trusted([trust], service, {})
    assert len(set(ROLE_OF.values())) == len(FUNCTIONS)  # what one function may do is no other's


def test_scheduler_assumes_its_role_for_its_group_alone(heard: list[tuple[Point, Call]]) -> None:
    """Another group, another account, or a Scheduler that says nothing of either gets nothing."""
    timers = [call.request for _, call in heard if call.name == "scheduler.CreateSchedule"]
    assert timers
    for timer in timers:
        ours, trust = assuming_for(timer), _trust(ROLES[timer["Target"]["RoleArn"]])
        assert trusted(trust, SCHEDULER, ours)
        for key, value in ours.items():
            assert not trusted(trust, SCHEDULER, ours | {key: f"{value}x"})
            assert not trusted(trust, SCHEDULER, {other: v for other, v in ours.items() if other != key})
        another = assuming_for({"GroupName": "default"})
        assert not trusted(trust, SCHEDULER, another)


def _trust(role: str) -> list[Statement]:
    found: list[Statement] = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    return found


# --- what the code names is what the template makes ---


def test_only_the_rule_invokes_and_only_the_sweep() -> None:
    """The one permission on a function is EventBridge's, on the sweep, for the one rule that has it as its target."""
    [rule], [permission] = of_type("AWS::Events::Rule"), of_type("AWS::Lambda::Permission")
    assert properties(permission) == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": properties("SweepFunction")["FunctionName"],
        "Principal": "events.amazonaws.com",
        "SourceArn": arn_of(rule),
    }
    assert [target["Arn"] for target in properties(rule)["Targets"]] == [arn_of("SweepFunction")]


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_queue_is_watched(queue: str) -> None:
    """An alarm rings for each queue; which metric it reads is in test_template.py."""
    watched = [alarm["Dimensions"] for alarm in ALARMS.values()]
    assert [{"Name": "QueueName", "Value": f"stack-{queue}"}] in watched
