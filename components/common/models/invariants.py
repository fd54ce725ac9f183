"""Properties of layers that a step creates and every later model keeps, up to the deployed file.

Each technique defines its own kinds in a module of its folder. A model's record holds them by the dotted path
of their class, so that whatever loads the model can measure them: nothing here lists techniques.
Imports neither TensorFlow nor NumPy.
"""

from __future__ import annotations

import abc
import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from components.common.base.errors import ParedownError
from components.common.base.options import Options

if TYPE_CHECKING:
    from components.common.tflite.kernel import Kernel
    from components.common.tflite.tflite_file import TFLiteFile

# Figures of every layer, whether a step was asked for them or not.
_OF_ALL = ("sparsity", "unique")
_PATH = "invariant"
# In a layer of fewer weights, one of them is more than a tenth.
_FEW_WEIGHTS = 10


class LostInvariantError(ParedownError):
    """A model does not keep what it was asked for; the message names the layers."""


class Invariant(Options, abc.ABC):
    """A property of the kernel of a layer. A subclass has fields for the requested values.

    Attributes:
        figure: Name in judgements: `figure[layer]`.
        bound: Which way `wanted` bounds what is measured.
        keeps: Text for what later steps keep: "zeros".
        headline: Name of the fact about the layer that is worst off.
        column: Head of that fact's column in tables.
        layer_figure: The fact about each layer that shows the invariant.
        title: The same in words, as heads of tables and charts have it.
        projection: Dotted path of a function of the invariant and the values of a Keras kernel that keeps it. It
            returns a function that takes the kernel after a training step to the nearest one that keeps the same.
        fix: What to do if a later step or the file lost it.
        scale: How a chart draws it: a share from 0 to 1, or a number on a logarithmic axis.
        tolerance: How far beyond `wanted` a value may be that meets it.
    """

    figure: ClassVar[str]
    bound: ClassVar[Literal["min", "max"]]
    keeps: ClassVar[str]
    headline: ClassVar[str]
    column: ClassVar[str]
    layer_figure: ClassVar[str]
    title: ClassVar[str]
    projection: ClassVar[str]
    fix: ClassVar[str] = "leave the layer out with `exclude`"
    scale: ClassVar[Literal["share", "logarithmic"]] = "share"
    tolerance: ClassVar[float] = 0.0

    @property
    @abc.abstractmethod
    def wanted(self) -> float:
        """What was asked for."""

    @abc.abstractmethod
    def measure(self, kernel: Kernel) -> float | None:
        """The figure of a kernel, in Keras or in a TFLite file; None if it cannot be measured."""

    @abc.abstractmethod
    def shortfall(self, got: float | None) -> tuple[str, str, str]:
        """In words: the figure, what was asked for, and what was measured; the latter is empty for None."""

    @classmethod
    @abc.abstractmethod
    def text(cls, value: float) -> str:
        """The headline as tables show it."""

    @classmethod
    def layer_text(cls, value: float) -> str:
        """The same in a sentence, or of one layer."""
        return cls.text(value)

    def met(self, got: float) -> bool:
        """Whether a measured value is within the bound."""
        if self.bound == "max":
            return got <= self.wanted + self.tolerance
        return got >= self.wanted - self.tolerance

    def zero_share(self) -> float:
        """Least share of the weights that are zero."""
        return 0.0

    def zero_block(self) -> tuple[int, int] | None:
        """Rows and columns of the blocks that zeros come in, if they do."""
        return None

    def one_scale(self) -> bool:
        """Whether the kernel needs one scale, as equal weights of all channels have to stay equal."""
        return False

    def distinct_values(self) -> int | None:
        """How many distinct values the kernel has at most, as a whole or in each channel; None if that is open."""
        return None

    def to_json(self) -> dict[str, Any]:
        """The invariant, with the dotted path of its class."""
        return {_PATH: f"{type(self).__module__}.{type(self).__qualname__}", **self.model_dump(mode="json")}


Asked = Mapping[str, Sequence[Invariant]]


def named(path: str) -> Any:
    """The object that a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def from_json(values: Mapping[str, Any]) -> Invariant:
    """Reads the JSON of `Invariant.to_json`.

    Raises:
        TypeError: If the path is not that of an invariant.
    """
    kind = named(values[_PATH])
    if not (isinstance(kind, type) and issubclass(kind, Invariant)):
        raise TypeError(f"{values[_PATH]} is not an invariant")
    return kind.model_validate({key: value for key, value in values.items() if key != _PATH}, strict=False)


def kept(asked: Iterable[Invariant | type[Invariant]]) -> str:
    """Text for what later steps keep: "zeros and shared values"; empty if nothing was asked for."""
    return " and ".join(dict.fromkeys(invariant.keeps for invariant in asked))


def zero_share(asked: Iterable[Invariant]) -> float:
    """Least share of a layer's weights that are zero."""
    return max((invariant.zero_share() for invariant in asked), default=0.0)


def one_scale(asked: Iterable[Invariant]) -> bool:
    """Whether a layer's kernel needs one scale in place of one for each channel."""
    return any(invariant.one_scale() for invariant in asked)


@dataclass(frozen=True)
class Check:
    """One invariant, compared with the kernels of a layer.

    Attributes:
        layer: Name of the Keras layer.
        invariant: What was asked for.
        got: What was measured, of several kernels the worst; None if there is nothing to measure.
        weights: Number of weights that it was measured of; None if it is not known.
    """

    layer: str
    invariant: Invariant
    got: float | None
    weights: int | None = None

    @property
    def figure(self) -> str:
        """The invariant's name."""
        return self.invariant.figure

    @property
    def bound(self) -> Literal["min", "max"]:
        """Which way `wanted` bounds `got`."""
        return self.invariant.bound

    @property
    def wanted(self) -> float:
        """What was asked for."""
        return self.invariant.wanted

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.got is not None and self.invariant.met(self.got)

    def reason(self, where: str = "") -> str:
        """Message about why it does not hold.

        Args:
            where: As in " in the file", behind the figure.
        """
        what, wanted, shown = self.invariant.shortfall(self.got)
        found = f"is {shown}{where}" if shown else f"was not found{where}"
        return f"{what} of layer {self.layer} {found}, {wanted} was asked for"


def percent(share: float) -> str:
    """A share that is too small, rounded down: 99.99 % of the blocks are not 100.0 %."""
    return f"{math.floor(1000 * share + 1e-6) / 1000:.1%}"


def _worst(kind: Invariant | type[Invariant], values: Iterable[float]) -> float | None:
    return max(values, default=None) if kind.bound == "max" else min(values, default=None)


def check(found: Mapping[str, Sequence[Kernel]], asked: Asked) -> list[Check]:
    """Holds kernels against what was asked for.

    Args:
        found: Layer → its kernels; all of them have to hold it.
        asked: Layer → its invariants.

    Returns:
        A check for each invariant of each layer, by name of the layer.
    """
    checks = []
    for layer, wanted in sorted(asked.items()):
        for invariant in wanted:
            measured = [invariant.measure(kernel) for kernel in found.get(layer, [])]
            got = _worst(invariant, [value for value in measured if value is not None])
            weights = sum(int(kernel.values.size) for kernel in found.get(layer, []))
            checks.append(Check(layer, invariant, got, weights or None))
    return checks


def refuse_lost(checks: Iterable[Check]) -> None:
    """Raises a LostInvariantError if a check does not hold."""
    lost = [found.reason() for found in checks if not found.met]
    if lost:
        raise LostInvariantError("; ".join(lost))


def facts_of(
    kernels: Mapping[str, Sequence[Kernel]], asked: Asked | None = None
) -> dict[str, dict[str, Any]]:
    """Layer → its weights' dtype, number, sparsity and number of distinct values; `figures` of other invariants.

    Args:
        kernels: Layer → its kernels; the first one represents the layer.
        asked: Layer → its invariants.
    """
    facts: dict[str, dict[str, Any]] = {}
    for layer, (kernel, *_) in sorted(kernels.items()):
        own = (asked or {}).get(layer, ())
        figures = {i.layer_figure: i.measure(kernel) for i in own if i.layer_figure not in _OF_ALL}
        facts[layer] = {
            "dtype": kernel.dtype,
            "weights": int(kernel.values.size),
            "sparsity": round(kernel.sparsity(), 6),
            "unique": kernel.unique(),
            **({"figures": figures} if figures else {}),
        }
    return facts


def headline(checks: Iterable[Check]) -> dict[str, int | float]:
    """The figure of the layer that is worst off, for each kind of invariant that was asked for.

    Layers of few weights say little of the model: of a single weight, no share is zero. They count only if all layers
    are so.

    Returns:
        `Invariant.headline` → the figure, of those that were measured.
    """
    got: dict[str, tuple[Invariant, list[Check]]] = {}
    for found in checks:
        if found.got is not None:
            got.setdefault(found.invariant.headline, (found.invariant, []))[1].append(found)
    worst = {}
    for name, (kind, measured) in got.items():
        large = [one for one in measured if one.weights is None or one.weights >= _FEW_WEIGHTS]
        worst[name] = _worst(kind, [one.got for one in large or measured if one.got is not None])
    return {name: value for name, value in worst.items() if value is not None}


def file_facts(file: TFLiteFile, asked: Asked | None = None) -> dict[str, Any]:
    """Content of a TFLite file, for lineage and the report: types, operators by count, weights by layer."""
    kernels: dict[str, list[Kernel]] = {}
    for kernel in file.kernels:
        kernels.setdefault(kernel.layer or kernel.tensor, []).append(kernel)
    return {
        "inputs": {name: tensor.dtype for name, tensor in file.inputs.items()},
        "outputs": {name: tensor.dtype for name, tensor in file.outputs.items()},
        "activations": file.activation_dtypes,
        "operators": file.operator_counts,
        "layers": facts_of(kernels, asked),
    }
