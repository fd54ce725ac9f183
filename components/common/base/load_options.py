"""How a served model is measured. Imports no TensorFlow."""

from __future__ import annotations

from pydantic import Field

from components.common.base.options import Options


class LoadOptions(Options):
    """Clients that ask a server without a pause, and the server itself."""

    clients: int = Field(
        default=8, ge=1, le=256, description="Clients that send requests of one example, all at once."
    )
    seconds: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="Seconds of load for each of REST and gRPC, batched and unbatched; candidate and baseline share "
        "them, in turns.",
    )
    threads: int = Field(default=2, ge=1, le=64, description="Batches that the server predicts at once.")
    max_batch: int = Field(default=32, ge=2, description="Most examples of a batch, if there are batches.")

    @staticmethod
    def of_parameter(text: str | None) -> LoadOptions | None:
        """The options of a node's parameter; None if it was given none."""
        return LoadOptions.model_validate_json(text) if text else None
