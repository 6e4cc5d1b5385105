"""docs/runbook.md: each symptom is made here, and repaired with the very commands that stand there."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callback.errors import FollowUpError
from local.emulator import ROOT
from tests.support.aws import ORDER, World, sample
from tests.support.deployed import Deployed, notification, notify_letter
from tests.support.recorded_calls import refuse
from tests.template.test_template import ALARMS, RESOURCES

RUNBOOK = ROOT / "docs" / "runbook.md"
Symptom = Callable[[Deployed], None]


@dataclass(frozen=True)
class Section:
    """One section of the runbook."""

    anchor: str
    text: str

    @property
    def alarms(self) -> set[str]:
        """The alarms that it is for."""
        return set(re.findall(r"`(\w+Alarm)`", self.text))

    @property
    def commands(self) -> list[list[str]]:
        """Its commands, as a shell would split them."""
        blocks = re.findall(r"^```sh\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [shlex.split(line) for block in blocks for line in block.splitlines()]


def sections() -> dict[str, Section]:
    """The runbook's sections by their anchors, as GitHub and others make them."""
    found = {}
    for part in re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        anchor = re.sub(r"[^a-z0-9 -]", "", part.splitlines()[0].lower()).replace(" ", "-")
        found[anchor] = Section(anchor, part)
    return found


SECTIONS = sections()


# --- the symptoms ---


def overdue(deployed: Deployed) -> None:
    """Pass 1 is done, the timer never came, nobody swept."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(3600)


def failed(deployed: Deployed) -> None:
    """Pass 2 failed until it was given up."""
    world = deployed.world
    world.cold_start(GIVE_UP_AFTER_HOURS="1")
    world.deliver()
    world.fire()
    world.wait(2 * 3600)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(FollowUpError):
        world.recheck()
    assert world.record()["state"] == "FAILED"
    world.wait(900)


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


def keeps_failing(deployed: Deployed) -> None:
    """Pass 2 fails, and nobody swept."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(61)
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(FollowUpError):
        deployed.world.recheck()
    deployed.world.wait(900)


def never_saved(queue: str) -> Symptom:
    """A notification that could not be saved lies in a queue."""
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
    """There is nothing to repair: to know is what was asked."""
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
    """No line of the runbook goes untried, and none that is tried here has gone from it."""
    assert set(SYMPTOMS) == set(SECTIONS)
    assert all(section.commands for section in SECTIONS.values())


@pytest.mark.parametrize("anchor", SYMPTOMS)
def test_symptom_is_repaired_by_the_commands_of_its_section(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anchor: str
) -> None:
    """The section's commands run in their order: then nothing is wrong, and no message is left in a queue."""
    monkeypatch.chdir(tmp_path)
    make, repaired = SYMPTOMS[anchor]
    make(deployed)
    codes = [deployed.run(*command[1:]) for command in SECTIONS[anchor].commands]
    assert {command[0] for command in SECTIONS[anchor].commands} == {"followups"}
    assert set(codes) <= ({1} if make is forged else {0})
    assert repaired(deployed.world)
    assert deployed.left() == {}


def test_example_is_the_order_of_the_samples() -> None:
    """A command of the runbook finds something in the local stack."""
    named = {word for s in SECTIONS.values() for command in s.commands for word in command if word.startswith("ORDER")}
    assert named == {ORDER}


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_leads_to_its_section(alarm: str) -> None:
    """Each alarm says where to read on, and that section names the alarm."""
    link = re.search(r"\(docs/runbook\.md#([a-z0-9-]+)\)$", ALARMS[alarm]["AlarmDescription"])
    assert link
    assert alarm in SECTIONS[link[1]].alarms


def test_alarm_is_in_one_section() -> None:
    """There is one place to look."""
    named: list[Any] = [alarm for section in SECTIONS.values() for alarm in section.alarms]
    assert sorted(named) == sorted(ALARMS)


def test_saved_queries_that_it_names_exist() -> None:
    """A question of the runbook has its query in Logs Insights, by that name."""
    queries = {r["Properties"]["Name"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::QueryDefinition"}
    named = re.findall(r"[Ss]aved quer(?:y|ies):? (\*[^.]+\*)", " ".join(RUNBOOK.read_text().split()))
    names = {name for group in named for name in re.findall(r"\*([^*]+)\*", group)}
    assert len(names) > 4
    assert {f"payment3-follow-up-dev/{name}" for name in names} <= queries
