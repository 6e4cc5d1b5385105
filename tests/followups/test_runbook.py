"""docs/runbook.md: each symptom is made here, and repaired with the commands of its section."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from callback.errors import FollowUpError
from local.emulator import ROOT
from tests.support.aws import ORDER, World, sample
from tests.support.deployed import Deployed, notification, notify_letter
from tests.support.recorded_calls import refuse
from tests.template.test_template import ALARMS, RESOURCES

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
Symptom = Callable[[Deployed], None]


def sections() -> dict[str, str]:
    """The texts of the runbook's sections by their anchors, as GitHub and others make them."""
    parts = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    return {re.sub(r"[^a-z0-9 -]", "", part.splitlines()[0].lower()).replace(" ", "-"): part for part in parts}


def commands(section: str) -> list[list[str]]:
    """A section's commands, as a shell would split them."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


SECTIONS = sections()


# --- the symptoms ---


def overdue(deployed: Deployed) -> None:
    """Pass 1 is done, the timer never came, and no sweep ran."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(3600)


def keeps_failing(deployed: Deployed) -> None:
    """Pass 2 fails, and no sweep ran."""
    deployed.world.deliver()
    deployed.world.fire()
    fail_once(deployed, 61)


def failed(deployed: Deployed) -> None:
    """Pass 2 failed until it was given up."""
    deployed.world.cold_start(GIVE_UP_AFTER_HOURS="1")
    deployed.world.deliver()
    deployed.world.fire()
    fail_once(deployed, 2 * 3600)
    assert deployed.world.record()["state"] == "FAILED"


def fail_once(deployed: Deployed, after: int) -> None:
    """Let pass 2 fail after so many seconds; then a quarter of an hour passes."""
    deployed.world.wait(after)
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(FollowUpError):
        deployed.world.recheck()
    deployed.world.wait(900)


def unsettled(deployed: Deployed) -> None:
    """The plan is over and the order still pending; then somebody corrects the order."""
    world = deployed.world
    world.cold_start(SETTLED_ORDER_STATUSES="PAID")
    world.order(status="PENDING")
    world.deliver()
    world.fire()
    world.wait(61)
    world.recheck()
    assert world.record()["state"] == "FAILED"
    world.order(status="PAID")


def never_saved(queue: str) -> Symptom:
    """A notification that could not be saved is in a queue."""
    return lambda deployed: deployed.put(queue, notify_letter(error=TimeoutError("the table is asleep")))


def refused(deployed: Deployed) -> None:
    """Somebody sent nonsense to the bank's webhook."""
    deployed.put("RefusedQueue", notify_letter({"body": "nonsense"}, ValueError("no JSON")))


def contradicts(deployed: Deployed) -> None:
    """The payment record names another amount."""
    deployed.world.pay(amount=1, currency="THB")
    deployed.world.deliver()
    assert deployed.world.metrics("Contradictions")


def fails_without_mails(deployed: Deployed) -> None:
    """SES refuses what is to be mailed about a failing pass."""
    deployed.world.wire.before["ses.SendEmail"] = refuse("MessageRejected")
    keeps_failing(deployed)
    assert deployed.world.metrics("MailFailed")


def held_mails(deployed: Deployed) -> None:
    """More notifications fail in an hour than there are mails."""
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=9)
    for number in range(9):
        with pytest.raises(FollowUpError):
            deployed.world.deliver(notification(number + 1))
    assert deployed.world.metrics("MailsHeld")


def forged(_deployed: Deployed) -> None:
    """A notification whose checksum nobody's key makes."""
    Path("notification.json").write_text(json.dumps(sample("wrong-checksum")))


def is_done(world: World) -> bool:
    """The notification has had its two passes."""
    return bool(world.record()["state"] == "DONE" and world.record()["passesDone"] >= 2)


def is_saved(world: World) -> bool:
    """The notification is saved, has had pass 1 and waits for its timer."""
    return bool(world.record()["passesDone"] == 1 and world.schedules())


def is_seen(_world: World) -> bool:
    """There is nothing to repair."""
    return True


SYMPTOMS: dict[str, tuple[Symptom, Callable[[World], bool]]] = {
    "a-customer-paid-where-is-the-order": (overdue, is_done),
    "notifications-are-failed": (failed, is_done),
    "failed-as-unsettled": (unsettled, is_done),
    "messages-in-the-failure-queue": (never_saved("FailureQueue"), is_saved),
    "messages-in-the-refused-queue": (refused, is_seen),
    "a-notification-contradicts-the-payment-record": (contradicts, is_seen),
    "notifications-cannot-be-saved": (never_saved("RetryQueue"), is_saved),
    "lambda-lost-notifications": (overdue, is_done),
    "a-function-is-throttled": (overdue, is_done),
    "follow-ups-are-overdue": (keeps_failing, is_done),
    "timers-do-not-reach-recheck": (overdue, is_done),
    "checksums-do-not-hold": (forged, is_seen),
    "mails-do-not-go-out": (fails_without_mails, is_seen),
    "mails-were-held-back": (held_mails, is_seen),
}


def test_every_section_has_its_symptom_here() -> None:
    """Every command of the runbook is run here, on the order of the samples."""
    assert set(SYMPTOMS) == set(SECTIONS)
    words = [word for text in SECTIONS.values() for command in commands(text) for word in command]
    assert {word for word in words if word.startswith("ORDER")} == {ORDER}


@pytest.mark.parametrize("anchor", SYMPTOMS)
def test_symptom_is_repaired_by_the_commands_of_its_section(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anchor: str
) -> None:
    """The section's commands run in their order: then nothing is wrong, and no message is left in a queue."""
    monkeypatch.chdir(tmp_path)
    make, repaired = SYMPTOMS[anchor]
    make(deployed)
    programs, codes = set(), set()
    for program, *words in commands(SECTIONS[anchor]):
        programs.add(program)
        codes.add(deployed.run(*words))
    assert programs == {"followups"}
    assert codes <= ({1} if make is forged else {0})
    assert repaired(deployed.world)
    assert deployed.left() == {}


def test_alarm_leads_to_its_section() -> None:
    """Each alarm says where to read on: in the one section that names it."""
    named = [(alarm, anchor) for anchor, text in SECTIONS.items() for alarm in set(re.findall(r"`(\w+Alarm)`", text))]
    link = re.compile(r"\(docs/runbook\.md#([a-z0-9-]+)\)$")
    assert sorted(named) == sorted((name, link.findall(ALARMS[name]["AlarmDescription"])[0]) for name in ALARMS)


def test_saved_queries_that_it_names_exist() -> None:
    """A question of the runbook has its query in Logs Insights, by that name."""
    queries = {r["Properties"]["Name"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::QueryDefinition"}
    named = re.findall(r"[Ss]aved quer(?:y|ies):? (\*[^.]+\*)", " ".join(RUNBOOK.split()))
    names = {name for group in named for name in re.findall(r"\*([^*]+)\*", group)}
    assert len(names) > 4
    assert {f"payment3-follow-up-dev/{name}" for name in names} <= queries
