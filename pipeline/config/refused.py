"""A validator's refusal of a part of the value that it is given."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

# pydantic's type of these errors.
REFUSED = "refused"


def refused(message: str, *within: str | int) -> PydanticCustomError:
    """The error to raise for a mistake at a key or index of the value that is being validated.

    A validator's ValueError can only blame the whole value. `pipeline.config.explanation` adds `within` to the
    location.
    """
    return PydanticCustomError(REFUSED, "{message}", {"message": message, "within": within})
