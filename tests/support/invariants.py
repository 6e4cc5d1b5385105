"""What must hold once a model is at rest: what is saved had its two passes or ended loudly, and no false alarm."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from callback.table import format_utc, parse_utc
from tests.support.lambda_model import DELAYED_NOTIFY, RECHECK, RETRY, SWEEP, Model, notification_of

# Early timers, duplicates and lost races raise nothing.
RAISED = {"Died", "ClientError", "ReadTimeoutError", "PassFailed", "PassTimedOut", "PaymentUnreadable", "GaveUp"}
RAISED |= {"OrderUnsettled", "RetriesExhausted", "InvalidNotification", "NotificationConflict"}


def repair(model: Model) -> int:
    """Bring back what waits for a person, as the operators' commands do; return how much that was."""
    letters = model.queues["RefusedQueue"] + model.queues["FailureQueue"]
    model.queues["RefusedQueue"], model.queues["FailureQueue"] = [], []
    for letter in letters:
        model.accept(DELAYED_NOTIFY, json.loads(letter.body)["requestPayload"], "redrive")
    failed = [row for row in model.world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["state"] == "FAILED"]
    for row in failed:
        ids = {name: row[name] for name in ("chargeId", "notificationId", "orderId")}
        asked = {"version": 1, **ids, "pass": int(row["passesDone"]) + 1, "dueAt": format_utc(model.world.now)}
        model.accept(RECHECK, asked, "replay")
    return len(letters) + len(failed)


def broken(model: Model) -> list[str]:
    """Say what should hold and does not; empty where all does."""
    rows = model.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    wrong = [words for row in rows for words in _broken_row(model, row)]
    wrong += [f"{function} raised {error}" for function, error in model.errors if error not in RAISED]
    wrong += _broken_queues(model, {row["notificationId"] for row in rows})
    swept = [line for _, function, line in model.world.lines if function == SWEEP and line["message"] == "swept"]
    silent = [line for line in swept if ("OldestOverdue" in line) == bool(line["ShardsUnread"])]
    return wrong + [f"a sweep reported {line}" for line in silent]


def _broken_row(model: Model, row: dict[str, Any]) -> list[str]:
    about, wrong = f"{row['chargeId']} {row['notificationId']}", []
    if row["state"] == "PENDING":
        wrong.append(f"{about} waits for nothing")
    if row["state"] == "FAILED" and not _is_loud(model.world, row):
        wrong.append(f"{about} is FAILED in silence")
    numbers = [int(done["number"]) for done in row["passes"]]
    if numbers != list(range(1, int(row["passesDone"]) + 1)):
        wrong.append(f"{about} has recorded the passes {numbers}")
    runs = [run for run in model.runs if run.notification == row["notificationId"]]
    completed = Counter(run.number for run in runs if run.completed)
    if row["state"] == "DONE" and not (completed[1] and completed[2] and len(numbers) > 1):
        wrong.append(f"{about} is DONE after the passes {dict(completed)}")
    if sum(run.function in {DELAYED_NOTIFY, RETRY} for run in runs) > 1:
        wrong.append(f"{about}: a repeat ran a pass")
    for done in row["passes"]:
        after = [run for run in runs if run.number == done["number"] + 1]
        soonest = parse_utc(done["at"]) + timedelta(seconds=60)
        wrong += [f"{about} had pass {run.number} too soon" for run in after if run.began < soonest]
    return wrong


def _is_loud(world: Any, row: dict[str, Any]) -> bool:
    about = [error for error in world.errors() if error.get("notificationId") == row["notificationId"]]
    mailed = any("FAILED" in str(mail) and row["orderId"] in str(mail) for mail in world.mails())
    return mailed or any(error["errorType"] in {"GaveUp", "OrderUnsettled"} for error in about)


def _broken_queues(model: Model, saved: set[str]) -> list[str]:
    wrong = ["the retry queue is not empty"] if model.queues["RetryQueue"] else []
    failed = [notification_of(json.loads(letter.body)["requestPayload"]) for letter in model.queues["FailureQueue"]]
    wrong += [f"{name} is saved, and in the failure queue" for name in saved & set(failed)]
    return wrong + [f"{name} has {n} letters" for name, n in Counter(failed).items() if n > 1]
