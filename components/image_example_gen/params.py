"""Options of reading images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.common.base.options import Options

# The feature that holds the pixels.
IMAGE_FEATURE = "image"

_Side = Annotated[int, Field(ge=1, le=4096)]


class ImageOptions(Options):
    """Size and channels that every image is converted to."""

    size: list[_Side] = Field(
        min_length=2, max_length=2, description="[height, width] in pixels to resize images to."
    )
    channels: Literal[1, 3] = Field(default=3, description="3: colour (RGB); 1: grey.")

    def values(self) -> int:
        """Number of values of an image."""
        return self.size[0] * self.size[1] * self.channels
