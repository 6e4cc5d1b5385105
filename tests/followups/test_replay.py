"""Replay: an order's missing passes are run now, and what is not missing is left alone."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest

from callback.clock import format_utc
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.dead_letter_events import function_error
from tests.support.deployed import PROCESS, Deployed, arn, notification, unstyled
from tests.support.recorded_calls import Answer, Call, Interrupt, interrupting, payload, refuse

NAMED = f"chargeId={CHARGE} notificationId={NOTIFICATION} orderId={ORDER}"
Print = pytest.CaptureFixture[str]


@pytest.fixture
def failed(deployed: Deployed) -> Deployed:
    """A notification whose pass 1 failed until it was given up."""
    fail_for_good(deployed, 1)
    return deployed


def fail_for_good(deployed: Deployed, *numbers: int) -> None:
    """Pass 1 of these notifications fails twice, the second time an hour later, when it is given up."""
    deployed.world.cold_start(GIVE_UP_AFTER_HOURS="1")
    works = deployed.process_fails()
    for number in numbers:
        with pytest.raises(Exception, match="ProcessPaidOrder failed"):
            deployed.world.deliver(notification(number))
        deployed.world.wait(60)
    deployed.world.wait(3600 - 60 * len(numbers))
    for number in numbers:
        with pytest.raises(Exception, match="ProcessPaidOrder failed"):
            deployed.world.recheck(1, notificationId=notification(number)["requestContext"]["requestId"])
        deployed.world.wait(60)
    assert {row["state"] for row in deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")} == {"FAILED"}
    deployed.functions[PROCESS] = works
    deployed.world.wire.calls.clear()


def test_failed_notification_is_replayed(failed: Deployed, capsys: Print) -> None:
    """FAILED: Recheck runs the pass, synchronously and by its own input, and the follow-up goes on from there."""
    assert failed.run("replay", ORDER) == 0
    assert failed.world.record()["passesDone"] == 1
    assert len(failed.world.schedules()) == 1
    ids = {"version": 1, "chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    due = format_utc(failed.world.now - failed.world.took)
    assert failed.invoked("recheck-dev") == [ids | {"pass": 1, "dueAt": due}]
    assert capsys.readouterr().out == f"{NAMED}  pass 1 was run: now PENDING, passes completed: 1\n"


def test_overdue_pass_whose_timer_was_lost_is_run(deployed: Deployed, capsys: Print) -> None:
    """PENDING and due, and nobody is at it: the second pass is run and the notification DONE."""
    deployed.world.deliver()
    due = deployed.world.record()["nextPassDue"]
    deployed.world.fire()
    deployed.world.wait(3600)
    assert deployed.run("replay", ORDER) == 0
    assert deployed.world.record()["state"] == "DONE"
    [sent] = deployed.invoked("recheck-dev")
    assert (sent["pass"], sent["dueAt"]) == (2, due)
    assert capsys.readouterr().out == f"{NAMED}  pass 2 was run: now DONE, passes completed: 2\n"


def test_pass_that_is_not_due_is_left_to_its_time(deployed: Deployed, capsys: Print) -> None:
    """No pass sooner than 60 s after the one before, nor than its next try: replay says when."""
    deployed.world.deliver()
    assert deployed.run("replay", ORDER) == 0
    due = deployed.world.record()["nextPassDue"]
    assert capsys.readouterr().out == f"{NAMED}  left: pass 2 is due at {due}\n"
    deployed.world.wait(61)
    deployed.process_fails()
    with pytest.raises(Exception, match="ProcessPaidOrder failed"):
        deployed.world.recheck()
    assert deployed.run("replay", ORDER) == 0
    due = deployed.world.record()["nextPassDue"]
    assert capsys.readouterr().out == f"{NAMED}  left: pass 2 is due again at {due}\n"
    assert deployed.invoked("recheck-dev") == []


def test_done_notification_is_left(deployed: Deployed, capsys: Print) -> None:
    """DONE: said, and nothing is invoked."""
    deployed.world.deliver()
    deployed.world.wait(61)
    deployed.world.recheck()
    assert deployed.run("replay", ORDER) == 0
    assert deployed.invoked("recheck-dev") == []
    assert capsys.readouterr().out == f"{NAMED}  left: DONE, 2 passes are completed\n"


def test_pass_that_somebody_is_at_is_left(deployed: Deployed, capsys: Print) -> None:
    """A live claim keeps replay out; one that ran out does not."""

    def die(_call: Call) -> None:
        raise KeyboardInterrupt

    deployed.world.wire.before["scheduler.CreateSchedule"] = deployed.world.wire.before["lambda.Invoke"] = die
    with pytest.raises(KeyboardInterrupt):
        deployed.world.deliver()
    deployed.world.wire.before.pop("lambda.Invoke")
    deployed.world.wire.before.pop("scheduler.CreateSchedule")
    assert deployed.run("replay", ORDER) == 0
    assert capsys.readouterr().out.startswith(f"{NAMED}  left: pass 1 is claimed until 2026-11-22T09:31:47.250000Z")
    deployed.world.wait(90)
    assert deployed.run("replay", ORDER) == 0
    assert deployed.world.record()["passesDone"] == 1


def test_recheck_that_fails_again_is_said(failed: Deployed, capsys: Print) -> None:
    """The error is printed without what is secret in it, and the exit code is 1."""
    error = function_error(ValueError("card 4111111111111111 refused"))
    failed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(error, error="Unhandled")
    assert failed.run("replay", ORDER) == 1
    assert capsys.readouterr().out == f"{NAMED}  pass 1 failed again: ValueError: card [redacted] refused\n"
    failed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(b"\xff", error="Unhandled")
    assert failed.run("replay", ORDER) == 1
    assert "pass 1 failed again: an error: without a text" in capsys.readouterr().out


def test_each_notification_of_each_order_is_looked_at(deployed: Deployed, capsys: Print) -> None:
    """Several deliveries of one order, several orders: one line each, oldest first, and one failure makes it 1."""
    for number in (1, 2, 3):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    other = notification(4)
    other["body"] = other["body"].replace(ORDER, "ORDER-2")
    deployed.world.deliver(other)
    deployed.world.wait(61)
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    assert deployed.run("replay", ORDER, "ORDER-2", "--yes") == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary.startswith("Notifications: 4, run: 3, left alone: 0, failed again: 1.")
    assert [line.split()[1].rpartition("=")[2].removeprefix(NOTIFICATION) for line in lines] == ["", "-2", "-3", "-4"]
    assert ["failed again" in line for line in lines] == [True, False, False, False]
    states = {r["notificationId"]: r["state"] for r in deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    assert sorted(states.values()) == ["DONE", "DONE", "DONE", "PENDING"]


def test_order_with_more_notifications_than_one_page_holds(deployed: Deployed, capsys: Print) -> None:
    """The index answers in pages; replay reads them all."""
    deployed.world.deliver()
    table, record = deployed.world.table("CREDIT_CARD_NOTIFY_TABLE"), deployed.world.record()
    for number in range(2, 6):
        table.put_item(Item=record | {"notificationId": f"{NOTIFICATION}-{number}"})
    deployed.world.wire.before["dynamodb.Query"] = lambda call: call.request.update(Limit=2)
    assert deployed.run("replay", ORDER) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert (len(lines), summary) == (5, "Notifications: 5, run: 0, left alone: 5, failed again: 0.")
    assert len(deployed.world.wire.of("dynamodb.Query")) == 3 + 1


def test_record_that_left_the_table_meanwhile_is_passed_over(deployed: Deployed, capsys: Print) -> None:
    """The index is a moment behind: what it still names may be gone."""
    deployed.world.deliver()
    deployed.world.wire.answers["dynamodb.BatchGetItem"] = lambda _call: {"Responses": {}, "UnprocessedKeys": {}}
    assert deployed.run("replay", ORDER) == 1
    assert "no notification was saved" in capsys.readouterr().out


def test_row_of_another_function_is_left_alone(deployed: Deployed, capsys: Print) -> None:
    """A table shared with Notify holds rows without passes: nothing is run for them, and ours are."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(61)
    for row in ({"orderId": ORDER}, {}):
        item = {"chargeId": CHARGE, "notificationId": f"notify-{len(row)}", "note": "notify"} | row
        deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=item)
    assert deployed.run("replay", ORDER) == 0
    said = capsys.readouterr().out
    assert "left: a row of another function's, which has no passes" in said
    assert "pass 2 was run: now DONE" in said


def test_record_that_another_hand_has_spoilt_is_left_alone(deployed: Deployed, capsys: Print) -> None:
    """No traceback, and no pass by guess: a person must mend it."""
    deployed.put_waiting("n", leaseUntil=5)
    assert deployed.run("replay", ORDER) == 1
    text = "the record is not what `save` writes, correct it by hand: leaseUntil: expected a UTC time"
    assert text in capsys.readouterr().out
    assert deployed.invoked("recheck-dev") == []


def test_state_that_nothing_is_in_is_said(deployed: Deployed, capsys: Print) -> None:
    """Silence would leave open whether anything was looked for."""
    assert deployed.run("replay", "--state", "failed", "--yes") == 0
    assert "nothing to replay" in capsys.readouterr().out


def test_more_than_are_looked_at_is_said(several: Deployed, capsys: Print) -> None:
    """Nobody thinks that all was replayed where it was not."""
    assert several.run("replay", "--state", "failed", "--limit", "2", "--yes") == 0
    assert capsys.readouterr().err == "There are more than one run reads: run replay again.\n"


def test_order_without_a_notification_is_said(deployed: Deployed, capsys: Print) -> None:
    """A wrong order id, or a notification that never was saved: exit 1, and where to look next."""
    assert deployed.run("replay", "ORDER-9") == 1
    said = "orderId=ORDER-9  no notification was saved in stack payment3-follow-up-dev."
    assert capsys.readouterr().out == f"{said}  Try: followups dead-letters list --stack payment3-follow-up-dev\n"


def test_table_that_cannot_be_read_is_said(deployed: Deployed, capsys: Print) -> None:
    """What the caller may not do: exit 2, AWS's own words, and where to look."""
    deployed.world.wire.before["dynamodb.Query"] = refuse("AccessDeniedException")
    assert deployed.run("replay", ORDER) == 2
    assert (
        "Ask for what the command's --help names: docs/operations.md, What operators may do." in capsys.readouterr().err
    )


def test_answer_that_is_no_object_is_no_failure(failed: Deployed, capsys: Print) -> None:
    """Recheck's success is that it did not fail, whatever a later version answers."""
    failed.functions[arn("payment3-recheck-dev")] = lambda _call: payload(json.dumps("done").encode())
    assert failed.run("replay", ORDER) == 0
    assert "was run" in capsys.readouterr().out


@pytest.fixture
def several(deployed: Deployed) -> Deployed:
    """Three notifications that failed, a minute apart from 10:30:17 on, and a fourth that is overdue."""
    fail_for_good(deployed, 1, 2, 3)
    deployed.world.deliver(notification(4))
    deployed.world.fire()
    deployed.world.wait(3600)
    deployed.world.wire.calls.clear()
    return deployed


def passes(deployed: Deployed) -> list[int]:
    """How many passes of each are done."""
    rows = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    return [int(row["passesDone"]) for row in sorted(rows, key=lambda row: str(row["notificationId"]))]


def test_many_are_only_planned_without_yes(several: Deployed, capsys: Print) -> None:
    """Nothing is run, what would be is said, with the command that does it; a pass is missing still: exit 1."""
    assert several.run("replay", ORDER) == 1
    *lines, counted, command = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAMED}  would be run: pass 1 is missing"
    assert lines[3].endswith("would be run: pass 2 is missing")
    assert counted == "Notifications: 4, passes to run: 4. Nothing was run."
    assert command == f"To run them:  followups replay --yes --stack payment3-follow-up-dev -- {ORDER}"
    assert several.invoked("recheck-dev") == []


def test_dry_run_is_a_success(several: Deployed, capsys: Print) -> None:
    """Who asks only what would be done is answered: exit 0; also where nothing would be."""
    assert several.run("replay", "--dry-run", ORDER) == 0
    assert several.run("replay", "--dry-run", "--state", "failed", "--until", "3d") == 0
    assert several.invoked("recheck-dev") == []
    assert capsys.readouterr().out.endswith("Notifications: 0, passes to run: 0. Nothing was run.\n")


@pytest.mark.parametrize(
    ("options", "done"),
    [
        (["--state", "failed"], [1, 1, 1, 1]),
        (["--state", "overdue"], [0, 0, 0, 2]),
        (["--state", "failed", "--state", "overdue"], [1, 1, 1, 2]),
        (["--state", "failed", "--since", "2026-11-22T10:31"], [0, 1, 1, 1]),
        (["--state", "failed", "--until", "2026-11-22T10:31"], [1, 0, 0, 1]),
        (["--state", "failed", "--limit", "1"], [0, 0, 1, 1]),
    ],
)
def test_state_and_times_choose(several: Deployed, capsys: Print, options: list[str], done: list[int]) -> None:
    """What failed or is overdue, in a time: as `list` shows it, so it is run; and the exit code is 0."""
    assert several.run("replay", "--yes", *options) == 0
    assert passes(several) == done
    assert "failed again" not in capsys.readouterr().out.replace("failed again: 0", "")


def test_printed_command_means_the_same_ones(several: Deployed, capsys: Print) -> None:
    """What fails after the look is not replayed unseen: the bounds are those of the look."""
    assert several.run("replay", "--state", "failed", "--since", "3h", "--limit", "2") == 1
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("To run them:  followups ")
    bounds = "--since=2026-11-22T08:33:17.550000Z --until=2026-11-22T11:33:17.550000Z --limit=2"
    assert command == f"replay --yes --state=failed {bounds} --stack payment3-follow-up-dev"
    assert several.run(*command.split()) == 0
    assert passes(several) == [0, 1, 1, 1]


def test_second_replay_runs_nothing(several: Deployed, capsys: Print) -> None:
    """Safe to run twice: the record knows, and what is due later is left."""
    assert several.run("replay", "--yes", ORDER) == 0
    before = passes(several)
    capsys.readouterr()
    assert several.run("replay", "--yes", ORDER) == 0
    assert passes(several) == before == [1, 1, 1, 2]
    summary = "Notifications: 4, run: 0, left alone: 4, failed again: 0."
    assert capsys.readouterr().out.splitlines()[-1] == summary


def test_what_moved_on_since_it_was_seen_is_left(several: Deployed, capsys: Print) -> None:
    """It is read again before its turn: who was quicker has done it, or it is there no longer."""
    table = several.world.table("CREDIT_CARD_NOTIFY_TABLE")

    reads = []

    def quicker(call: Call) -> None:
        reads.append(call)
        if len(reads) == 1:  # all are planned
            with several.world.wire.aside():
                table.delete_item(Key={"chargeId": CHARGE, "notificationId": f"{NOTIFICATION}-2"})
                table.update_item(
                    Key={"chargeId": CHARGE, "notificationId": NOTIFICATION},
                    UpdateExpression="SET #s = :done",
                    ExpressionAttributeNames={"#s": "state"},
                    ExpressionAttributeValues={":done": "DONE"},
                )

    several.world.wire.after["dynamodb.BatchGetItem"] = quicker
    assert several.run("replay", "--yes", ORDER) == 0
    said = capsys.readouterr().out
    assert "left: DONE, 0 passes are completed" in said
    assert "left: it is in the table no longer" in said
    assert len(several.invoked("recheck-dev")) == 2


def test_rate_bounds_how_many_begin_in_a_second(several: Deployed) -> None:
    """Two a second: they begin half a second apart at least, and what is left alone takes none of it."""
    several.world.took = timedelta(0)
    began = []

    def begin(_call: Call) -> Answer:
        began.append(several.world.now)
        return payload({})

    several.functions[arn("payment3-recheck-dev")] = begin
    several.run("replay", "--yes", "--rate", "2", ORDER)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(began)]
    assert gaps == [0.5, 0.5, 0.5]


def test_slow_passes_are_not_held_up(several: Deployed) -> None:
    """Whoever takes longer than the rate allows anyway need not wait."""
    several.world.took = timedelta(seconds=2)
    began = several.world.now
    several.run("replay", "--yes", ORDER)
    assert (several.world.now - began).total_seconds() == 8


@pytest.mark.parametrize("rate", ["0", "-1", "51", "fast"])
def test_rate_is_bounded(deployed: Deployed, capsys: Print, rate: str) -> None:
    """No more than 50 a second, and some: exit 2."""
    assert deployed.run("replay", ORDER, "--rate", rate) == 2
    assert "--rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        [],
        [ORDER, "--state", "failed"],
        [ORDER, "--since", "3h"],
        [ORDER, "--limit", "3"],
        ["--since", "3h"],
        ["--state", "done"],
        ["--state", "pending"],
    ],
)
def test_what_to_replay_is_said_in_one_way(deployed: Deployed, capsys: Print, given: list[str]) -> None:
    """Orders, or --state with its bounds; anything else is exit 2, and nothing is asked of AWS."""
    assert deployed.run("replay", "--yes", *given) == 2
    assert capsys.readouterr().err.startswith("Usage: ")
    assert deployed.world.wire.names() == []


def test_json_lines_say_what_became_of_each(several: Deployed, capsys: Print) -> None:
    """One object for each notification and each unknown order; what is for people goes to the other stream."""
    assert several.run("replay", "--yes", "--json", ORDER, "ORDER-9") == 1
    said = capsys.readouterr()
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [one["result"] for one in found] == ["unknown", "run", "run", "run", "run"]
    assert found[0]["orderId"] == "ORDER-9"
    assert {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "pass": 1}.items() <= found[1].items()
    assert "Notifications: 4, run: 4" in said.err


def test_terminal_sees_how_far_it_has_come(several: Deployed, capsys: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that grows and a bar below it, which is gone at the end."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert several.run("replay", "--yes", ORDER, "ORDER-9") == 1
    said = unstyled(capsys.readouterr().out)
    assert "replaying" in said
    assert said.count("✓") == 4
    assert said.count("✗") == 1
    assert "Notifications: 4, run: 4, left alone: 0, failed again: 0." in said


# --- interrupted anywhere ---

CALLS = ["cloudformation.DescribeStacks", "dynamodb.Query", "dynamodb.Query", "dynamodb.BatchGetItem"]
CALLS += 4 * ["dynamodb.BatchGetItem", "lambda.Invoke"]


def test_replay_of_four_makes_these_calls(several: Deployed) -> None:
    """The test below interrupts at every one of them."""
    several.run("replay", "--yes", ORDER)
    assert [call.name for call in several.world.wire.calls if own(call)] == CALLS


@pytest.mark.no_cover  # measuring doubles its time, and what it goes through is measured elsewhere
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_interrupt_at_any_call_loses_nothing(several: Deployed, when: str, number: int) -> None:
    """What was begun is done or can be done again: the same command goes on, and runs no pass twice."""
    several.world.wire.around = interrupting(own, number, when)
    with pytest.raises(Interrupt):
        several.run("replay", "--yes", ORDER)
    several.world.wire.around = None
    assert several.run("replay", "--yes", ORDER) == 0
    assert passes(several) == [1, 1, 1, 2]
    assert len(several.invoked("process-paid-order-dev")) == 4


def test_ctrl_c_says_what_it_means(several: Deployed, capsys: Print) -> None:
    """What was run is said, the rest is as it was: exit 130."""
    works, answers = several.functions[arn("payment3-recheck-dev")], [0]

    def press(call: Call) -> Answer:
        answers[0] += 1
        if answers[0] == 3:
            raise KeyboardInterrupt
        return works(call)

    several.functions[arn("payment3-recheck-dev")] = press
    assert several.run("replay", "--yes", ORDER) == 130
    said = capsys.readouterr()
    assert said.out.count("was run: now PENDING") == 2
    assert "What is not listed as run is unchanged; the same command continues." in said.err


def own(call: Call) -> bool:
    """Whether the command made a call, and not a function that it invoked."""
    if call.name == "lambda.Invoke":
        return str(call.request["FunctionName"]).endswith("recheck-dev")
    return call.name in CALLS
