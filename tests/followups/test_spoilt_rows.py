"""Rows that another hand has spoilt: every command and the page survive them, and show them as spoilt."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callback.errors import error_id
from callback.record import Record
from followups.board import application
from followups.watch import Poller
from tests.followups.conftest import Followups
from tests.support.aws import CHARGE, ORDER
from tests.support.deployed import Deployed

pytestmark = pytest.mark.usefixtures("few_shards")
CARD = "4111111111111111"
NOTIFY, ERRORS = "CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE"
# What a terminal, a clipboard or a page may obey: escapes, line ends, and what turns the direction of writing.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
TEXTS = st.sampled_from(["", "x", "2026-11-22T09:00:00Z", "DONE", "FAILED", f"a\x1b[2J\n\u202e{CARD}", "ก", "9" * 40])
NUMBERS = st.sampled_from(["0", "-1", "1", "3.5", "1E+120", "12345678901234567890123456789012345678"])
SIMPLE: list[Any] = [TEXTS.map(lambda text: {"S": text}), NUMBERS.map(lambda number: {"N": number})]
SIMPLE += [st.booleans().map(lambda value: {"BOOL": value}), st.just({"NULL": True})]
SIMPLE += [st.binary(min_size=1, max_size=3).map(lambda value: {"B": value}), st.just({"BS": [b"\xff", b"a"]})]
SIMPLE += [st.just({"SS": ["b", f"\x1b{CARD}"]}), st.just({"NS": ["1", "2.5"]})]
ANY = st.recursive(
    st.one_of(SIMPLE),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda values: {"L": values}),
        st.dictionaries(
            st.sampled_from(["number", "at", "attempt", "outcome", "durationMs", "a\x1b b"]), inner, max_size=5
        ).map(lambda values: {"M": values}),
    ),
    max_leaves=6,
)
INDEXED = {"chargeId", "notificationId", "orderId", "sweepAt", "ours"}
# Neither keys of the table nor of an index: DynamoDB itself refuses another type there.
ATTRIBUTES = {*Record.model_json_schema(by_alias=True)["properties"]} - INDEXED
ATTRIBUTES |= {*"checksumForm receivedAt amount currency status transactionState note body".split()}
SPOILT = st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), st.none() | ANY, min_size=1, max_size=4)
ROW = ["errorType", "message", "chargeId", "occurrences", "firstAt", "lastAt", "mailedAt"]
SPOILT_ERROR = st.dictionaries(st.sampled_from(ROW), ANY, max_size=4)


@settings(max_examples=1, suppress_health_check=list(HealthCheck))
@example(rows=[{"passes": {"L": [{"M": {"number": {"B": b"\xff"}}}]}, "amount": {"N": "1E+120"}}], errors=[{}])
@example(rows=[{"state": None, "passes": {"BS": [b"a"]}}, {"leaseUntil": {"N": "5"}}], errors=[{"lastAt": {"N": "1"}}])
@given(rows=st.lists(SPOILT, min_size=9, max_size=18), errors=st.lists(SPOILT_ERROR, min_size=2, max_size=2))
def test_spoilt_rows_are_survived_everywhere(
    deployed: Deployed,
    followups: Followups,
    poller: Poller,
    rows: list[dict[str, Any]],
    errors: list[dict[str, Any]],
) -> None:
    """Any type in any attribute: no traceback, no card number, and nothing that a terminal obeys, in any output."""
    deployed.world.empty()
    _put(deployed, rows, errors)
    for command in ("list --state pending --state failed", f"show {CHARGE}", "watch --once", "watch --json"):
        _runs(followups, *command.split())
        _runs(followups, *command.split(), "--json")
    for command in ("verify", "replay --dry-run", "replay --yes", "resolve --reason x", "forget --yes"):
        _runs(followups, *command.split(), ORDER)
    client = application(poller).test_client()
    for page in ("/", f"/?find={CHARGE}", f"/?charge={CHARGE}&notification=0"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert not OBEYED.search(answer.text)
        assert CARD not in answer.text


def test_spoilt_row_is_shown_as_spoilt_everywhere(deployed: Deployed, followups: Followups, poller: Poller) -> None:
    """One word for it in list, show, watch and page, with what is wrong; `replay` leaves it, exit 1."""
    _put(deployed, [{"leaseUntil": {"N": "5"}}], [])
    fault = "leaseUntil: expected a UTC time"
    for command in (["list"], ["show", CHARGE], ["watch", "--once"]):
        said = followups(*command).out
        assert fault in said
        assert "spoilt" in said
        [found] = followups(*command, "--json").objects
        assert '"status": "spoilt"' in json.dumps(found)
    assert f"correct it by hand: {fault}" in followups("replay", ORDER, code=1).out
    page = application(poller).test_client().get("/").text
    assert f"spoilt: {fault}" in page


def _runs(followups: Followups, *command: str) -> None:
    followups.capsys.readouterr()
    assert followups.deployed.run(*command) in ({0, 1, 2} if command[0] == "verify" else {0, 1})
    said = followups.capsys.readouterr()
    assert not OBEYED.search(said.out + said.err), command
    assert CARD not in said.out + said.err, command
    assert "--json" in command or command[0] == "watch" or said.out


def _put(deployed: Deployed, rows: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
    client, names = deployed.world.client("dynamodb"), deployed.world.environment
    for number, row in enumerate(rows):
        (deployed.put_failed if number % 3 == 1 else deployed.put_waiting)(str(number))
        key = {"chargeId": {"S": CHARGE}, "notificationId": {"S": str(number)}}
        item = client.get_item(TableName=names[NOTIFY], Key=key)["Item"] | row
        kept = {name: value for name, value in item.items() if value is not None}
        client.put_item(TableName=names[NOTIFY], Item=kept)

    for number, row in enumerate(errors):
        item = {"errorId": {"S": error_id(str(number), "failed", 2)}} | row
        client.put_item(TableName=names[ERRORS], Item=item)
