"""docs/runbook.md: each symptom is made here, and the commands of its section repair it."""

import json
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from local.emulator import ROOT
from tests.support.aws import sample
from tests.support.deployed import Deployed, notify_letter
from tests.template.test_template import ALARMS, RESOURCES

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
PARTS = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
# The sections by their anchors, as GitHub and others make them.
SECTIONS = {re.sub(r"[^a-z0-9 -]", "", part.splitlines()[0].lower()).replace(" ", "-"): part for part in PARTS}
Symptom = Callable[[Deployed], object]


# Pass 2 failed: neither a timer nor a sweep tried it again; or it was given up.
overdue: Symptom = partial(Deployed.put_waiting, name="1", attempts=3)
failed: Symptom = partial(Deployed.put_failed, name="1")


def unsettled(deployed: Deployed) -> None:
    """After the last pass the order was still pending; it is paid now."""
    deployed.world.cold_start(SETTLED_ORDER_STATUSES="PAID")
    deployed.put_failed("1", passesDone=2)
    deployed.world.order(status="PAID")


def in_queue(queue: str, event: object = None) -> Symptom:
    """A queue has a notification, or another event that was sent to the bank's webhook."""
    return lambda deployed: deployed.put(queue, notify_letter(event, TimeoutError("the table is asleep")))


def contradicts(deployed: Deployed) -> None:
    """The payment record names another amount."""
    deployed.world.pay(amount=1, currency="THB")
    deployed.world.deliver()


def forged(_deployed: Deployed) -> None:
    """A notification has a checksum that no merchant key makes."""
    Path("notification.json").write_text(json.dumps(sample("wrong-checksum")))


# By section: what is wrong, and the state and the number of passes after the repair, where a record is repaired.
SYMPTOMS: dict[str, tuple[Symptom, tuple[str, int] | None]] = {
    "a-customer-paid-where-is-the-order": (overdue, ("DONE", 2)),
    "notifications-are-failed": (failed, ("DONE", 2)),
    "failed-as-unsettled": (unsettled, ("DONE", 3)),
    "messages-in-the-failure-queue": (in_queue("FailureQueue"), ("PENDING", 1)),
    "messages-in-the-refused-queue": (in_queue("RefusedQueue", {"body": "nonsense"}), None),
    "a-notification-contradicts-the-payment-record": (contradicts, None),
    "notifications-cannot-be-saved": (in_queue("RetryQueue"), ("PENDING", 1)),
    "lambda-lost-notifications": (overdue, ("DONE", 2)),
    "a-function-is-throttled": (overdue, ("DONE", 2)),
    "follow-ups-are-overdue": (overdue, ("DONE", 2)),
    "timers-do-not-reach-recheck": (overdue, ("DONE", 2)),
    "checksums-do-not-hold": (forged, None),
    "mails-do-not-go-out": (failed, None),
    "mails-were-held-back": (failed, None),
}


@pytest.mark.parametrize("anchor", SECTIONS)
def test_symptom_is_repaired_by_the_commands_of_its_section(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anchor: str
) -> None:
    """After the commands, in their order, nothing is wrong and no message is left in a queue."""
    monkeypatch.chdir(tmp_path)
    make, repaired = SYMPTOMS[anchor]
    make(deployed)
    blocks = re.findall(r"^```sh\n(.*?)^```$", SECTIONS[anchor], re.MULTILINE | re.DOTALL)
    for command in "".join(blocks).splitlines():
        program, *words = shlex.split(command)
        assert program == "followups"
        assert deployed.run(*words) == (make is forged)
    if repaired:
        record = deployed.world.record()
        assert (record["state"], record["passesDone"]) == repaired
        assert bool(deployed.world.schedules()) == (record["state"] == "PENDING")
    assert deployed.left() == {}


def test_alarm_leads_to_its_section() -> None:
    """The description of each alarm links to the one section that names it."""
    named = [(alarm, anchor) for anchor, text in SECTIONS.items() for alarm in set(re.findall(r"`(\w+Alarm)`", text))]
    link = re.compile(r"\(docs/runbook\.md#([a-z0-9-]+)\)$")
    assert sorted(named) == sorted((name, link.findall(ALARMS[name]["AlarmDescription"])[0]) for name in ALARMS)


def test_saved_queries_that_it_names_exist() -> None:
    """Logs Insights has each saved query under the name that the runbook gives."""
    queries = {r["Properties"]["Name"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::QueryDefinition"}
    named = re.findall(r"[Ss]aved quer(?:y|ies):? (\*[^.]+\*)", " ".join(RUNBOOK.split()))
    names = {name for group in named for name in re.findall(r"\*([^*]+)\*", group)}
    assert len(names) > 4
    assert {f"payment3-follow-up-dev/{name}" for name in names} <= queries
