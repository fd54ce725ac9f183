"""What a step achieved in a layer, and has to hold in every later model up to the deployed file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import TFLiteFile

# Half a point; losing a mask costs far more.
TOLERANCE = 0.005


class LostInvariantError(Exception):
    """A model does not keep what it was asked for; the message names the layers."""


@dataclass(frozen=True)
class Invariants:
    """What holds for the kernel of a layer; None where nothing was asked for.

    Attributes:
        sparsity: Least share of weights that are zero.
        m_by_n: (m, n): m of n consecutive weights along the input channels are zero, in every block.
        clusters: Greatest number of distinct values.
        per_channel: Whether `clusters` counts the values of each output channel by itself.
    """

    sparsity: float | None = None
    m_by_n: tuple[int, int] | None = None
    clusters: int | None = None
    per_channel: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Invariants:
        """From what `dataclasses.asdict` made, through JSON."""
        m_by_n = values.get("m_by_n")
        return cls(**{**values, "m_by_n": tuple(m_by_n) if m_by_n else None})

    def has_zeros(self) -> bool:
        """Whether zeros have to stay zero."""
        return self.sparsity is not None or self.m_by_n is not None

    def kept(self) -> str:
        """What later steps keep, in words: "zeros and values"; empty where nothing was asked for."""
        kept = ["zeros"] if self.has_zeros() else []
        return " and ".join([*kept, *(["values"] if self.clusters is not None else [])])


@dataclass(frozen=True)
class Check:
    """One invariant, held against a kernel.

    Attributes:
        layer: Name of the Keras layer.
        figure: `sparsity`, `m_by_n` or `clusters`.
        bound: `min` or `max`: which way `wanted` bounds.
        wanted: What was asked for; for `m_by_n` the share of blocks, which is 1.
        got: What was measured; None where the layer was not found.
        pattern: For `m_by_n`, as in "2:4".
    """

    layer: str
    figure: str
    bound: Literal["min", "max"]
    wanted: float
    got: float | None
    pattern: str = ""

    @property
    def met(self) -> bool:
        """Whether it holds."""
        if self.got is None:
            return False
        if self.bound == "max":
            return self.got <= self.wanted
        return self.got >= self.wanted - (TOLERANCE if self.figure == "sparsity" else 0)

    def reason(self, where: str = "") -> str:
        """Why it does not hold, in words.

        Args:
            where: As in " in the file", behind the figure.
        """
        if self.figure == "clusters":
            what, wanted, got = "number of distinct weights", f"at most {self.wanted:.0f}", self.got
            shown = f"{got:.0f}" if got is not None else ""
        elif self.figure == "m_by_n":
            what, wanted = f"{self.pattern} sparsity", "every block"
            shown = f"kept by {_percent(self.got)} of the blocks" if self.got is not None else ""
        else:
            what, wanted = "sparsity", f"{self.wanted:.1%}"
            shown = _percent(self.got) if self.got is not None else ""
        found = f"is {shown}{where}" if shown else f"was not found{where}"
        return f"{what} of layer {self.layer} {found}, {wanted} was asked for"


def _percent(share: float) -> str:
    """A share that is too small, rounded down: 99.99 % of the blocks are not 100.0 %."""
    return f"{math.floor(1000 * share + 1e-6) / 1000:.1%}"


def check(found: Mapping[str, Sequence[Kernel]], wanted: Mapping[str, Invariants]) -> list[Check]:
    """Holds kernels against what was asked for.

    Args:
        found: Layer → its kernels; all of them have to hold it.
        wanted: Layer → its invariants.

    Returns:
        A check for each invariant of each layer, by name of the layer.
    """
    checks: list[Check] = []
    for layer, invariants in sorted(wanted.items()):
        kernels = found.get(layer, [])
        if invariants.sparsity is not None:
            got = min((kernel.sparsity() for kernel in kernels), default=None)
            checks.append(Check(layer, "sparsity", "min", invariants.sparsity, got))
        if invariants.m_by_n is not None:
            m, n = invariants.m_by_n
            shares = [share for kernel in kernels if (share := kernel.m_by_n(m, n)) is not None]
            checks.append(Check(layer, "m_by_n", "min", 1.0, min(shares, default=None), f"{m}:{n}"))
        if invariants.clusters is not None:
            counts = [k.unique_per_channel() if invariants.per_channel else k.unique() for k in kernels]
            checks.append(Check(layer, "clusters", "max", invariants.clusters, max(counts, default=None)))
    return checks


def refuse_lost(checks: Iterable[Check]) -> None:
    """Raises a LostInvariantError where a check does not hold."""
    lost = [found.reason() for found in checks if not found.met]
    if lost:
        raise LostInvariantError("; ".join(lost))


def reachable(sparsity: float, weights: int) -> float:
    """The sparsity to hold a layer to: in one of few weights, whole ones may miss the target by more.

    Args:
        sparsity: The target.
        weights: Number of the layer's weights, or of the blocks that become zero as one.

    Returns:
        The target, or what the next smaller number of zeros gives where that misses by over TOLERANCE.
    """
    whole = math.floor(sparsity * weights + 1e-9) / weights
    return sparsity if whole >= sparsity - TOLERANCE else whole


def facts_of(kernels: Mapping[str, Sequence[Kernel]]) -> dict[str, dict[str, Any]]:
    """Layer → its weights' dtype, number, sparsity and number of distinct values, for lineage.

    Args:
        kernels: Layer → its kernels; the first one stands for the layer.
    """
    return {
        layer: {
            "dtype": kernel.dtype,
            "weights": int(kernel.values.size),
            "sparsity": round(kernel.sparsity(), 6),
            "unique": kernel.unique(),
        }
        for layer, (kernel, *_) in sorted(kernels.items())
    }


def headline(checks: Iterable[Check]) -> dict[str, int | float]:
    """The figure of the layer that is worst off, for each kind of invariant that was asked for.

    Returns:
        `least_layer_sparsity`, `least_m_by_n` (share of blocks) and `most_layer_clusters`, those that
        apply.
    """
    got: dict[str, list[float]] = {}
    for found in checks:
        if found.got is not None:
            got.setdefault(found.figure, []).append(found.got)
    facts: dict[str, int | float] = {}
    if "sparsity" in got:
        facts["least_layer_sparsity"] = min(got["sparsity"])
    if "m_by_n" in got:
        facts["least_m_by_n"] = min(got["m_by_n"])
    if "clusters" in got:
        facts["most_layer_clusters"] = int(max(got["clusters"]))
    return facts


def file_facts(file: TFLiteFile) -> dict[str, Any]:
    """What is in a TFLite file, for lineage and the report: types, operators by count, weights by layer."""
    kernels: dict[str, list[Kernel]] = {}
    for kernel in file.kernels:
        kernels.setdefault(kernel.layer or kernel.tensor, []).append(kernel)
    return {
        "inputs": {name: tensor.dtype for name, tensor in file.inputs.items()},
        "outputs": {name: tensor.dtype for name, tensor in file.outputs.items()},
        "activations": file.activation_dtypes,
        "operators": file.operator_counts,
        "layers": facts_of(kernels),
    }
