"""Int8 conversion that leaves parts of a model in float."""

from __future__ import annotations

from collections import Counter
from typing import Any

import tensorflow as tf

from components.common.base.layer_names import matches
from components.common.tflite import tflite_file
from components.common.tflite.operator import Operator
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.params import ConvertOptions


def chosen(model: list[Operator], options: ConvertOptions) -> list[Operator]:
    """The operators that `float_ops` and `float_layers` name.

    Args:
        model: Operators of the model, not yet quantized.
        options: Options of the conversion.

    Raises:
        ConversionError: If one of them names nothing in the model.
    """
    names = sorted({operator.name for operator in model})
    layers = sorted(set().union(*(operator.layers for operator in model)))
    for name in options.float_ops:
        if name not in names:
            raise ConversionError(
                f"float_ops: the model has no operator {name}; it has {', '.join(names)}. Write one of them"
            )
    for pattern in options.float_layers:
        if not any(matches(layer, [pattern]) for layer in layers):
            raise ConversionError(
                f"float_layers: no layer that computes matches {pattern!r}; there are {', '.join(layers)}"
            )
    return [operator for operator in model if _named(operator, options)]


def _named(operator: Operator, options: ConvertOptions) -> bool:
    return operator.name in options.float_ops or any(
        matches(layer, options.float_layers) for layer in operator.layers
    )


def convert(converter: Any, options: ConvertOptions) -> bytes:
    """Calibrates and quantizes a model, but for the parts that are to stay in float.

    https://www.tensorflow.org/lite/performance/quantization_debugger#selective_quantization

    Args:
        converter: A tf.lite.TFLiteConverter, ready to convert to int8.
        options: With `float_ops` or `float_layers`.

    Returns:
        The TFLite file.

    Raises:
        ConversionError: If nothing is left in float or nothing would be quantized.
    """
    debugging = tf.lite.experimental
    debugger = debugging.QuantizationDebugger(converter=converter)
    model = tflite_file.parse(debugger.calibrated_model).operators
    left = chosen(model, options)
    try:
        debugger.options = debugging.QuantizationDebugOptions(
            denylisted_ops=options.float_ops,
            denylisted_nodes=[operator.output for operator in left],
            fully_quantize=options.io == "int8",
        )
    except ValueError as error:
        raise ConversionError(
            "float_ops and float_layers leave no operator that could be quantized; write fewer of them, "
            "or quantization: float32"
        ) from error
    content = debugger.get_nondebug_quantized_model()
    refuse_quantized(model, left, tflite_file.parse(content).operators)
    return content


def refuse_quantized(model: list[Operator], left: list[Operator], converted: list[Operator]) -> None:
    """Raises a ConversionError if an operator that is to stay in float is quantized in the file.

    Counted by name, as the quantizer gives some tensors new names.

    Args:
        model: Operators of the model, not yet quantized.
        left: Those of them to leave in float.
        converted: Operators of the file.
    """
    may_be = Counter(o.name for o in model if o.in_float()) - Counter(o.name for o in left if o.in_float())
    too_many = Counter(o.name for o in converted if o.quantized()) - may_be
    wrong = sorted({o.name for o in left} & set(too_many))
    if wrong:
        raise ConversionError(
            f"the quantizer does not leave {', '.join(wrong)} in float; remove it from float_ops and float_layers"
        )
