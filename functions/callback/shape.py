"""Checked shapes of what comes in: a wrong field becomes an error of ours that names it and what was expected."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from callback.errors import BadInput

# DynamoDB's limits for a partition key and a sort key, in bytes; ids are ASCII, so also in characters.
MAX_ID, MAX_SORT_ID = 2048, 1024
ID_EXPECTED = f"1 to {MAX_ID} visible ASCII characters"
SORT_ID_EXPECTED = f"1 to {MAX_SORT_ID} visible ASCII characters"
# Visible ASCII, spaces only inside: what can stand in a key, a schedule's input and a URL without surprise.
_PATTERN = r"^[!-~]([ -~]*[!-~])?$"

Id = Annotated[StrictStr, Field(pattern=_PATTERN, max_length=MAX_ID, description=ID_EXPECTED)]
SortId = Annotated[StrictStr, Field(pattern=_PATTERN, max_length=MAX_SORT_ID, description=SORT_ID_EXPECTED)]


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
            expected = {about.alias or name: about.description for name, about in cls.model_fields.items()}
            raise refusal(field, expected.get(field) or "a JSON object") from error
