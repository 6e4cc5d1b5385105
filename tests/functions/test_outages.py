"""An outage heals by itself, whatever is down, and costs only what it must (docs/outages.md)."""

from collections.abc import Iterator

import pytest

from tests.support.aws import World
from tests.support.outages import CASES, FILE, LENGTHS, head, outage, worlds

AN_HOUR = ["CreditCardNotifyTable hangs", "ProcessPaidOrder fails", "Recheck is throttled"]
# What nobody need know of for 10 minutes.
QUIET = ["the order table is throttled", "CallbackErrorLogTable fails", "timers never fire", "the sweep does not run"]
QUIET += ["Secrets Manager hangs", "SES fails", "SQS is down", "standard output is closed"]


@pytest.fixture(scope="module")
def roomy_world() -> Iterator[World]:
    """One world for all outages."""
    with worlds() as world:
        yield world


@pytest.mark.parametrize(
    ("length", "case"), [*(("10 minutes", case) for case in CASES), *(("1 hour", case) for case in AN_HOUR)]
)
def test_outage_heals_by_itself(roomy_world: World, length: str, case: str) -> None:
    """All is done 15 minutes after its end at the latest, without a person, and no letter is left."""
    ended = outage(roomy_world, CASES[case], *LENGTHS[length])
    assert ended.is_healed(LENGTHS[length][0]), ended
    assert case not in QUIET or (ended.mails, ended.rows, ended.retried, ended.alarms) == (0, 0, 0, ()), ended


def test_document_says_what_is_tested() -> None:
    """docs/outages.md names today's assumptions and dependencies, and no outage up to a day missed its aim."""
    text = FILE.read_text()
    assert text.startswith(head())
    count = 4 * len(CASES)
    assert f"in {count} of {count} outages" in text
