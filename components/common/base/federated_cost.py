"""The cost of what the steps of a chain trained on clients. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

from pydantic import Field

from components.common.base.options import Options, is_none


class FederatedCost(Options):
    """The cost of the federated steps that made a model, all together, without the baseline's training.

    Attributes:
        rounds: Number of rounds.
        bytes_up: Bytes that clients sent.
        bytes_down: Bytes that the server sent.
        epsilon: ε of the differential privacy of clients, of these rounds and the baseline's together; None without
            noise.
    """

    rounds: int
    bytes_up: int
    bytes_down: int
    epsilon: float | None = Field(default=None, exclude_if=is_none)

    @property
    def traffic(self) -> int:
        """Bytes in both directions."""
        return self.bytes_up + self.bytes_down
