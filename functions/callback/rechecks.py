"""What Recheck is asked: which pass of which notification. A timer carries it, and the sweep hands it over."""

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field, StrictStr
from pydantic.alias_generators import to_camel

from callback.clock import stamp
from callback.record import Record
from callback.shape import MAX_ID, Id, Shape, SortId

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class RecheckInput(Shape):
    """The input that Recheck accepts (brief: schedule)."""

    model_config = ConfigDict(alias_generator=to_camel)

    version: int = Field(strict=True, ge=1, le=1, description="1")
    charge_id: Id
    notification_id: SortId
    # The shop's own, of any form; the record's is what counts.
    order_id: StrictStr = Field(min_length=1, max_length=MAX_ID, description=f"1 to {MAX_ID} characters")
    number: int = Field(alias="pass", strict=True, ge=1, le=100, description="a number from 1 to 100")
    due_at: StrictStr = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$", description="a UTC time such as 2026-01-31T12:00:00Z"
    )


def recheck_input(record: Record, due: datetime) -> dict[str, object]:
    """Ask for the record's next pass, which is due then."""
    return {"version": 1, **record.ids, "pass": record.next_pass, "dueAt": stamp(due)}


class Rechecks:
    """The Recheck function, as the sweep starts it."""

    def __init__(self, client: "LambdaClient", function: str) -> None:
        self._client = client
        self._function = function

    def start(self, asked: RecheckInput) -> None:
        """Invoke Recheck asynchronously: Lambda retries it, and keeps what it cannot finish."""
        payload = asked.model_dump_json(by_alias=True)
        self._client.invoke(FunctionName=self._function, InvocationType="Event", Payload=payload)
