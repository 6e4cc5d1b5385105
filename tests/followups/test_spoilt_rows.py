"""Rows that another program has spoilt: each command and the page survive them, and show them as spoilt."""

import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callback.errors import error_id
from callback.record import Record
from callback.table import Item
from followups.board import application
from followups.watch import Poller
from tests.followups.conftest import Followups
from tests.support.aws import CHARGE, ORDER
from tests.support.deployed import Deployed

CARD = "4111111111111111"
NOTIFY, ERRORS = "CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE"
# What a terminal, a clipboard or a page may act on: escapes, line ends, and changes of the writing direction.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
REMOVED = object()
VALUES: list[Any] = ["", "x", "2026-11-22T09:00:00Z", "DONE", "FAILED", f"a\x1b[2J\n\u202e{CARD}", "ก", "9" * 40]
VALUES += map(Decimal, ["0", "-1", "1", "3.5", "1E+120", "12345678901234567890123456789012345678"])
VALUES += [True, None, b"\xff", {b"\xff", b"a"}, {"b", f"\x1b{CARD}"}, {Decimal(1), Decimal("2.5")}]
NAMES = st.sampled_from(["number", "at", "attempt", "outcome", "durationMs", "a\x1b b"])
ANY: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=6,
)
INDEXED = {"chargeId", "notificationId", "orderId", "sweepAt", "ours"}
# Neither keys of the table nor of an index: DynamoDB itself refuses another type there.
ATTRIBUTES = {*Record.model_json_schema(by_alias=True)["properties"]} - INDEXED
ATTRIBUTES |= {*"checksumForm receivedAt amount currency status transactionState note body".split()}
SPOILT = st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), st.just(REMOVED) | ANY, min_size=1, max_size=4)
ROW = ["errorType", "message", "chargeId", "occurrences", "firstAt", "lastAt", "mailedAt", "responseData"]
SPOILT_ERROR = st.dictionaries(st.sampled_from(ROW), ANY, max_size=4)


@settings(max_examples=1, suppress_health_check=list(HealthCheck))
@example(rows=[{"passes": [{"number": b"\xff"}], "amount": Decimal("1E+120")}], errors=[{}])
@example(rows=[{"state": REMOVED, "passes": {b"a"}}, {"leaseUntil": Decimal(5)}], errors=[{"lastAt": Decimal(1)}])
@given(rows=st.lists(SPOILT, min_size=6, max_size=9), errors=st.lists(SPOILT_ERROR, min_size=2, max_size=2))
def test_spoilt_rows_are_survived_everywhere(
    deployed: Deployed, followups: Followups, poller: Poller, rows: list[Item], errors: list[Item]
) -> None:
    """Whatever type an attribute has, there is no traceback, and no output has a card number or control characters."""
    deployed.world.empty()
    texts = dict[str, str]()
    _put(deployed, rows, errors)
    commands = ["list --state pending --state failed", f"show {CHARGE}", "watch --once"]
    changing = ("verify", "replay --yes", "resolve --reason x", "forget --yes")
    commands += [f"{command} --json" for command in commands]
    for command in (*commands, *(f"{word} {ORDER}" for word in changing)):
        followups.capsys.readouterr()
        assert deployed.run(*command.split()) in ({0, 1, 2} if command.startswith("verify") else {0, 1})
        texts[command] = "".join(followups.capsys.readouterr())
    client = application(poller).test_client()
    for page in ("/", f"/?find={CHARGE}"):
        answer = client.get(page)
        assert answer.status_code == 200
        texts[page] = answer.text
    for where, text in texts.items():
        assert text, where
        assert not OBEYED.search(text), where
        assert CARD not in text, where


def test_spoilt_row_is_shown_as_spoilt_everywhere(deployed: Deployed, followups: Followups, poller: Poller) -> None:
    """`list`, `show`, `watch` and the page call it spoilt and say what is wrong; `replay` leaves it, exit 1."""
    _put(deployed, [{"leaseUntil": Decimal(5)}], [])
    fault = "leaseUntil: expected a UTC time"
    for command in (["list"], ["show", CHARGE], ["watch", "--once"]):
        printed = followups(*command).out
        assert fault in printed
        assert "spoilt" in printed
        [found] = followups(*command, "--json").objects
        assert '"status": "spoilt"' in json.dumps(found)
    assert f"correct it by hand: {fault}" in followups("replay", ORDER, code=1).out
    page = application(poller).test_client().get("/").text
    assert f"spoilt: {fault}" in page


def _put(deployed: Deployed, rows: list[Item], errors: list[Item]) -> None:
    world = deployed.world
    for number, changes in enumerate(rows):
        (deployed.put_failed if number % 3 == 1 else deployed.put_waiting)(str(number))
        [row] = (row for row in world.rows(NOTIFY) if row["notificationId"] == str(number))
        world.put(NOTIFY, {name: value for name, value in (row | changes).items() if value is not REMOVED})
    for number, changes in enumerate(errors):
        world.put(ERRORS, {"errorId": error_id(str(number), "failed", 2)} | changes)
