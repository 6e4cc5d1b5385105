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
from tests.deployed import (
    NOTIFY_QUEUE,
    RECHECK_QUEUE,
    SCHEDULER_QUEUE,
    SWEEP_QUEUE,
    Deployed,
    arn,
    notification,
    notify_letter,
    recheck_letter,
    timer,
    timer_letter,
)
from tests.letters import on_failure
from tests.test_template import RESOURCES
from tests.wire import refuse
from tests.world import ORDER, World, sample

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
        """What it tells to type, as a shell would split it."""
        blocks = re.findall(r"^```sh\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [shlex.split(line) for block in blocks for line in block.splitlines()]


def sections() -> dict[str, Section]:
    """The runbook's sections by their anchors, as the usual hosts make them."""
    found = {}
    for part in re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        anchor = re.sub(r"[^a-z0-9 -]", "", part.splitlines()[0].lower()).replace(" ", "-")
        found[anchor] = Section(anchor, part)
    return found


SECTIONS = sections()
ALARMS = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


# --- the symptoms ---


def overdue(deployed: Deployed) -> None:
    """Pass 1 is done, the timer never came, nobody swept."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(3600)


def failed(deployed: Deployed) -> None:
    """Pass 2 had its last attempt."""
    world = deployed.world
    world.cold_start(MAX_ATTEMPTS="1")
    world.deliver()
    world.fire()
    world.wait(60)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(FollowUpError):
        world.recheck()
    assert world.record()["state"] == "FAILED"
    world.wait(900)


def unsettled(deployed: Deployed) -> None:
    """The plan is over and the order still pending; then somebody mends the order."""
    world = deployed.world
    world.cold_start(SETTLED_ORDER_STATUSES="PAID")
    world.order(status="PENDING")
    world.deliver()
    world.fire()
    world.wait(60)
    assert world.recheck()["state"] == "FAILED"
    world.order(status="PAID")


def failing_function(deployed: Deployed) -> None:
    """Pass 2 fails in all of Lambda's tries, and nobody swept."""
    deployed.world.deliver()
    deployed.world.fire()
    deployed.world.wait(60)
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=3)
    for _ in range(3):
        with pytest.raises(FollowUpError):
            deployed.world.recheck()
    deployed.world.wait(600)


def dead_notification(deployed: Deployed) -> None:
    """A notification that DelayedNotify never could save."""
    deployed.put(NOTIFY_QUEUE, notify_letter(error=TimeoutError("the table is asleep")))


def dead_recheck(deployed: Deployed) -> None:
    """A pass that failed in three tries."""
    overdue(deployed)
    deployed.put(RECHECK_QUEUE, recheck_letter(timer()))


def dead_timer(deployed: Deployed) -> None:
    """A timer that Scheduler gave up."""
    overdue(deployed)
    deployed.put(SCHEDULER_QUEUE, timer_letter(timer()))


def dead_sweep(deployed: Deployed) -> None:
    """A run of the sweep that failed in three tries, and what it did not find."""
    overdue(deployed)
    event = {"id": "a-tick", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    letter = on_failure(arn("payment3-sweep-dev"), "a-request", event, TimeoutError("the index is asleep"))
    deployed.put(SWEEP_QUEUE, letter)


def held_mails(deployed: Deployed) -> None:
    """More notifications fail in an hour than there are mails."""
    deployed.world.cold_start(MAX_ATTEMPTS="1")
    deployed.world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=21)
    for number in range(21):
        with pytest.raises(FollowUpError):
            deployed.world.deliver(notification(number + 1))
    assert deployed.world.log("held back")


def forged(_deployed: Deployed) -> None:
    """A notification whose checksum nobody's key makes."""
    Path("notification.json").write_text(json.dumps(sample("wrong-checksum")))


def is_done(world: World) -> bool:
    """The notification has had its two passes."""
    return bool(world.record()["state"] == "DONE" and world.record()["passesDone"] >= 2)


def is_saved(world: World) -> bool:
    """The notification is saved, has had pass 1 and waits for its timer."""
    return bool(world.record()["passesDone"] == 1 and world.schedules())


def is_told(_world: World) -> bool:
    """There is nothing to repair: to know is what was asked."""
    return True


SYMPTOMS: dict[str, tuple[Symptom, Callable[[World], bool]]] = {
    "a-customer-paid-where-is-the-order": (overdue, is_done),
    "notifications-are-failed": (failed, is_done),
    "failed-as-unsettled": (unsettled, is_done),
    "follow-ups-are-overdue": (overdue, is_done),
    "timers-do-not-reach-recheck": (overdue, is_done),
    "dead-letters-of-scheduler": (dead_timer, is_done),
    "dead-letters-of-delayednotify": (dead_notification, is_saved),
    "dead-letters-of-recheck": (dead_recheck, is_done),
    "dead-letters-of-the-sweep": (dead_sweep, is_done),
    "a-function-fails": (failing_function, is_done),
    "a-function-is-throttled": (overdue, is_done),
    "a-dead-letter-could-not-be-written": (overdue, is_done),
    "checksums-do-not-hold": (forged, is_told),
    "mails-were-held-back": (held_mails, is_told),
}


def test_every_section_has_its_symptom_here() -> None:
    """No line of the runbook goes untried, and none that is tried here has gone from it."""
    assert set(SYMPTOMS) == set(SECTIONS)
    assert all(section.commands for section in SECTIONS.values())


@pytest.mark.parametrize("anchor", SYMPTOMS)
def test_symptom_is_repaired_by_the_commands_that_stand_there(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, anchor: str
) -> None:
    """What the section says to type is typed, in its order: then nothing is wrong, and no letter is left."""
    monkeypatch.chdir(tmp_path)
    make, repaired = SYMPTOMS[anchor]
    make(deployed)
    codes = [deployed.run(*command[1:]) for command in SECTIONS[anchor].commands]
    assert {command[0] for command in SECTIONS[anchor].commands} == {"followups"}
    assert set(codes) <= ({1} if make is forged else {0})
    assert repaired(deployed.world)
    assert deployed.left() == {}


def test_example_is_the_order_of_the_samples() -> None:
    """Who copies a command from the runbook into the local stack finds something."""
    named = {word for s in SECTIONS.values() for command in s.commands for word in command if word.startswith("ORDER")}
    assert named == {ORDER}


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_leads_to_its_section(alarm: str) -> None:
    """Whoever is woken is told where to read on, and the section names the alarm."""
    link = re.search(r"\(docs/runbook\.md#([a-z0-9-]+)\)$", ALARMS[alarm]["AlarmDescription"])
    assert link
    assert alarm in SECTIONS[link[1]].alarms


def test_alarm_is_in_one_section() -> None:
    """There is one place to look."""
    told: list[Any] = [alarm for section in SECTIONS.values() for alarm in section.alarms]
    assert sorted(told) == sorted(ALARMS)


def test_saved_queries_that_it_names_exist() -> None:
    """A question of the runbook has its query in Logs Insights, by that name."""
    queries = {r["Properties"]["Name"] for r in RESOURCES.values() if r["Type"] == "AWS::Logs::QueryDefinition"}
    named = re.findall(r"[Ss]aved quer(?:y|ies):? (\*[^.]+\*)", " ".join(RUNBOOK.read_text().split()))
    names = {name for group in named for name in re.findall(r"\*([^*]+)\*", group)}
    assert len(names) > 4
    assert {f"payment3-follow-up-dev/{name}" for name in names} <= queries
