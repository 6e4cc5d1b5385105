"""Checked shapes of what comes in: a wrong field becomes an error of ours that names it and what was expected."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from callback.errors import BadInput

# Visible ASCII, spaces only inside: what can stand in a key, a schedule's input and a URL without surprise.
ID_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
# DynamoDB's limits for a partition key and a sort key, in bytes; ids are ASCII, so also in characters.
MAX_ID, MAX_SORT_ID = 2048, 1024
ID_EXPECTED = f"1 to {MAX_ID} visible ASCII characters"
SORT_ID_EXPECTED = f"1 to {MAX_SORT_ID} visible ASCII characters"

Id = Annotated[StrictStr, Field(pattern=ID_PATTERN, max_length=MAX_ID, description=ID_EXPECTED)]
SortId = Annotated[StrictStr, Field(pattern=ID_PATTERN, max_length=MAX_SORT_ID, description=SORT_ID_EXPECTED)]


def is_sort_id(text: object) -> bool:
    """Tell whether this can be a notification id."""
    return isinstance(text, str) and len(text) <= MAX_SORT_ID and bool(re.fullmatch(ID_PATTERN, text))


class Shape(BaseModel):
    """A model in which each field's description says what is expected; unknown fields are tolerated."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, given: object, refusal: type[BadInput]) -> Self:
        """Check what was given, or raise the refusal for its first wrong field."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            where = error.errors(include_input=False)[0]["loc"]
            field = str(where[0]) if where else "event"
            raise refusal(field, cls._expected().get(field, "a JSON object")) from error

    @classmethod
    def _expected(cls) -> dict[str, str]:
        return {
            str(alias): str(field.description)
            for name, field in cls.model_fields.items()
            for alias in getattr(field.validation_alias, "choices", (field.validation_alias or name,))
        }
