"""Weights of the layers of a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.common.tflite.kernel import Kernel

if TYPE_CHECKING:
    import tf_keras

# In the order of preference: of a separable convolution, TFMOT prunes the pointwise half alone.
KERNEL_NAMES = ("kernel", "pointwise_kernel", "embeddings", "depthwise_kernel")


# Axes of a kernel as the TFLite operator has them, by rank: output channels first, then what is as in Keras.
_TFLITE_AXES = {
    2: ("FULLY_CONNECTED", (1, 0)),
    3: ("CONV_2D", (2, 0, 1)),
    4: ("CONV_2D", (3, 0, 1, 2)),
    5: ("CONV_3D", (0, 1, 2, 3, 4)),
}


def kernels(model: tf_keras.Model) -> dict[str, list[Kernel]]:
    """Layer → its kernel, laid out as in a TFLite file, so that both are measured by the same code.

    Args:
        model: May be wrapped by TFMOT; layers are named without the wrapper. Those without kernel are left out.
    """
    found = {}
    for layer in model.layers:
        if has_kernel(layer):
            name = inner_layer(layer).name
            found[name] = [_laid_out(name, layer)]
    return found


def _laid_out(name: str, layer: tf_keras.layers.Layer) -> Kernel:
    variable = kernel_of(layer)
    kind = type(getattr(layer, "layer", layer)).__name__
    return laid_out(name, _variable_name(variable), kind, variable.numpy())


def laid_out(name: str, variable: str, layer_class: str, values: npt.NDArray[Any]) -> Kernel:
    """A kernel as in a TFLite file.

    Args:
        name: Name of the layer.
        variable: Name of the variable, one of `KERNEL_NAMES`.
        layer_class: Class of the layer, such as Conv2D.
        values: Values of the variable, as Keras has them.
    """
    operator, output_axis = "", 0
    if variable == "embeddings":
        operator, output_axis = "GATHER", -1
    elif variable == "depthwise_kernel":
        operator, output_axis = "DEPTHWISE_CONV_2D", -1
        values = values.reshape(1, *values.shape[:-2], -1)
    elif values.ndim in _TFLITE_AXES:
        transposed = "Transpose" in layer_class
        operator, axes = _TFLITE_AXES[values.ndim]
        if transposed and values.ndim < 5:  # (…, output channels, input channels) in Keras
            operator, axes = "TRANSPOSE_CONV", (axes[-1], *axes[1:-1], axes[0])
        values = values.transpose(axes)
        output_axis = (-2 if transposed else -1) if operator == "CONV_3D" else 0
    return Kernel(
        operator=operator,
        layers=frozenset({name}),
        values=values,
        dtype=values.dtype.name,
        scales=np.zeros(0, np.float32),
        zero_points=np.zeros(1, np.int64),
        channel_axis=0,
        output_axis=output_axis % values.ndim,
        bytes=values.nbytes,
        sparse=False,
        layer=name,
    )


def _variable_name(variable: Any) -> str:
    return variable.name.rsplit("/", 1)[-1].split(":")[0]


def inner_layer(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer that a technique's wrapper holds; a layer that is not wrapped, or by Keras itself, as it is.

    TFMOT's wrappers have the name of the layer behind a prefix.
    """
    inner = getattr(layer, "layer", None)
    wrapped = inner is not None and layer.name.endswith(f"_{inner.name}")
    return inner if wrapped and not type(layer).__module__.startswith("tf_keras.") else layer


def has_kernel(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer has a kernel that `kernel_of` finds."""
    try:
        kernel_of(layer)
    except ValueError:
        return False
    return True


def kernel_of(layer: tf_keras.layers.Layer) -> Any:
    """The kernel variable of a layer or of the layer that a wrapper holds.

    Taken from `weights`: inside quantization-aware wrappers the attribute `kernel` is symbolic.

    Raises:
        ValueError: If the layer has none.
    """
    by_name: dict[str, Any] = {}
    for weight in layer.weights:
        by_name.setdefault(_variable_name(weight), weight)
    for name in KERNEL_NAMES:
        if name in by_name:
            return by_name[name]
    raise ValueError(f"layer {layer.name!r} has no kernel")
