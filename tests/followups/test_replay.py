"""`followups replay` runs the missing passes now, and leaves alone what is not missing."""

from datetime import timedelta
from typing import Any

import pytest

from callback.table import Item, format_utc
from followups.stack import Stack
from tests.followups.conftest import Followups
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, STACK, Deployed, arn, function_error
from tests.support.recorded_calls import Call, payload, refuse
from tests.support.template import source

RECHECK = arn("payment3-recheck-dev")
LATER, EARLIER = "2026-11-22T09:31:00.000000Z", "2026-11-22T09:30:00.000000Z"
NAMED = f"{ORDER}  {CHARGE} {NOTIFICATION}"


@pytest.fixture
def several(deployed: Deployed) -> Deployed:
    """Pass 1 of three failed for good, one each minute from 08:30:17 on; pass 2 of a fourth is overdue."""
    for number, minutes in enumerate((60, 59, 58), 1):
        deployed.put_failed(f"{number}", minutes, passesDone=0, attemptsBefore=0)
    deployed.put_waiting("4", 57)
    deployed.world.wire.calls.clear()
    return deployed


def passes(deployed: Deployed) -> list[int]:
    """How many passes of each notification are done."""
    rows = sorted(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["notificationId"]))
    return [int(row["passesDone"]) for row in rows]


def test_failed_notification_is_replayed(deployed: Deployed, followups: Followups) -> None:
    """Recheck runs the missing pass at once, with the input that a timer would send; the next pass gets its timer."""
    deployed.put_failed(NOTIFICATION, passesDone=0, attemptsBefore=0)
    due = format_utc(deployed.world.now)
    assert followups("replay", ORDER).out == f"{NAMED}  pass 1 was run: now PENDING, passes completed: 1\n"
    assert (deployed.world.record()["passesDone"], len(deployed.world.schedules())) == (1, 1)
    ids = {"version": 1, "chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    assert deployed.invoked("recheck-dev") == [ids | {"pass": 1, "dueAt": due}]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"nextPassDue": LATER}, f"left: pass 2 is due at {LATER}"),
        ({"nextPassDue": LATER, "attempts": 2}, f"left: pass 2 is due again at {LATER}"),
        ({"leaseUntil": LATER, "claimId": "c"}, f"left: pass 2 is claimed until {LATER}"),
        ({"leaseUntil": EARLIER, "claimId": "c"}, "pass 2 was run: now DONE, passes completed: 2"),
        ({"state": "DONE", "passesDone": 2}, "left: DONE, 2 passes are completed"),
        ({"state": "FAILED", "resolvedAt": EARLIER, "failedAt": EARLIER}, f"left: settled by hand at {EARLIER}"),
        (dict.fromkeys(("state", "passesDone", "sweepAt")), "left: a row of another function's, which has no passes"),
    ],
)
def test_what_is_not_missing_is_left(deployed: Deployed, followups: Followups, changes: Item, text: str) -> None:
    """No pass starts before it is due (again), or while it is claimed; `replay` says why."""
    deployed.put_waiting(NOTIFICATION, **changes)
    assert followups("replay", ORDER).out == f"{NAMED}  {text}\n"
    assert bool(deployed.invoked("recheck-dev")) == ("was run" in text)


def test_end_of_the_run_is_printed(deployed: Deployed, followups: Followups) -> None:
    """A failure is scrubbed, exit 1; a success may answer anything."""
    deployed.put_failed("1")
    error = function_error(ValueError("card 4111111111111111 refused"))
    answers = iter([payload(error, "Unhandled"), payload(b"\xff", "Unhandled"), payload("done")])
    deployed.functions[RECHECK] = lambda _call: next(answers)
    for text in ("ValueError: card [redacted] refused\n", "UnicodeDecodeError: "):
        assert f"pass 2 failed again: {text}" in followups("replay", ORDER, code=1).out
    assert "pass 2 was run" in followups("replay", ORDER).out


def test_each_notification_of_each_order_is_replayed(several: Deployed, followups: Followups) -> None:
    """Each has a line, oldest first, from every page of the index; one failure makes the exit code 1."""
    due = format_utc(several.world.now - timedelta(hours=1))
    several.put_waiting("5", 60, orderId="ORDER-2")
    several.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    several.world.wire.before["dynamodb.Query"] = lambda call: call.request.update(Limit=1)
    *lines, counted, advice = followups("replay", ORDER, "ORDER-2", "--yes", code=1).lines
    assert (counted, advice[:16]) == ("1 failed, 4 run.", "Remove the cause")
    assert [line.split()[2] for line in lines] == ["1", "2", "3", "4", "5"]
    assert ["failed again" in line for line in lines] == [True, False, False, False, False]
    assert passes(several) == [0, 1, 1, 2, 2]
    assert several.invoked("recheck-dev")[-1]["dueAt"] == due


def test_nothing_to_replay_is_printed(deployed: Deployed, followups: Followups) -> None:
    """Exit 0 for a state that nothing is in; an unknown order is exit 1, with the command that may find it."""
    for option in ("--yes", "--dry-run"):
        assert followups("replay", "--state", "failed", option).out == "Nothing to replay.\n"
    todo = "what is done is found by its whole order or charge id"
    unknown = f"ORDER-9  nothing was found under it in stack {STACK}; {todo}\n"
    advice = f"It may be in a queue:  followups dead-letters list --stack {STACK}\n"
    assert followups("replay", "ORDER-9", code=1).out == unknown + advice
    assert deployed.invoked("recheck-dev") == []


def test_many_are_only_planned_without_yes(several: Deployed, followups: Followups) -> None:
    """Exit 1, with a command for what was planned, whatever fails meanwhile; --json has an object for each."""
    choice = "replay --state failed --state overdue --since 3h --limit 2".split()
    planned = followups(*choice, code=1)
    *lines, counted, command = planned.lines
    assert [line.rpartition("  would be run: pass ")[2] for line in lines] == [*2 * ["1 is missing"], "2 is missing"]
    assert (counted, planned.err) == ("3 planned.", "One run does not take them all: run replay again.\n")
    bounds = "--since=2026-11-22T06:30:17.250000Z --until=2026-11-22T09:30:17.250000Z --limit=2"
    words = f"replay --yes --state=failed --state=overdue {bounds} --stack {STACK}"
    assert command == f"Nothing was changed. To do it:  followups {words}"
    assert followups(*choice, "--dry-run").lines[-2:] == [counted, command]
    assert several.invoked("recheck-dev") == []
    printed = followups(*words.split(), "--json")
    assert [one["result"] for one in printed.objects] == ["run"] * 3
    ids = {"version": 1, "chargeId": CHARGE, "notificationId": "3", "orderId": ORDER, "checksumStatus": "valid"}
    assert (ids | {"pass": 1}).items() <= printed.objects[0].items()
    assert printed.err.startswith("3 run.\n")
    assert passes(several) == [0, 1, 1, 2]


def test_what_moved_on_since_the_plan_is_left(several: Deployed, followups: Followups) -> None:
    """Each is read again before its turn: it may be done by now, or gone."""

    def move(_call: Call) -> None:
        several.world.wire.after.clear()  # all are planned
        several.put_failed("1", state="DONE", failedShard=None)
        key = {"chargeId": {"S": CHARGE}, "notificationId": {"S": "2"}}
        several.world.client("dynamodb").delete_item(TableName="payment3-credit-card-notify-dev", Key=key)

    several.world.wire.after["dynamodb.BatchGetItem"] = move
    printed = followups("replay", "--yes", ORDER).out
    assert all(f"left: {why}" in printed for why in ("DONE, 1 passes are completed", "it is in the table no longer"))
    assert len(several.invoked("recheck-dev")) == 2


@pytest.mark.parametrize("given", ["", "A --state failed", "A --since 3h", "--since 3h", "--state done", "A --rate 51"])
def test_what_to_replay_is_named_in_one_way(deployed: Deployed, followups: Followups, given: str) -> None:
    """Ids, or --state with its bounds, at most 50 a second; anything else is exit 2, and AWS is not called."""
    assert followups("replay", "--yes", *given.split(), code=2).err.startswith("Usage: ")
    assert deployed.world.wire.names() == []


@pytest.mark.usefixtures("deployed")
def test_invocation_is_sent_once_and_waits_for_the_longest_function() -> None:
    """A retry by botocore would run Recheck again; its default timeout of 60 s is shorter than Recheck may take."""
    config: Any = Stack().functions.meta.config
    limits = source()["Mappings"]["PassLimit"].values()
    assert config.retries["total_max_attempts"] == 1
    assert config.read_timeout > max(int(limit["FunctionTimeout"]) for limit in limits)


def test_ctrl_c_loses_nothing(several: Deployed, followups: Followups) -> None:
    """What was run is listed: exit 130. The same command goes on, and runs no pass twice."""

    def press(call: Call) -> None:
        if call.request["FunctionName"] == RECHECK and len(several.invoked(RECHECK)) == 3:
            raise KeyboardInterrupt

    several.world.wire.after["lambda.Invoke"] = press
    stopped = followups("replay", "--yes", ORDER, code=130)
    assert stopped.out.count("was run: now PENDING") == 2
    assert "What is not listed is unchanged or under way; the same command continues." in stopped.err
    several.world.wire.after.clear()
    followups("replay", "--yes", ORDER)
    assert passes(several) == [1, 1, 1, 2]
    assert len(several.invoked(PROCESS)) == 4
