"""The content of a TFLite file, in numbers. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import TypeAdapter

from components.common.base.document import LEFT_OUT_IF_EMPTY


@dataclass(frozen=True)
class Layer:
    """Weights of a layer as the file has them.

    Attributes:
        dtype: E.g. `int8`.
        weights: Number of weights.
        sparsity: Share of zeros, 0 to 1.
        unique: Number of distinct values.
        figures: Figures of the layer's other invariants, by `Invariant.layer_figure`.
    """

    dtype: str
    weights: int
    sparsity: float
    unique: int
    figures: Annotated[dict[str, float | None], LEFT_OUT_IF_EMPTY] = field(default_factory=dict)

    def figure(self, name: str) -> float | None:
        """A figure by `Invariant.layer_figure`; None if it was not measured."""
        return {"sparsity": self.sparsity, "unique": self.unique, **self.figures}.get(name)


def layers_from_json(text: str) -> dict[str, Layer]:
    """Layer → its weights, from the `layers` property of a `Model` artifact.

    Raises:
        ValueError: If the text is not that.
    """
    return TypeAdapter(dict[str, Layer]).validate_json(text)


@dataclass(frozen=True)
class FileFacts:
    """The content of a TFLite file, as components.common.models.invariants.file_facts reads it.

    Attributes:
        inputs: Name → dtype.
        outputs: Name → dtype.
        activations: dtype → number of tensors between operators.
        operators: Operator → how many of it.
        layers: Layer → its weights.
    """

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    activations: dict[str, int] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> FileFacts:
        """From JSON values."""
        return TypeAdapter(cls).validate_python(facts)
