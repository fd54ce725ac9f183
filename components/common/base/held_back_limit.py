"""Metrics, with their limits, that are measured on training examples before a file is judged. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from components.common.base import metric_direction
from components.common.base.limit_bounds import BOUNDS, LimitBound, compared, meets
from components.common.base.options import Options, is_none


def _bound(description: str) -> Any:
    return Field(default=None, exclude_if=is_none, description=description)


class HeldBackLimit(Options):
    """A metric and its bounds on training examples that a conversion takes no ranges from."""

    metric: str = Field(description="A metric of gate.accuracy that tf_keras has, too, or agreement.")
    against: Literal["label", "baseline"] | None = Field(
        default=None,
        exclude_if=is_none,
        description="What predictions are compared with; as in gate.accuracy.",
    )
    output: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="The output that it judges, if the model has several.",
    )
    config: dict[str, Any] = Field(default={}, description="Arguments of the metric's constructor.")
    higher_is_better: bool | None = Field(
        default=None,
        exclude_if=is_none,
        description="Whether higher is better. Default: from the metric's name.",
    )
    min: float | None = _bound("Lower limit of the metric.")
    max: float | None = _bound("Upper limit of the metric.")
    max_drop: float | None = _bound("Largest drop from the baseline, in the metric's unit.")
    max_ratio: float | None = _bound("Largest ratio to the baseline's metric.")
    min_ratio: float | None = _bound("Smallest ratio to the baseline's metric.")

    def bounds(self) -> dict[LimitBound, float]:
        """The bounds that are set, by name."""
        named = {bound: getattr(self, bound) for bound in BOUNDS}
        return {bound: value for bound, value in named.items() if value is not None}

    def ascending(self) -> bool:
        """Whether a higher value is better; if that is not known, it is not."""
        if self.higher_is_better is not None:
            return self.higher_is_better
        return bool(metric_direction.higher_is_better(self.metric))

    def title(self) -> str:
        """The metric as people read it: `Precision(top_k=2) of tags`."""
        arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(self.config.items()))
        name = f"{self.metric}({arguments})" if arguments else self.metric
        return f"{name} of {self.output}" if self.output else name

    def missed(self, value: float, baseline: float) -> list[LimitBound]:
        """The bounds that a value does not meet.

        Args:
            value: The file's metric.
            baseline: The baseline's, on the same examples.
        """
        return [
            bound
            for bound, limit in self.bounds().items()
            if not meets(bound, compared(bound, value, baseline, self.ascending()), limit)
        ]

    def better(self) -> Callable[[float], float]:
        """A key that is higher for better values."""
        sign = 1 if self.ascending() else -1
        return lambda value: sign * value
