"""Checked shapes of what comes in: a wrong field becomes an error that names it and what was expected."""

import re
from typing import Annotated, Self

from annotated_types import Predicate
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from callback.errors import BadInput
from callback.redact import is_card_number

# DynamoDB's limits for a partition key, an index key and a sort key.
MAX_ID_BYTES, MAX_SORT_ID_BYTES = 2048, 1024
ID_EXPECTED = f"one line of 1 to {MAX_ID_BYTES} bytes, and no card number"
# The checksum status of what the bank vouches for. All else anybody can send.
PROVED = "valid"
# Line ends separate ids where they are hashed, and a lone surrogate has no UTF-8.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_id(text: str, limit: int = MAX_ID_BYTES) -> bool:
    """Whether a text can be a key."""
    return not _UNUSABLE.search(text) and 0 < len(text.encode()) <= limit and not is_card_number(text)


Id = Annotated[StrictStr, Predicate(is_id), Field(description=ID_EXPECTED)]


class Schema(BaseModel):
    """A model in which each field's description says what is expected; unknown fields are tolerated."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, given: object, raises: type[BadInput]) -> Self:
        """Check what was given. Raises the named error for its first wrong field."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            where = error.errors(include_input=False)[0]["loc"]
            field = str(where[0]) if where else "event"
            expected = {about.alias or name: about.description for name, about in cls.model_fields.items()}
            raise raises(field, expected.get(field) or "a JSON object") from error
