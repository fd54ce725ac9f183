"""The effect of pruning on a layer: a share of zeros, or zeros in a pattern."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from components.common.models.invariants import Invariant, percent

if TYPE_CHECKING:
    from components.common.tflite.kernel import Kernel

# Half a point; losing a mask costs far more.
TOLERANCE = 0.005


class _Zeros(Invariant):
    """Zeros stay zero."""

    bound: ClassVar[Literal["min", "max"]] = "min"
    keeps: ClassVar[str] = "zeros"
    column: ClassVar[str] = "sparsity"
    layer_figure: ClassVar[str] = "sparsity"
    title: ClassVar[str] = "zeros among the weights"
    projection: ClassVar[str] = "components.pruner.projection.keep_zeros"

    @classmethod
    def layer_text(cls, value: float) -> str:
        """A share of a layer's weights."""
        return f"{value:.1%}"


class Sparsity(_Zeros):
    """A share of the weights is zero.

    Attributes:
        least: The share.
        block: Rows and columns of the blocks that zeros come in.
    """

    figure: ClassVar[str] = "sparsity"
    headline: ClassVar[str] = "least_layer_sparsity"
    tolerance: ClassVar[float] = TOLERANCE

    least: float
    block: tuple[int, int] | None = None

    @property
    def wanted(self) -> float:
        """The least share."""
        return self.least

    def measure(self, kernel: Kernel) -> float:
        """The share of weights that are zero."""
        return kernel.sparsity()

    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words, both shares."""
        return "sparsity", f"{self.least:.1%}", "" if got is None else percent(got)

    @classmethod
    def text(cls, value: float) -> str:
        """The least share of zeros in a layer."""
        return f"{value:.1%}"

    def zero_share(self) -> float:
        """The share that was asked for."""
        return self.least

    def zero_block(self) -> tuple[int, int] | None:
        """The blocks that were asked for."""
        return self.block


class MByN(_Zeros):
    """In every block of n consecutive weights along the input channels, m are zero."""

    figure: ClassVar[str] = "m_by_n"
    headline: ClassVar[str] = "least_m_by_n"

    m: int
    n: int

    @property
    def wanted(self) -> float:
        """Every block."""
        return 1.0

    def measure(self, kernel: Kernel) -> float | None:
        """The share of blocks that have enough zeros; None if there is no complete block."""
        return kernel.m_by_n(self.m, self.n)

    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words, the share of blocks."""
        shown = "" if got is None else f"kept by {percent(got)} of the blocks"
        return f"{self.m}:{self.n} sparsity", "every block", shown

    @classmethod
    def text(cls, value: float) -> str:
        """The least share of blocks in a layer."""
        return f"m:n {value:.0%}"

    def zero_share(self) -> float:
        """The share of weights that are zero if every block has no more than m zeros."""
        return self.m / self.n


def reachable(sparsity: float, weights: int) -> float:
    """The sparsity to hold a layer to: in one of few weights, whole ones may miss the target by more.

    Args:
        sparsity: The target.
        weights: Number of the layer's weights, or of the blocks that become zero as one.

    Returns:
        The target, or what the next smaller number of zeros gives if that misses it by more than TOLERANCE.
    """
    whole = math.floor(sparsity * weights + 1e-9) / weights
    return sparsity if whole >= sparsity - TOLERANCE else whole
