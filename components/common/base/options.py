"""The base of every section of a config."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self


class Options(BaseModel):
    """A section of the config: immutable, and refusing keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # one validator for the whole config, rather than one for each section
    )

    def canonical_json(self) -> str:
        """Every option, defaults included, as JSON with sorted keys: what the cache key holds."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_canonical(cls, text: str) -> Self:
        """The options that `canonical_json` wrote.

        Options at their defaults are left out first: some validators refuse combinations of options that are
        written, and JSON holds them all.

        Raises:
            ValidationError: If the text does not hold these options.
        """
        values = json.loads(text)
        defaults = cls.model_construct().model_dump(mode="json")
        written = {name: value for name, value in values.items() if defaults.get(name, ...) != value}
        return cls.model_validate_json(json.dumps(written))


def is_none(value: object) -> bool:
    """For `exclude_if`: options that are not set stay out of node parameters, so older results stay cached."""
    return value is None
