"""The promise, as a check: what a world at rest owes to each notification that was saved (brief: the promise)."""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Any

from callback.clock import moment, stamp
from tests.cloud import RECHECK, Cloud

MINUTE = timedelta(seconds=60)


def replayed(cloud: Cloud) -> int:
    """Bring back what ended in a failure store, as the operators' commands do; how much that was."""
    letters, cloud.letters = cloud.letters, []
    for letter in letters:
        cloud.accept(letter.function, letter.payload, "redrive")
    failed = [row for row in cloud.world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["state"] == "FAILED"]
    for row in failed:
        ids = {name: row[name] for name in ("chargeId", "notificationId", "orderId")}
        asked = {"version": 1, **ids, "pass": int(row["passesDone"]) + 1, "dueAt": stamp(cloud.world.now)}
        cloud.accept(RECHECK, asked, "replay")
    return len(letters) + len(failed)


def broken(cloud: Cloud) -> list[str]:
    """What the promise says and the world does not, in words; empty where it holds."""
    return [wrong for row in cloud.world.rows("CREDIT_CARD_NOTIFY_TABLE") for wrong in _broken(cloud, row)]


def _broken(cloud: Cloud, row: dict[str, Any]) -> list[str]:
    about, wrong = f"{row['chargeId']} {row['notificationId']}", []
    if row["state"] == "PENDING":
        wrong.append(f"{about} waits for nobody")
    if row["state"] == "FAILED" and not _loud(cloud, row):
        wrong.append(f"{about} is FAILED in silence")
    numbers = [int(done["number"]) for done in row["passes"]]
    if numbers != list(range(1, int(row["passesDone"]) + 1)):
        wrong.append(f"{about} has recorded the passes {numbers}")
    completed = Counter(run.number for run in cloud.runs if run.completed and run.notification == row["notificationId"])
    if row["state"] == "DONE" and not (completed[1] and completed[2] and len(numbers) > 1):
        wrong.append(f"{about} is DONE after the passes {dict(completed)}")
    for done in row["passes"]:
        soonest = moment(done["at"]) + MINUTE
        after = [r for r in cloud.runs if r.notification == row["notificationId"] and r.number == done["number"] + 1]
        wrong += [f"{about} had pass {run.number} too soon" for run in after if run.began < soonest]
    return wrong


def _loud(cloud: Cloud, row: dict[str, Any]) -> bool:
    ending = f"{row['notificationId']}\nFAILED {int(row['passesDone']) + 1}"
    told = {error["errorId"] for error in cloud.world.errors()}
    mailed = any("FAILED" in str(mail) and row["orderId"] in str(mail) for mail in cloud.world.mails())
    return hashlib.sha256(ending.encode()).hexdigest() in told or mailed
