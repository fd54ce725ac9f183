"""The ranges of activations that a quantization-aware model computes with: reading, observing and setting them.

TFMOT begins each range at ±6 and moves it by a thousandth of the way to a batch's extremes with each step, so that
it has to be set before a short training: https://github.com/tensorflow/model-optimization/issues/1053.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from components.common.base.layer_names import plain_name

LEVELS = 255
_BATCH = 50
# Range of a tensor that is 0 in all examples: with a scale of 0, biases would not fit into integers.
_NARROWEST = 0.01

# Gets a range and the values, as a float tensor, that the model is about to quantize with it.
Observe = Callable[["Range", Any], None]


@dataclass(frozen=True)
class Range:
    """One range of a model: of the output of a layer, or of what a layer applies its activation to.

    Attributes:
        tensor: Plain name of the layer or input, with `:input` behind it if it is the range before the activation.
        layer: Name of the layer in the model, with TFMOT's prefix.
        before_activation: Whether it is of what the layer applies its activation to.
        low: Variable of the least value, a scalar of 0 or less.
        high: Variable of the greatest value, a scalar of 0 or more.
    """

    tensor: str
    layer: str
    before_activation: bool
    low: Any = field(compare=False)
    high: Any = field(compare=False)

    def read(self) -> tuple[float, float]:
        """Its ends."""
        return float(self.low.numpy()), float(self.high.numpy())

    def set(self, low: float, high: float) -> None:
        """Sets its ends; 0 is always within, as TFLite needs an integer that means 0, and never all of it."""
        low, high = min(low, 0.0), max(high, 0.0)
        self.low.assign(low)
        self.high.assign(high if high > low else low + _NARROWEST)


def ranges_of(model: tf_keras.Model) -> list[Range]:
    """All ranges of a quantization-aware model, in the order of its layers."""
    return [found for layer in model.layers for found in _of_layer(layer)]


def _of_layer(layer: tf_keras.layers.Layer) -> Iterator[Range]:
    def found(variables: Mapping[str, Any], before: bool = False, name: str = layer.name) -> Range:
        tensor = f"{plain_name(name)}:input" if before else plain_name(name)
        return Range(tensor, layer.name, before, variables["min_var"], variables["max_var"])

    if getattr(layer, "quantizer", None) is not None and hasattr(layer, "quantizer_vars"):
        # Behind an input, and named by how many of them this process has made.
        yield found(layer.quantizer_vars, name=layer.inbound_nodes[0].inbound_layers.name)
    for activation in getattr(layer, "_quantize_activations", ()):
        if hasattr(activation, "_pre_activation_vars"):
            yield found(activation._pre_activation_vars, before=True)
        if hasattr(activation, "_post_activation_vars"):
            yield found(activation._post_activation_vars)
    if getattr(layer, "_output_quantizers", None):
        yield found(layer._output_quantizer_vars)


class _Observer:
    """Stands in for a quantizer of activations while values are observed."""

    def __init__(self, quantizer: Any, known: Mapping[int, Range], observe: Observe, quantize: bool):
        self._quantizer = quantizer
        self._known = known
        self._observe = observe
        self._quantize = quantize

    def __call__(self, inputs: Any, training: bool, weights: Mapping[str, Any], **arguments: Any) -> Any:
        self._observe(self._known[id(weights["min_var"])], inputs)
        if not self._quantize:
            return inputs
        return self._quantizer(inputs, training, weights=weights, **arguments)


@contextmanager
def _observed(model: tf_keras.Model, observe: Observe, quantize: bool) -> Iterator[None]:
    """Lets a function see what each range is applied to, in calls of the model within the context."""
    known = {id(found.low): found for found in ranges_of(model)}
    undo: list[Callable[[], None]] = []

    def swap(owner: Any, attribute: str, quantizer: Any, value: Callable[[Any], Any]) -> None:
        before = getattr(owner, attribute)
        undo.append(lambda: setattr(owner, attribute, before))
        setattr(owner, attribute, value(_Observer(quantizer, known, observe, quantize)))

    for layer in model.layers:
        if getattr(layer, "quantizer", None) is not None and hasattr(layer, "quantizer_vars"):
            swap(layer, "quantizer", layer.quantizer, lambda observer: observer)
        for activation in getattr(layer, "_quantize_activations", ()):
            swap(activation, "quantizer", activation.quantizer, lambda observer: observer)
        if getattr(layer, "_output_quantizers", None):
            swap(layer, "_output_quantizers", layer._output_quantizers[0], lambda observer: [observer])
    try:
        yield
    finally:
        for restore in undo:
            restore()


def observe(
    model: tf_keras.Model,
    features: Mapping[str, npt.NDArray[Any]],
    see: Observe,
    quantize: bool,
) -> None:
    """Runs a model at inference, and shows the values that each range is applied to.

    Args:
        model: Quantization-aware.
        features: Feature → (examples, …), in the order of the model's inputs.
        see: Gets a range and values, of one batch after the other.
        quantize: Whether activations are quantized on their way; otherwise they stay in float.
    """
    arrays = list(features.values())
    with _observed(model, see, quantize):
        for start in range(0, len(arrays[0]), _BATCH):
            model([tf.constant(array[start : start + _BATCH]) for array in arrays], training=False)


def set_weight_ranges(model: tf_keras.Model) -> None:
    """Sets the ranges of kernels to what the kernels hold, as each training step does."""
    for layer in model.layers:
        for weight, quantizer, variables in getattr(layer, "_weight_vars", ()):
            quantizer(weight, True, weights=variables)


def clipped_shares(model: tf_keras.Model, features: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """Tensor → the share of its values that lie more than half a step outside of its range, from 0 to 1.

    Args:
        model: Quantization-aware; computes as it will be deployed.
        features: Feature → (examples, …), in the order of the model's inputs.
    """
    counts: dict[str, npt.NDArray[np.int64]] = {}

    def see(found: Range, values: Any) -> None:
        low, high = found.read()
        margin = (high - low) / LEVELS / 2
        outside = tf.math.count_nonzero((values < low - margin) | (values > high + margin))
        counted = np.array([int(outside), int(tf.size(values))])
        counts[found.tensor] = counts.get(found.tensor, np.zeros(2, np.int64)) + counted

    observe(model, features, see, quantize=True)
    return {tensor: float(outside / total) for tensor, (outside, total) in counts.items()}
