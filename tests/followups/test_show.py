"""`followups show` answers "this customer paid, where is the order?": what happened, and what happens next."""

from datetime import timedelta
from decimal import Decimal

import pytest

from callback.table import Item, format_utc
from tests.followups.conftest import Followups, Patch, fail
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import PROCESS, STACK, Deployed, arn, notification
from tests.support.recorded_calls import Call, payload, refuse

IDS = (ORDER, CHARGE, NOTIFICATION)
CARD, KEY = "4111111111111111", "skey_test_planted"
FAILED = "PassFailed: pass 1: ProcessPaidOrder failed (Unhandled)"
TRIED = "attempts: 1 since 09:30:17 UTC; it is given up at 2026-11-25 09:30:17 UTC"
REPLAY = f"followups replay --stack {STACK} -- {ORDER}"
RECEIVED = "status success, state Authorized, 200.50 THB"
ERROR = {"errorType": "StockError", "errorMessage": "no stock", "stackTrace": ["secret"]}
SPOILT = "- bad error: the record is not what `save` writes, correct it by hand: passes: "
DONE = {"state": "DONE", "nextPassDue": None, "sweepShard": None, "sweepAt": None}


def lines(followups: Followups) -> list[str]:
    """The timeline of the only notification: time without its date, level, what and text."""
    [one] = followups("show", ORDER, "--json").objects[0]["notifications"]
    events = one["timeline"]
    times = [event["at"] for event in events if event["at"]]
    assert times == sorted(times)
    return [f"{(e['at'] or '-')[-16:][:8]} {e['level']} {e['what']}: {e['text']}" for e in events]


@pytest.mark.parametrize("word", [*IDS, *(id_[:6] for id_ in IDS)])
def test_any_id_or_its_beginning_shows_what_became_of_it(deployed: Deployed, followups: Followups, word: str) -> None:
    """Status, checksum and ids come first, then a line for each event; five letters of an id find nothing."""
    deployed.put_failed("another", chargeId="another", orderId="another")
    deployed.world.deliver()
    about, ids, first, *_ = followups("show", word).lines
    assert about == f"Order {ORDER}: waiting, passes completed: 1, checksum valid"
    assert ids == f"charge {CHARGE}, notification {NOTIFICATION}"
    assert first == f"2026-11-22 09:30:17  received  {RECEIVED}"
    followups("show", word[:5], code=1)


def test_each_notification_of_the_order_is_shown(deployed: Deployed, followups: Followups) -> None:
    """They come oldest first, an empty line after each; a row of another function is called foreign."""
    for number in (1, 2):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    row = {"chargeId": CHARGE, "notificationId": "notify-1", "orderId": ORDER, "note": "notify"}
    deployed.world.put("CREDIT_CARD_NOTIFY_TABLE", row)
    other, *ours = followups("show", ORDER).out.rstrip().split("\n\n")
    assert f"Order {ORDER}: foreign, " in other
    assert "by another function, which shares the table: it has no passes here" in other
    assert [part.split()[part.split().index("notification") + 1] for part in ours] == [
        NOTIFICATION,
        f"{NOTIFICATION}-2",
    ]


def test_nothing_found_says_where_to_look(followups: Followups) -> None:
    """Exit 1, with the command that lists the same stack's queues; with --json this advice goes to stderr."""
    words = ("show", "ORDER-9", "--region", "ap-southeast-1")
    advice = followups(*words, code=1).out
    assert advice.startswith(f"ORDER-9: no notification was saved in stack {STACK}.\n")
    assert advice.endswith(f"\n    followups dead-letters list --stack {STACK} --region ap-southeast-1\n")
    printed = followups("--json", *words, code=1)
    assert (printed.objects[0]["notifications"], printed.err) == ([], advice)


def test_json_has_the_records_names(deployed: Deployed, followups: Followups) -> None:
    """One document has the record, as it is named in the table, and the timeline; money is text, times are in UTC."""
    deployed.world.deliver()
    [found] = followups("show", ORDER, "--json").objects
    assert (found["stack"], found["asked"], found["more"]) == (STACK, ORDER, False)
    [one] = found["notifications"]
    assert (one["chargeId"], one["notificationId"], one["orderId"]) == (CHARGE, NOTIFICATION, ORDER)
    assert (one["state"], one["status"], one["passesDone"]) == ("PENDING", "waiting", 1)
    assert Decimal(one["amount"]) == Decimal("200.5")
    assert [(done["number"], done["attempt"]) for done in one["passes"]] == [(1, 1)]
    first = {"at": "2026-11-22T09:30:17.250000Z", "what": "received", "text": RECEIVED, "level": "info"}
    assert (one["timeline"][0], one["timeline"][-2]["at"]) == (first, None)
    assert "body" not in one


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_nothing_secret_is_printed(deployed: Deployed, followups: Followups, form: tuple[str, ...]) -> None:
    """Nothing secret of the body, or of ProcessPaidOrder's answer or error, and no control character."""
    event = notification()
    event["body"] = event["body"].replace('"object"', f'"number":"{CARD}","key":"{KEY}","object"')
    event["body"] = event["body"].replace(ORDER, "O[red]1")
    fail(deployed, deployed.world.deliver, event, answer={"error": f"card {CARD} {KEY}"})
    deployed.functions[PROCESS] = lambda _call: payload({"card": CARD, "key": KEY})
    deployed.world.wait(61)
    deployed.world.recheck(1)
    printed = followups("show", CHARGE, *form).out
    assert not any(secret in printed for secret in (CARD, KEY, "\x1b"))
    assert all(shown in printed for shown in ("[redacted]", "O[red]1"))


@pytest.mark.parametrize("width", [60, 120])
def test_terminal_gets_a_table_that_fits(deployed: Deployed, followups: Followups, width: int) -> None:
    """Texts wrap, but commands do not; --tz adds a column of local times."""
    deployed.put_failed("1")
    shown = followups.in_terminal("show", ORDER[:6], width=width).out
    assert f"\n  {REPLAY}\n" in shown
    assert "2026-11-22 08:29:17   received " in shown
    assert max(map(len, shown.replace(f"  {REPLAY}\n", "").splitlines()[2:])) <= width
    shown = followups.in_terminal("show", ORDER, "--tz", "Asia/Bangkok", width=width).out
    assert "15:29:17   2026-11-22 08:29:17   received" in shown
    assert "no such zone" in followups.in_terminal("show", ORDER, "--tz", "Asia/Nowhere", code=2).err


def test_what_may_not_be_read_is_a_line(deployed: Deployed, followups: Followups) -> None:
    """The record is the truth and needs neither the timer nor the error log: exit 0."""
    deployed.world.deliver()
    denied = refuse("AccessDeniedException", times=9)

    def deny_errors(call: Call) -> None:
        if call.request["RequestItems"].keys() != {"payment3-credit-card-notify-dev"}:
            denied(call)

    deployed.world.wire.before |= {"scheduler.GetSchedule": denied, "dynamodb.BatchGetItem": deny_errors}
    printed = followups("show", ORDER).out
    assert all(f"-  {what}  unknown, since it could not be asked for: " in printed for what in ("schedule", "error"))


@pytest.mark.parametrize("word", [ORDER, CHARGE])
def test_of_many_the_proved_are_shown(deployed: Deployed, followups: Followups, monkeypatch: Patch, word: str) -> None:
    """Forged notifications of an order or a charge never hide the proved one, and `show` says there are more."""
    monkeypatch.setattr("followups.tables.MOST_FOUND", 10)
    monkeypatch.setattr("followups.tables.MOST_SHOWN", 3)
    for number in range(15 if word == CHARGE else 8):
        deployed.put_waiting(f"f{number}", 9 - number / 10, checksumStatus="invalid")
    deployed.put_waiting("zz-paid", 60)
    printed = followups("show", word)
    verdicts = [line.split()[-1] for line in printed.lines if line.startswith("Order ")]
    assert verdicts == ["valid", "invalid", "invalid"]
    assert printed.err == "There are more than these 3: the proved and the latest that were read are shown.\n"
    assert followups("show", word, "--json").objects[0]["more"]


@pytest.mark.parametrize(("answer", "text"), [(ERROR, "StockError: no stock"), (b"out of stock", "out of stock")])
def test_cause_is_shown(deployed: Deployed, followups: Followups, answer: object, text: str) -> None:
    """The error has ProcessPaidOrder's answer, JSON or not, without a stack trace, and says that no mail was sent."""
    deployed.world.wire.before["ses.SendEmail"] = refuse("Throttling")
    fail(deployed, deployed.world.deliver, answer=answer)
    printed = followups("show", ORDER).out
    assert f"; it answered {text} (not mailed)\n" in printed
    assert "secret" not in printed


def test_notification_that_waits_for_its_timer(deployed: Deployed, followups: Followups) -> None:
    """The timer starts the pass within a minute; when it is later, the sweep does."""
    deployed.world.deliver()
    deployed.world.wait(17)
    assert lines(followups) == [
        f"09:30:17 info received: {RECEIVED}",
        "09:30:17 ok checksum: valid (plain form): the bank vouches for all but the order id",
        '09:30:17 ok pass 1: completed in 0.0 s: {"paid": true, "pass": 1}',
        "09:31:20 ok schedule: the timer of pass 2 is set for 09:31:20 UTC, in 45 s",
        "- info waits: for pass 2 of 2, due at 09:31:18 UTC, in 44 s",
        "09:31:20 info next: the timer starts pass 2, by 09:32:20 UTC",
    ]
    deployed.world.wait(73)
    assert lines(followups)[3].endswith(" is set for 09:31:20 UTC, 28 s ago")
    assert lines(followups)[-1] == "09:31:47 info next: the timer starts pass 2, by 09:32:20 UTC"
    deployed.world.wait(60)
    assert lines(followups)[-1] == "09:33:18 warn next: the sweep starts pass 2, by 09:34:18 UTC"


def test_lost_timer_is_a_warning_until_the_sweep_starts_the_pass(deployed: Deployed, followups: Followups) -> None:
    """It names the time of the sweep, also after a hand-over, and once it is overdue the command for now."""
    deployed.world.deliver()
    deployed.world.fire()
    assert lines(followups)[-3:] == [
        "- warn schedule: the timer of pass 2 is gone: it fired, or was never created",
        "- info waits: for pass 2 of 2, due at 09:31:18 UTC, in 1 min 1 s",
        "09:33:18 warn next: the sweep starts pass 2, by 09:34:18 UTC",
    ]
    deployed.world.wait(600)
    assert lines(followups)[-3:] == [
        "- info schedule: the timer of pass 2 is gone: it fired, or was never created",
        "- bad waits: for pass 2 of 2, due since 09:31:18 UTC (8 min 59 s)",
        f"09:40:17 warn next: the sweep starts pass 2, by 09:41:17 UTC; or now: {REPLAY}",
    ]
    deployed.functions[arn("payment3-recheck-dev")] = lambda _call: {}
    deployed.world.sweep()
    assert "the sweep starts pass 2, by 09:46:17 UTC; " in lines(followups)[-1]


def test_failed_attempts_are_counted_until_it_is_done(deployed: Deployed, followups: Followups) -> None:
    """The error, when it is due again and when it is given up; afterwards, which attempt succeeded."""
    works = deployed.functions[PROCESS]
    fail(deployed, deployed.world.deliver)
    assert lines(followups)[2:] == [
        f"09:30:17 warn error: {FAILED} (mailed 09:30:17 UTC)",
        f"- warn waits: for pass 1 of 2, due again at 09:31:17 UTC, in 1 min, {TRIED}",
        "09:31:18 info next: the sweep starts pass 1, by 09:32:18 UTC",
    ]
    deployed.world.wait(61)
    fail(deployed, deployed.world.recheck, 1)
    assert lines(followups)[2] == f"09:31:18 warn error: {FAILED} (2 times in 1 min 1 s, mailed 09:30:17 UTC)"
    assert "attempts: 2 since 09:30:17 UTC" in lines(followups)[3]
    deployed.functions[PROCESS] = works
    for number in (1, 2):
        deployed.world.wait(120)
        deployed.world.recheck(number)
    *_, first, second, last = lines(followups)
    assert "ok pass 1: completed at attempt 3 in 0.0 s" in first
    assert "ok pass 2: completed in 0.0 s" in second
    assert last == "- ok next: nothing: no pass is missing"


def test_failed_notification(deployed: Deployed, followups: Followups) -> None:
    """The end, each error with its mail, and the command that replays it."""
    deployed.world.cold_start(GIVE_UP_AFTER_HOURS="1")
    fail(deployed, deployed.world.deliver)
    deployed.world.wait(3600)
    fail(deployed, deployed.world.recheck, 1)
    ended, error, *rest = lines(followups)[3:]
    assert ended == "10:30:17 bad ended: FAILED, passes completed: 0"
    assert error.startswith("10:30:17 bad error: GaveUp: pass 1")
    assert error.endswith("ProcessPaidOrder failed (Unhandled) (mailed 10:30:17 UTC)")
    assert rest == [
        "- bad waits: for a person: pass 1 of 2 is missing, attempts: 2 since 09:30:17 UTC",
        f"- bad next: nothing by itself; once the cause is gone: {REPLAY}",
    ]


def test_claim_is_shown_while_the_pass_runs(deployed: Deployed, followups: Followups) -> None:
    """It says how long the run may take, and what happens if it dies; after that time, that it died."""
    until = format_utc(deployed.world.now + timedelta(seconds=90))
    deployed.put_waiting("n", 0, passesDone=0, attemptsBefore=0, leaseUntil=until, claimId="c")
    assert lines(followups)[2:] == [
        "- info waits: for the end of pass 1 of 2, which is running, until 09:31:47 UTC, in 1 min 30 s",
        "09:30:17 info next: its end is recorded; should it have died, the sweep starts pass 1, by 09:31:17 UTC",
    ]
    deployed.world.wait(95)
    assert lines(followups)[2:] == [
        "09:31:47 warn claim: ran out: the run of pass 1 died, or could not record its end",
        f"- warn waits: for pass 1 of 2, due since 09:30:17 UTC (1 min 35 s), {TRIED}",
        "09:31:52 info next: the sweep starts pass 1, by 09:32:52 UTC",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lastError": FAILED, "attempts": 2}, f"- warn error: of the last failed attempt: {FAILED}"),
        (DONE | {"lastError": FAILED}, f"- info error: of the last failed attempt: {FAILED}"),
        ({"checksumStatus": "invalid"}, " warn checksum: invalid: it matches no merchant key"),
        ({"passes": [{"number": 1}]}, f"{SPOILT}KeyError: 'attempt'"),
        ({"passes": [{"number": 1, "attempt": 1, "durationMs": 100, "at": "2026-11-22T09:30:00Z"}]}, "0.1 s: erased"),
        ({"attempts": 9}, "the sweep starts pass 2, by 09:31:17 UTC, for the last time, or ends it in FAILED"),
    ],
)
def test_what_needs_attention_has_its_line(deployed: Deployed, followups: Followups, changes: Item, line: str) -> None:
    """An error that the error log lacks, an unproved checksum, a spoilt pass, and the last attempt, after 72 hours."""
    deployed.put_waiting("n", 72 * 60, **changes)
    assert line in "\n".join(lines(followups))
