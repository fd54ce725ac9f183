"""Options of the selection among the candidates that pass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from components.common.step import Options

Figure = Literal["size", "gzip_size", "latency"]


class SelectOptions(Options):
    """What the winner is best at. Ties go to the higher accuracy, then to the name.

    `accuracy` is the gate's metric, taken in its own direction: a lower error is a better one.
    """

    minimize: Figure | None = Field(
        default=None,
        description="size: bytes of the file; gzip_size; latency: at the gate's percentile.",
    )
    maximize: Literal["accuracy"] | None = Field(default=None, description="The gate's metric.")

    @model_validator(mode="after")
    def _exactly_one(self) -> SelectOptions:
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("write either `minimize: size | gzip_size | latency` or `maximize: accuracy`")
        return self
