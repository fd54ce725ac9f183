"""Which layers TFMOT can make quantization-aware, and what to write in place of those it cannot.

Some it refuses. Others it takes, and the converter then leaves them in float without a word; of the
latter each was found by converting a model that has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import tf_keras

from components.common.base.layer_names import matches
from components.common.models.layer_weights import has_kernel
from components.common.models.stock_layers import only_stock_layers
from components.common.steps.explanation import Refusal
from components.common.tfmot.library import tfmot
from components.common.tfmot.wiring import Wiring
from components.quantization_aware_trainer.float_region import stay_in_float

_layers = tf_keras.layers
_WITHOUT = "leave `qat` out: post-training int8 needs no such support"
_INSTEAD = {
    "SeparableConv1D": "write SeparableConv2D with a kernel of (size, 1) on an input of shape "
    "(steps, 1, channels)",
    "Rescaling": "scale in preprocessing_fn",
    "Normalization": "scale in preprocessing_fn",
    "LayerNormalization": "LiteRT has no int8 kernel for it, only for its parts; write BatchNormalization behind a "
    "convolution or Dense",
    "GroupNormalization": "write BatchNormalization behind a convolution or Dense",
    "Embedding": "it reads whole numbers, which fake quantization at the input would change; look the rows up in "
    "preprocessing_fn",
    "Lambda": "write one of Keras's layers",
    "TFOpLambda": "write the Keras layer of that operation, layers.Add in place of +, layers.ReLU in place of "
    "tf.nn.relu",
    "SlicingOpLambda": "write a Keras layer, layers.Cropping2D in place of a slice",
    "ELU": "write layers.LeakyReLU or layers.ReLU",
    "ActivityRegularization": "leave it out, or regularize kernels",
    "AddLoss": "leave model.add_loss out, or regularize kernels",
}
# TFMOT cannot even copy a model that has these.
_NOT_EVEN_IN_FLOAT = ("Lambda", "SeparableConv1D", "ActivityRegularization", "AddLoss")
# TFMOT splits these into layers that it knows.
_SPLIT = ("SeparableConv2D",)
# Layers that TFMOT does not know, and whose output alone needs fake quantization.
ACTIVATIONS = (_layers.PReLU,)
# As the argument of a layer with a kernel, and as layers.Activation.
_WITHIN = ("linear", "relu", "tanh", "sigmoid", "softmax", "gelu")
_ON_ITS_OWN = (*_WITHIN, "relu6", "swish")
_FOLDED_BY_TFMOT = (_layers.Conv2D, _layers.DepthwiseConv2D)


def refusals(model: tf_keras.Model, exclude: Sequence[str]) -> list[Refusal]:
    """Layers that prevent quantization-aware training; empty if none does.

    Args:
        model: Functional or Sequential, as `prepare` returns it.
        exclude: Patterns of layers that stay in float.
    """
    wiring = Wiring(model)
    left = {layer.name for layer in model.layers if matches(layer.name, exclude)}
    found = {}
    for layer in model.layers:
        if isinstance(layer, _layers.InputLayer) or _stays_in_float(layer, wiring, left):
            continue
        what = _obstacle(layer, wiring, left)
        if what is not None:
            found[layer.name] = what
    advice = _in_float(wiring, left, found)
    return [Refusal(name, what + advice) for name, what in found.items()]


def _in_float(wiring: Wiring, left: Collection[str], found: Collection[str]) -> str:
    """The advice to leave layers in float, with all others that then have to; empty if that is not possible."""
    if not all(_can_stay_in_float(wiring.layers[name]) for name in found):
        return ""
    chosen = {*left, *found}
    for name in found:  # before an annotated layer, TFMOT would look for the fake quantization of these
        if _unknown_activation(wiring.layers[name]):
            chosen.update(wiring.readers.get(name, []))
    region = stay_in_float(wiring, chosen, lambda name: _known(wiring.layers[name]))
    if all(name in region for name, layer in wiring.layers.items() if has_kernel(layer)):
        return ""  # nothing would be left to train for
    # BatchNormalization stays in float by itself with what it would be folded into.
    names = [
        name
        for name, layer in wiring.layers.items()
        if name in chosen or (name in region and not isinstance(layer, _layers.BatchNormalization))
    ]
    return f", or keep in float the layers that cannot be int8: exclude: [{', '.join(names)}]"


def _stays_in_float(layer: tf_keras.layers.Layer, wiring: Wiring, left: Collection[str]) -> bool:
    """Whether a layer is excluded, and that does it."""
    if layer.name not in left or not _can_stay_in_float(layer):
        return False
    return not _unknown_activation(layer) or all(
        name in left for name in wiring.readers.get(layer.name, [])
    )


def _known(layer: tf_keras.layers.Layer) -> bool:
    """Whether TFMOT has a way to quantize a layer."""
    registry = tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme().get_quantize_registry()
    return type(layer) in ACTIVATIONS or bool(registry.supports(layer))


def _can_stay_in_float(layer: tf_keras.layers.Layer) -> bool:
    return (
        only_stock_layers(layer)
        and not isinstance(layer, tf_keras.Model)
        and type(layer).__name__ not in _NOT_EVEN_IN_FLOAT
        and getattr(layer, "activity_regularizer", None) is None
    )


def _obstacle(layer: tf_keras.layers.Layer, wiring: Wiring, left: Collection[str]) -> str | None:
    """Why a layer cannot be quantization-aware, and what to write instead; None if it can."""
    kind = type(layer).__name__
    if isinstance(layer, tf_keras.Model):
        return (
            "is a model inside the model, which TFMOT cannot quantize; put its layers into the model itself"
        )
    if isinstance(layer, _layers.BatchNormalization):
        return _not_folded(layer, wiring, left)
    if kind == "ActivityRegularization" or getattr(layer, "activity_regularizer", None) is not None:
        what = "regularizes its activity, which fails inside TFMOT's wrappers"
        return f"{what}; {_INSTEAD['ActivityRegularization']}"
    if not _known(layer) and kind not in _SPLIT:
        return f"{kind} has no fake quantization in TFMOT; {_INSTEAD.get(kind, _WITHOUT)}"
    if max(getattr(layer, "dilation_rate", (1,))) > 1:
        return f"is a dilated convolution, which would stay in float; {_WITHOUT}"
    if kind == "Dense" and layer.use_bias and len(layer.input_shape) > 2:
        return (
            f"is Dense on an input of {len(layer.input_shape)} axes, which would stay in float; write Conv2D "
            "with a kernel of (1, 1), on an input of shape (…, 1, channels)"
        )
    if kind == "ReLU" and layer.negative_slope:
        return (
            "is ReLU with negative_slope, before which kernels would stay in float; write layers.LeakyReLU"
        )
    return _unknown_activation(layer)


def _unknown_activation(layer: tf_keras.layers.Layer) -> str | None:
    if not hasattr(layer, "activation"):
        return None
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    stock = _is_stock(name, layer.activation)
    own_layer = isinstance(layer, _layers.Activation)
    if stock and name in (_ON_ITS_OWN if own_layer else _WITHIN):
        return None
    if stock and name in _ON_ITS_OWN:
        return (
            f"has activation {name}, which TFMOT knows only as a separate layer; write "
            f"layers.Activation({name!r}) behind it"
        )
    known = ", ".join(_ON_ITS_OWN[1:] if own_layer else _WITHIN[1:])
    return f"has activation {name}, which TFMOT cannot fake-quantize; write one of {known}"


def _is_stock(name: str, activation: Any) -> bool:
    try:
        return tf_keras.activations.get(name) is activation
    except ValueError:
        return False


def _not_folded(norm: tf_keras.layers.Layer, wiring: Wiring, left: Collection[str]) -> str | None:
    """Why BatchNormalization is not folded into what it follows; None if it is, or stays in float with it."""
    reads = wiring.reads[norm.name]
    before = wiring.layers.get(reads[0]) if len(reads) == 1 else None
    if not isinstance(before, (*_FOLDED_BY_TFMOT, _layers.Dense)):
        return "is BatchNormalization that follows no convolution or Dense, so it cannot be folded; move it behind one"
    if before.name in left:
        return None  # stay_in_float adds it
    what = f"is BatchNormalization that cannot be folded into {before.name}"
    if before.activation is not tf_keras.activations.linear:
        return (
            f"{what}, which has activation {before.activation.__name__}; write {type(before).__name__}, "
            "BatchNormalization and then the activation as a separate layer"
        )
    if wiring.calls[before.name] > 1 or wiring.calls[norm.name] > 1:
        return f"{what}, as the model calls these layers twice; write them for each place"
    others = [name for name in wiring.readers[before.name] if name != norm.name]
    if others:
        return f"{what}, which {others[0]} reads too; give {others[0]} a separate layer"
    if type(before) in _FOLDED_BY_TFMOT:
        return None
    if isinstance(before, _layers.Dense):
        return f"{what}, as the model returns it; write an activation as the last layer"
    return f"{what}, a {type(before).__name__}, and would leave it in float; write UpSampling2D and Conv2D"
