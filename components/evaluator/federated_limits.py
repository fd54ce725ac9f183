"""Limits on what the federated training of the baseline cost, and on what it gave to its clients."""

from __future__ import annotations

from pydantic import Field

from components.common.base.byte_sizes import Bytes
from components.common.base.options import Options


class FederatedLimits(Options):
    """Bounds on one figure of the training. A bound that is met exactly is met."""

    max: float | None = Field(default=None, description="Upper limit of the figure.")

    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by name."""
        named = {bound: getattr(self, bound) for bound in type(self).model_fields}
        return {bound: value for bound, value in named.items() if value is not None}


class TrafficLimits(FederatedLimits):
    """A bound on the bytes of all rounds, in both directions."""

    max: Bytes | None = Field(default=None, gt=0, description="Upper limit in bytes.")


class WorstClientLimits(FederatedLimits):
    """Bounds on the metric of the client that is worst off."""

    min: float | None = Field(default=None, description="Lower limit of the figure.")
