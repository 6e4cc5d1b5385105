"""Who may do what: the template's policies against the calls that the functions really make, as IAM would judge."""

import re
from collections import defaultdict
from datetime import timedelta
from itertools import product

import pytest

from tests.functions.test_fault_scenarios import SITES
from tests.support import iam
from tests.support.aws import worlds
from tests.support.failure_table import SCENARIOS, Point, Scenario, Story
from tests.support.lambda_model import read_rules
from tests.support.recorded_calls import Call
from tests.support.template import arn
from tests.template.test_template import RESOURCES, of_type, properties, statements

ROLES = {arn(name): name for name in of_type("AWS::IAM::Role")}
ROLE_OF = {name: ROLES[function["Role"]] for name, function in of_type("AWS::Lambda::Function").items()}
STATEMENTS = [(role, s["Sid"]) for role in ROLES.values() for s in statements(role)]
# The only story in which Retry itself reports.
OUTLASTS_RETRIES = Scenario(
    settings={"GIVE_UP_AFTER_HOURS": "1"},
    down={"CreditCardNotifyTable": "server error"},
    until=timedelta(minutes=65),
    ends="failure queue",
)
Needs = dict[str, set[iam.Need]]


def denied(policy: list[iam.Statement], asked: set[iam.Need]) -> set[iam.Need]:
    """What was asked and a policy does not allow."""
    return {need for need in asked if not iam.allowed(policy, need)}


@pytest.fixture(scope="module")
def recorded() -> list[tuple[Point, Call]]:
    """The calls of stories: all goes well, passes fail, nothing is saved, no timer fires, one is given up."""
    stories = [*product(SCENARIOS.values(), ((True, "once"), (False, "never"))), (OUTLASTS_RETRIES, (True, "once"))]
    calls: list[tuple[Point, Call]] = []
    with worlds() as world:
        for scenario, crossing in stories:
            calls += zip(Story(world, scenario, crossing).play().points, world.wire.calls, strict=True)
    return calls


@pytest.fixture(scope="module")
def needed(recorded: list[tuple[Point, Call]]) -> Needs:
    """What IAM was asked, by role."""
    asked: Needs = defaultdict(set)
    for (function, *_), call in recorded:
        asked[ROLE_OF[f"{function}Function"]].update(iam.needs(call))
        if call.name == "scheduler.CreateSchedule":
            asked[ROLES[call.request["Target"]["RoleArn"]]].update(iam.needs_of_scheduler(call.request))
    mappings = of_type("AWS::Lambda::EventSourceMapping").values()
    sources = {about["FunctionName"]: about["EventSourceArn"] for about in mappings}
    for name, rule in read_rules(RESOURCES).functions.items():
        about, on_failure = properties(f"{name}Function"), rule.on_failure and arn(rule.on_failure)
        needs = iam.needs_of_lambda(about, on_failure, sources.get(about["FunctionName"]))
        asked[ROLE_OF[f"{name}Function"]].update(needs)
    return asked


# --- the roles: what is needed, and nothing else ---


def test_stories_make_every_call_there_is(recorded: list[tuple[Point, Call]]) -> None:
    """A call that no story here makes would need a permission that nobody checks."""
    assert {point[:2] for point, _ in recorded} >= set(SITES)


@pytest.mark.parametrize("role", ROLES.values())
def test_role_allows_every_call_that_is_made_with_it(needed: Needs, role: str) -> None:
    """The role of the function that makes a call allows it, on exactly the resource that it is about."""
    assert needed[role]
    assert denied(statements(role), needed[role]) == set()


@pytest.mark.parametrize(("role", "sid"), STATEMENTS)
def test_each_statement_is_needed_and_allows_one_action(needed: Needs, role: str, sid: str) -> None:
    """Without it some call is denied. It has a wildcard only where AWS itself adds characters to a resource's name."""
    assert denied([s for s in statements(role) if s["Sid"] != sid], needed[role])
    [statement] = [s for s in statements(role) if s["Sid"] == sid]
    assert re.fullmatch("[a-z0-9]+:[A-Za-z]+", statement["Action"])
    loose = re.sub(r"(:log-group:[^*]+:\*|/recheck-\*|:configuration-set/\*|-\?{6})$", "", statement["Resource"])
    assert not set(loose) & set("*?")


@pytest.mark.parametrize("role", [role for role in ROLES.values() if role != "SchedulerRole"])
def test_call_with_another_context_is_denied(needed: Needs, role: str) -> None:
    """No mail as another sender, no role passed to another service, and neither without saying which."""
    guarded = [need for need in needed[role] if need.context]
    others = [need._replace(context=((key, "another"),)) for need in guarded for key, _ in need.context]
    unsaid = [need._replace(context=()) for need in guarded]
    assert guarded
    assert [need for need in others + unsaid if iam.allowed(statements(role), need)] == []


def test_nothing_else_grants_anything() -> None:
    """Permissions are in the roles, in the template's policies that roles name, and in the sweep's rule."""
    assert len(set(STATEMENTS)) == len(STATEMENTS)  # IAM refuses two statements of one Sid, and the tests go by it
    granting = {r["Type"] for r in RESOURCES.values() if re.search("IAM|Polic|Permission", r["Type"])}
    policies = of_type("AWS::IAM::ManagedPolicy")
    others = {"AWS::Lambda::Permission", "AWS::SQS::QueuePolicy"}  # the latter denies
    assert granting - {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"} == others
    attached = {policy for role in ROLES.values() for policy in properties(role).get("ManagedPolicyArns", [])}
    assert attached == {arn(name) for name in policies}
    assert all(set(about) == {"Description", "PolicyDocument"} for about in policies.values())


# --- who may assume a role ---


@pytest.mark.parametrize("role", ROLES.values())
def test_only_its_own_service_assumes_a_role(role: str) -> None:
    """Lambda acts as the functions and Scheduler as the timers; no account, no user, no other service as anyone."""
    service = "lambda.amazonaws.com" if role in ROLE_OF.values() else iam.SCHEDULER
    [trust] = properties(role)["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Action"]) == ({"Service": service}, "sts:AssumeRole")
    assert service == iam.SCHEDULER or iam.trusted([trust], service, {})
    assert len(set(ROLE_OF.values())) == len(ROLE_OF)  # what one function may do is no other's


def test_scheduler_assumes_its_role_for_its_group_alone(recorded: list[tuple[Point, Call]]) -> None:
    """Scheduler gets nothing for another group or account, or if it names neither."""
    timers = [call.request for _, call in recorded if call.name == "scheduler.CreateSchedule"]
    assert timers
    for timer in timers:
        ours = iam.assuming_for(timer)
        trust = properties(ROLES[timer["Target"]["RoleArn"]])["AssumeRolePolicyDocument"]["Statement"]
        assert iam.trusted(trust, iam.SCHEDULER, ours)
        for key, value in ours.items():
            assert not iam.trusted(trust, iam.SCHEDULER, ours | {key: f"{value}x"})
            assert not iam.trusted(trust, iam.SCHEDULER, {other: v for other, v in ours.items() if other != key})
        assert not iam.trusted(trust, iam.SCHEDULER, iam.assuming_for({"GroupName": "default"}))


# --- who may invoke a function ---


def test_only_the_rule_invokes_and_only_the_sweep() -> None:
    """The one permission on a function is EventBridge's, on the sweep, for the one rule that has it as its target."""
    [rule], [permission] = of_type("AWS::Events::Rule"), of_type("AWS::Lambda::Permission")
    assert properties(permission) == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": properties("SweepFunction")["FunctionName"],
        "Principal": "events.amazonaws.com",
        "SourceArn": arn(rule),
    }
    assert [target["Arn"] for target in properties(rule)["Targets"]] == [arn("SweepFunction")]
