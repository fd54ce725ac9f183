"""How channels go through each kind of layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from components.channel_pruner.cuts import Cuts
from components.channel_pruner.units import Channels, Pin, Units

_layers = tf_keras.layers
_activations = tf_keras.activations
# In these, a channel's values depend on no other channel.
_ELEMENTWISE = (
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softplus",
    "softsign",
    "swish",
    "tanh",
)
# An array of channels for each place of a tensor is made to follow a Reshape: not of more places than these.
_MOST_PLACES = 1 << 24


class Unfollowed(Exception):
    """Channels cannot be followed through a layer; the message is the reason."""


@dataclass
class Call:
    """One use of a layer.

    Attributes:
        layer: The layer.
        inputs: Channels of each input tensor's last axis.
        shapes: Shape of each input tensor, without the batch.
        output: Shape of the output tensor, without the batch.
        units: Units of the model.
        cuts: Cuts of the layer, which the rule adds to.
        made: Channels that an earlier use of the layer has made; None at the first use.
    """

    layer: Any
    inputs: list[Channels]
    shapes: list[tuple[int | None, ...]]
    output: tuple[int | None, ...]
    units: Units
    cuts: Cuts
    made: Channels | None = None

    def new(self, count: int) -> Channels:
        """Channels that the layer makes: the same ones each time that it is used."""
        if self.made is None:
            self.made = self.units.new(count)
        return self.made

    def places(self, shape: tuple[int | None, ...]) -> int:
        """Places of a tensor apart from its channels; an axis of any length counts as one place."""
        return math.prod(size or 1 for size in shape[:-1])


Rule = Callable[[Call], Channels]


def _dense(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    out = call.new(layer.units)
    _weigh(call, {"kernel": {0: inputs, 1: out}}, out)
    call.cuts.options["units"] = out
    call.cuts.products.append((call.places(call.output), (inputs, out)))
    return _activated(call, out)


def _convolution(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    out = call.new(layer.filters)
    last, groups = len(layer.kernel_size), layer.groups
    factor = call.places(call.output) * math.prod(layer.kernel_size)
    call.cuts.options["filters"] = out
    if groups > 1 and groups == len(inputs):  # as a depthwise convolution, whose groups may go
        call.units.tie(np.repeat(inputs, len(out) // groups), out)
        _weigh(call, {"kernel": {last + 1: out}}, out)
        call.cuts.options["groups"] = inputs
        call.cuts.products.append((factor, (out,)))
        return _activated(call, out)
    for channels in (inputs, out):
        # Each group has to keep as many channels as the others, so that a unit has a channel of each of them.
        first, *others = np.split(channels, groups)
        for other in others:
            call.units.tie(first, other)
    of_one_group = np.split(inputs, groups)[0]
    _weigh(call, {"kernel": {last: of_one_group, last + 1: out}}, out)
    call.cuts.products.append((factor, (of_one_group, out)))
    return _activated(call, out)


def _transposed(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    out = call.new(layer.filters)
    last = len(layer.kernel_size)
    _weigh(call, {"kernel": {last: out, last + 1: inputs}}, out)
    call.cuts.options["filters"] = out
    factor = call.places(call.shapes[0]) * math.prod(layer.kernel_size)
    call.cuts.products.append((factor, (inputs, out)))
    return _activated(call, out)


def _depthwise(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    out = np.repeat(inputs, layer.depth_multiplier)
    _weigh(call, {"depthwise_kernel": {_depthwise_axis(layer): inputs}}, out)
    call.cuts.products.append((call.places(call.output) * math.prod(layer.kernel_size), (out,)))
    return _activated(call, out)


def _separable(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    between = np.repeat(inputs, layer.depth_multiplier)
    out = call.new(layer.filters)
    last = _depthwise_axis(layer)
    weights = {"depthwise_kernel": {last: inputs}, "pointwise_kernel": {last: between, last + 1: out}}
    _weigh(call, weights, out)
    call.cuts.options["filters"] = out
    places = call.places(call.output)
    call.cuts.products.append((places * math.prod(layer.kernel_size), (between,)))
    call.cuts.products.append((places, (between, out)))
    return _activated(call, out)


def _depthwise_axis(layer: Any) -> int:
    """Axis of a depthwise kernel with the input channels."""
    return len(layer.depthwise_kernel.shape) - 2


def _weigh(call: Call, weights: dict[str, dict[int, Channels]], out: Channels) -> None:
    call.cuts.weights.update(weights)
    if call.layer.use_bias:
        call.cuts.weights["bias"] = {0: out}


def _batch_norm(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    if list(layer.axis) != [len(call.shapes[0])]:
        raise Unfollowed("it does not normalize the last axis, which the channels are along")
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        call.cuts.weights[name] = {0: inputs}
    return inputs


def _prelu(call: Call) -> Channels:
    (inputs,), layer = call.inputs, call.layer
    last = len(layer.alpha.shape) - 1
    if layer.alpha.shape[last] == len(inputs):
        call.cuts.weights["alpha"] = {last: inputs}
    return inputs


def _activation(call: Call) -> Channels:
    return _activated(call, call.inputs[0])


def _activated(call: Call, channels: Channels) -> Channels:
    """Channels behind the layer's activation, which keeps all of them if it may compute one from others."""
    function = call.layer.activation
    if not any(function is getattr(_activations, name, None) for name in _ELEMENTWISE):
        name = getattr(function, "__name__", type(function).__name__)
        reason = f"its activation {name} may compute a channel from others"
        call.units.pin(channels, Pin(call.layer.name, reason))
    return channels


def _same(call: Call) -> Channels:
    if getattr(call.layer, "noise_shape", None) is not None:
        raise Unfollowed("it has a noise_shape")
    return call.inputs[0]


def _rescaling(call: Call) -> Channels:
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        raise Unfollowed("it has a scale or an offset for each channel")
    return call.inputs[0]


def _concatenate(call: Call) -> Channels:
    rank = len(call.output) + 1
    if call.layer.axis % rank == rank - 1:
        return np.concatenate(call.inputs)
    return _tied(call)


def _elementwise_of_several(call: Call) -> Channels:
    if len({len(shape) for shape in call.shapes}) > 1:
        raise Unfollowed("its inputs have different numbers of axes")
    return _tied(call)


def _tied(call: Call) -> Channels:
    """Channels of tensors that are computed with one another; one with a single channel goes to all of them."""
    first, *others = sorted(call.inputs, key=len, reverse=True)
    for other in others:
        if len(other) == len(first):
            call.units.tie(first, other)
    return first


def _reshape(call: Call) -> Channels:
    """Follows channels if all places of the output's last axis have the same ones wherever they are."""
    (inputs,), (shape,) = call.inputs, call.shapes
    if None in shape or None in call.output:
        raise Unfollowed("its shape is not fixed")
    sizes, output = ([size or 0 for size in of] for of in (shape, call.output))
    if math.prod(sizes) > _MOST_PLACES:
        raise Unfollowed("its tensor is too large to be followed")
    everywhere = np.broadcast_to(inputs, sizes).reshape(-1, output[-1])
    if np.any(everywhere != everywhere[0]):
        raise Unfollowed("it does not keep the channels along one axis")
    found = everywhere[0].copy()
    if type(call.layer) is _layers.Reshape:
        call.cuts.shape = (tuple(output[:-1]), found)
    return found


def _permute(call: Call) -> Channels:
    if call.layer.dims[-1] != len(call.shapes[0]):
        raise Unfollowed("it moves the channels away from the last axis")
    return call.inputs[0]


# By exact class: a subclass may compute something else.
RULES: dict[type, Rule] = {
    _layers.Dense: _dense,
    _layers.Conv1D: _convolution,
    _layers.Conv2D: _convolution,
    _layers.Conv3D: _convolution,
    _layers.Conv2DTranspose: _transposed,
    _layers.DepthwiseConv1D: _depthwise,
    _layers.DepthwiseConv2D: _depthwise,
    _layers.SeparableConv1D: _separable,
    _layers.SeparableConv2D: _separable,
    _layers.BatchNormalization: _batch_norm,
    _layers.PReLU: _prelu,
    _layers.Activation: _activation,
    _layers.Rescaling: _rescaling,
    _layers.Concatenate: _concatenate,
    _layers.Flatten: _reshape,
    _layers.Reshape: _reshape,
    _layers.Permute: _permute,
    **dict.fromkeys(
        (
            _layers.Add,
            _layers.Average,
            _layers.Maximum,
            _layers.Minimum,
            _layers.Multiply,
            _layers.Subtract,
        ),
        _elementwise_of_several,
    ),
    **dict.fromkeys(
        (
            _layers.ReLU,
            _layers.LeakyReLU,
            _layers.ELU,
            _layers.ThresholdedReLU,
            _layers.Dropout,
            _layers.SpatialDropout1D,
            _layers.SpatialDropout2D,
            _layers.GaussianDropout,
            _layers.GaussianNoise,
            _layers.AlphaDropout,
            _layers.ActivityRegularization,
            _layers.MaxPooling1D,
            _layers.MaxPooling2D,
            _layers.MaxPooling3D,
            _layers.AveragePooling1D,
            _layers.AveragePooling2D,
            _layers.AveragePooling3D,
            _layers.GlobalAveragePooling1D,
            _layers.GlobalAveragePooling2D,
            _layers.GlobalAveragePooling3D,
            _layers.GlobalMaxPooling1D,
            _layers.GlobalMaxPooling2D,
            _layers.GlobalMaxPooling3D,
            _layers.ZeroPadding1D,
            _layers.ZeroPadding2D,
            _layers.ZeroPadding3D,
            _layers.Cropping1D,
            _layers.Cropping2D,
            _layers.Cropping3D,
            _layers.UpSampling1D,
            _layers.UpSampling2D,
            _layers.UpSampling3D,
            _layers.RepeatVector,
        ),
        _same,
    ),
}
# Layers whose output channels are their own, and can be removed.
PRODUCERS = (
    _layers.Dense,
    _layers.Conv1D,
    _layers.Conv2D,
    _layers.Conv3D,
    _layers.Conv2DTranspose,
    _layers.SeparableConv1D,
    _layers.SeparableConv2D,
)
