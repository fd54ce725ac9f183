"""What the `mirror` step achieves in a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from components.common.models.invariants import Invariant, percent

if TYPE_CHECKING:
    from components.common.tflite.kernel import Kernel

# Axis of a convolution's width in a TFLite file: (output channels, height, width, input channels).
_WIDTH = 2


class Mirrored(Invariant):
    """Weights equal those on the other side of the kernel.

    Attributes:
        share: Least share of the weights that do.
    """

    figure: ClassVar[str] = "mirrored"
    bound: ClassVar[Literal["min", "max"]] = "min"
    keeps: ClassVar[str] = "symmetry"
    headline: ClassVar[str] = "least_mirrored"
    column: ClassVar[str] = "mirrored"
    layer_figure: ClassVar[str] = "mirrored"
    title: ClassVar[str] = "weights that equal their mirror image"
    projection: ClassVar[str] = "tests.components.dummy_technique.projection.keep_symmetry"
    fix: ClassVar[str] = "name the other layers in `include`"

    share: float = 1.0

    @property
    def wanted(self) -> float:
        """The least share."""
        return self.share

    def measure(self, kernel: Kernel) -> float | None:
        """The share of weights that equal their mirror image; None for a kernel without a width."""
        if kernel.operator != "CONV_2D" or kernel.values.ndim != 4:
            return None
        return float((kernel.values == kernel.values[:, :, ::-1]).mean())

    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words, both shares."""
        return "symmetry", f"{self.share:.1%}", "" if got is None else percent(got)

    @classmethod
    def text(cls, value: float) -> str:
        """A share."""
        return f"{value:.1%}"
