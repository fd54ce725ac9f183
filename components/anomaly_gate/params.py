"""Parameters of the gate: `data.validation` of a config, and which features are labels. Imports no TensorFlow."""

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
    "leak",
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
    """Findings that are allowed in one feature."""

    feature: str = Field(min_length=1, description="Name of the feature.")
    kinds: list[Kind] = Field(min_length=1, description="Kinds of findings, as named in messages.")


class Validation(Options):
    """Limits on the data; if they are not met, nothing is trained."""

    max_skew: float | None = Field(
        default=0.1,
        ge=0,
        le=1,
        description="How far the distribution of a feature may differ between the splits: the largest "
        "difference in the share of a category (text, classes), or of the examples up to a value (numbers). "
        "Differences that chance alone explains in small splits are always allowed. null turns the check off.",
    )
    max_unseen: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of a text feature's values in eval that train does not have. For a label it is "
        "always 0.",
    )
    max_duplicates: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Largest share of eval examples with the same features as a train example. A share that train has "
        "within itself is always allowed.",
    )
    min_present: float = Field(
        default=0.01, ge=0, le=1, description="Smallest share of train examples that have a feature."
    )
    min_examples: int = Field(default=20, ge=1, description="Smallest number of examples of a split.")
    allow: list[Allowed] = Field(
        default=[], description="Findings to allow, e.g. [{feature: tract, kinds: [missing]}]."
    )

    def allows(self, feature: str, kind: str) -> bool:
        """Whether a kind of finding is allowed in a feature."""
        return any(entry.feature == feature and kind in entry.kinds for entry in self.allow)


class Labels(Options):
    """The features that are predicted.

    Attributes:
        features: Features that are labels, if the data have them.
        classes: Whether they are classes rather than amounts.
        perhaps_amounts: Whether some may still be amounts: there are several labels, or a preprocessing_fn
            that may make classes of them.
        names: Every class of a text label, if the config lists them.
    """

    features: list[str]
    classes: bool
    perhaps_amounts: bool
    names: list[str] = []
