"""Bounds on measured figures. A bound that is met exactly is met."""

from __future__ import annotations

import operator
from collections.abc import Sized
from typing import Protocol

from pydantic import Field, model_validator

from components.common.base.byte_sizes import Bytes
from components.common.base.limit_bounds import BOUNDS, LimitBound
from components.common.base.options import Options
from components.common.base.quantities import bytes_text, exact_bytes_text, pair
from components.measurer.params import CONFIDENCE


class Limits(Options):
    """Bounds on one measured figure. A bound that is met exactly is met.

    Attributes:
        min: Lower limit of the figure.
        max: Upper limit of the figure.
        max_drop: It is at most this much worse than the baseline's, in its own unit.
        max_ratio: It is at most this many times the baseline's.
        min_ratio: It is at least this many times the baseline's.
    """

    min: float | None = Field(default=None, description="Lower limit of the figure.")
    max: float | None = Field(default=None, description="Upper limit of the figure.")
    max_drop: float | None = Field(
        default=None, description="Largest drop from the baseline, in the figure's unit."
    )
    max_ratio: float | None = Field(
        default=None, gt=0, description="Largest ratio to the baseline's figure."
    )
    # Left out if it is not written, so that no candidate is judged again.
    min_ratio: float | None = Field(
        default=None, gt=0, exclude_if=operator.not_, description="Smallest ratio to the baseline's figure."
    )

    @model_validator(mode="after")
    def _some_value_passes(self) -> Limits:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is above max ({self.max:g}): nothing could pass")
        if None not in (self.min_ratio, self.max_ratio) and (self.min_ratio or 0) > (self.max_ratio or 0):
            raise ValueError(
                f"min_ratio ({self.min_ratio:g}) is above max_ratio ({self.max_ratio:g}): nothing could pass"
            )
        return self

    def bounds(self) -> dict[LimitBound, float]:
        """The bounds that are set, by name."""
        named = {bound: getattr(self, bound) for bound in BOUNDS}
        return {bound: value for bound, value in named.items() if value is not None}


class AccuracyLimits(Limits):
    """Bounds on an accuracy, or on the unfavourable end of its interval."""

    confidence: float | None = Field(
        default=None,
        description="0.95: limits apply to the unfavourable end of the figure's 95 % bootstrap interval, so a result "
        "that too few examples support does not pass. Default: they apply to the figure itself.",
    )

    @model_validator(mode="after")
    def _confidence_is_measured(self) -> AccuracyLimits:
        if self.confidence is not None and self.confidence != CONFIDENCE:
            raise ValueError(
                f"confidence {self.confidence:g} is not the level of the intervals; write {CONFIDENCE}, or remove it"
            )
        if self.confidence is not None and not self.bounds():
            raise ValueError(
                "confidence belongs to limits; write min, max, max_drop or max_ratio beside it"
            )
        return self


class SizeLimits(Limits):
    """Bounds on bytes. Sizes can be written as "60 kB" or "60 KiB"."""

    min: Bytes | None = Field(default=None, description="Lower limit in bytes.")
    max: Bytes | None = Field(default=None, description="Upper limit in bytes.")
    max_drop: Bytes | None = Field(
        default=None, description="Largest increase over the baseline, in bytes."
    )

    @model_validator(mode="after")
    def _some_value_passes(self) -> SizeLimits:
        if self.min is not None and self.max is not None and self.min > self.max:
            low, high = pair(self.min, self.max, [bytes_text, exact_bytes_text], "B")
            raise ValueError(f"min ({low}) is above max ({high}): nothing could pass")
        return self


class LoadLimits(Limits):
    """Bounds on a figure of a model server. They hold by REST and by gRPC, batched and unbatched."""


class ShareLimits(Options):
    """Bounds on a share of the eval examples, 0 to 1."""

    min: float | None = Field(default=None, gt=0, le=1, description="Lower limit of the share.")

    def bounds(self) -> dict[LimitBound, float]:
        """The bounds that are set, by name."""
        return {} if self.min is None else {"min": self.min}


class Bounded(Protocol):
    """Limits of any kind."""

    def bounds(self) -> Sized: ...


def without_bounds(limits: Bounded) -> bool:
    """Whether nothing is limited."""
    return not limits.bounds()
