"""What clustering achieves in a layer: few distinct values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from components.common.models.invariants import Invariant

if TYPE_CHECKING:
    from components.common.tflite.kernel import Kernel


class Clusters(Invariant):
    """The kernel has few distinct values.

    Attributes:
        most: Greatest number of them.
        per_channel: Whether it counts the values of each output channel by itself.
    """

    figure: ClassVar[str] = "clusters"
    bound: ClassVar[Literal["min", "max"]] = "max"
    keeps: ClassVar[str] = "shared values"
    headline: ClassVar[str] = "most_layer_clusters"
    column: ClassVar[str] = "clusters"
    layer_figure: ClassVar[str] = "unique"
    title: ClassVar[str] = "distinct values"
    projection: ClassVar[str] = "components.clusterer.projection.share_means"
    scale: ClassVar[Literal["share", "logarithmic"]] = "logarithmic"

    most: int
    per_channel: bool = False

    @property
    def wanted(self) -> int:
        """The greatest number of values."""
        return self.most

    def measure(self, kernel: Kernel) -> int:
        """The number of distinct values in the kernel, or in the channel that has the most."""
        return kernel.unique_per_channel() if self.per_channel else kernel.unique()

    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words, both numbers."""
        return "number of distinct weights", f"at most {self.most}", "" if got is None else f"{got:.0f}"

    @classmethod
    def text(cls, value: float) -> str:
        """The number of values in the layer that has the most."""
        return f"{value:.0f}"

    @classmethod
    def layer_text(cls, value: float) -> str:
        """The number of a layer's values."""
        return f"{value:,.0f}"

    def distinct_values(self) -> int:
        """The greatest number of values."""
        return self.most

    def one_scale(self) -> bool:
        """With a scale for each channel, one value would become as many as there are channels."""
        return not self.per_channel
