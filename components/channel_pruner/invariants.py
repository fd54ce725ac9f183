"""What removing channels achieves in a layer: fewer output channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from components.common.models.invariants import Invariant

if TYPE_CHECKING:
    from components.common.tflite.kernel import Kernel


class Channels(Invariant):
    """The kernel has few output channels.

    Attributes:
        most: Greatest number of them.
    """

    figure: ClassVar[str] = "channels"
    bound: ClassVar[Literal["min", "max"]] = "max"
    keeps: ClassVar[str] = "channels"
    headline: ClassVar[str] = "most_layer_channels"
    column: ClassVar[str] = "channels"
    layer_figure: ClassVar[str] = "channels"
    title: ClassVar[str] = "output channels"
    projection: ClassVar[str] = "components.channel_pruner.projection.same"
    scale: ClassVar[Literal["share", "logarithmic"]] = "logarithmic"

    most: int

    @property
    def wanted(self) -> int:
        """The greatest number of channels."""
        return self.most

    def measure(self, kernel: Kernel) -> int | None:
        """The number of output channels; None for the depthwise half of a separable convolution."""
        if kernel.operator == "DEPTHWISE_CONV_2D":
            return None
        return int(kernel.values.shape[kernel.output_axis])

    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words, both numbers."""
        return "number of output channels", f"at most {self.most}", "" if got is None else f"{got:.0f}"

    @classmethod
    def text(cls, value: float) -> str:
        """The number of channels of the layer that has the most."""
        return f"{value:.0f}"

    @classmethod
    def layer_text(cls, value: float) -> str:
        """The number of a layer's channels."""
        return f"{value:,.0f}"
