"""Options of the data's validation: `data.validation` in a config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.common.base.options import Options

Kind = Literal[
    "absent",
    "constant",
    "fraction",
    "id",
    "infinite",
    "length",
    "missing",
    "nan",
    "negative",
    "new",
    "presence",
    "schema",
    "shape",
    "skew",
    "type",
    "unseen",
]


class Allowed(Options):
    """What is let pass in one feature."""

    feature: str = Field(min_length=1, description="Name of the feature.")
    kinds: list[Kind] = Field(
        min_length=1, description="Kinds of findings, as the message about them names them."
    )


class Validation(Options):
    """Which data are refused before anything is trained."""

    max_skew: float | None = Field(
        default=0.1,
        ge=0,
        le=1,
        description="How far the distribution of a feature may differ between the splits: the largest "
        "difference in the share of a category (text, classes), or of the examples up to a value (numbers). "
        "What chance alone can make of small splits is always let pass; null: not looked at.",
    )
    max_unseen: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of a text feature's values in eval that train does not have; of a label "
        "there may be none.",
    )
    max_duplicates: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of eval examples whose features are those of a train example; no less "
        "than train has within itself.",
    )
    min_present: float = Field(
        default=0.01, ge=0, le=1, description="Smallest share of train examples that have a feature."
    )
    min_examples: int = Field(default=20, ge=1, description="Smallest number of examples of a split.")
    allow: list[Allowed] = Field(
        default=[], description="Findings to let pass, e.g. [{feature: tract, kinds: [missing]}]."
    )

    def allows(self, feature: str, kind: str) -> bool:
        """Whether a kind of finding is let pass in a feature."""
        return any(entry.feature == feature and kind in entry.kinds for entry in self.allow)
