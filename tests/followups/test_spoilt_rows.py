"""Rows that another program has spoilt: each command and the page survive them, and show them as spoilt."""

import re
from decimal import Decimal
from typing import Any

import pytest

from callback.errors import error_id
from callback.record import Record
from followups.board import application
from followups.watch import Poller
from tests.followups.conftest import Followups, Patch
from tests.support.aws import CHARGE, ORDER
from tests.support.deployed import Deployed

CARD = "4111111111111111"
# What a terminal, a clipboard or a page may act on: escapes, line ends, and changes of the writing direction.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
HOSTILE = f"a\x1b[2J\n\u202e{CARD}"
VALUES: list[Any] = [None, HOSTILE, Decimal("-3.5"), {HOSTILE: [None, {b"\xff", b"a"}, {"b", HOSTILE}]}]
INDEXED = {"chargeId", "notificationId", "orderId", "sweepAt", "ours"}
# Neither keys of the table nor of an index: DynamoDB itself refuses another type there.
ATTRIBUTES = {*Record.model_json_schema(by_alias=True)["properties"]} - INDEXED
ATTRIBUTES |= {*"checksumForm receivedAt amount currency status transactionState note body".split()}
OF_ERROR = "errorType message chargeId occurrences firstAt lastAt mailedAt responseData".split()


@pytest.mark.parametrize("value", VALUES)
def test_spoilt_rows_are_survived_and_shown_everywhere(
    deployed: Deployed, followups: Followups, poller: Poller, monkeypatch: Patch, value: Any
) -> None:
    """Whatever one attribute holds, each output says what is wrong, and has neither a card number nor an escape."""
    for number, name in enumerate(sorted(ATTRIBUTES)):
        put = deployed.put_failed if number % 3 == 1 else deployed.put_waiting
        put(str(number), 60, **{name: value})
    for number, name in enumerate(OF_ERROR):
        id_ = error_id({"chargeId": CHARGE, "notificationId": str(number)}, "failed", 2)
        deployed.world.put("CALLBACK_ERROR_LOG_TABLE", {"errorId": id_, name: value})
    monkeypatch.setattr("followups.tables.MOST_SHOWN", len(ATTRIBUTES))
    client = application(poller).test_client()
    texts = {page: client.get(page).text for page in ("/", f"/?find={CHARGE}")}
    for command in ("list --state pending --state failed", f"show {CHARGE}", "watch --once"):
        texts[command] = followups(*command.split()).out
        texts[f"{command} --json"] = followups(*command.split(), "--json").out
        assert '"status": "spoilt"' in texts[f"{command} --json"]
    assert all(re.search("spoilt.*: expected a ", text, re.DOTALL) for text in texts.values())
    for command in ("verify", "replay --yes", "resolve --reason x", "forget --yes"):
        followups.capsys.readouterr()
        assert deployed.run(*command.split(), ORDER) > 0
        texts[command] = "".join(followups.capsys.readouterr())
    assert "correct it by hand: " in texts["replay --yes"]
    assert [where for where, text in texts.items() if OBEYED.search(text) or CARD in text] == []
