"""Options of the selection among the candidates that pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from components.common.base.options import Options

Figure = Literal["size", "gzip_size", "brotli_size", "latency", "memory", "flash"]

_MINIMIZED: dict[Figure, str] = {
    "size": "size",
    "gzip_size": "gzip size",
    "brotli_size": "Brotli size",
    "memory": "memory",
    "flash": "flash",
    "latency": "ratio of latency to the baseline's",
}


class SelectOptions(Options):
    """The figure by which the winner is chosen. Ties go to the higher accuracy, then to the name.

    `accuracy` is the gate's metric, taken in its own direction: a lower error is a better one.
    """

    minimize: Figure | None = Field(
        default=None,
        description="size: bytes of the file; gzip_size; brotli_size, for target: web; "
        "latency: its ratio to the baseline's, measured in turns, at "
        "the gate's percentile; memory: the bytes that the target's runtime takes; flash: bytes of the file that is "
        "deployed, the packed one if there is one; both for target: microcontroller.",
    )
    maximize: Literal["accuracy"] | None = Field(default=None, description="The gate's metric.")
    of: str | None = Field(
        default=None,
        min_length=1,
        description="Which metric `maximize` means, if the gate has several: its output, its name, or both as "
        "in `AUC of digit`.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> SelectOptions:
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError(
                "write either `minimize: size | gzip_size | brotli_size | latency | memory | flash` or `maximize: "
                "accuracy`"
            )
        if self.of is not None and self.maximize is None:
            raise ValueError(
                f"of: {self.of} says which metric to maximize; write maximize: accuracy, or remove it"
            )
        return self

    @property
    def minimized(self) -> str | None:
        """The minimized figure, for messages; None if accuracy is maximized."""
        return _MINIMIZED[self.minimize] if self.minimize else None


def named_by(metrics: Sequence[tuple[str, str, str | None]], of: str) -> list[int]:
    """Indices of the metrics that `select.of` names.

    Args:
        metrics: Title, TFMA's class name and output of each; the output is None if the model has one output.
        of: The option.
    """
    return [index for index, names in enumerate(metrics) if of in names]
