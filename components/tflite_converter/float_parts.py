"""Int8 conversion that leaves parts of a model in float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from components.common.base.layer_names import matches
from components.common.data.arrays import Arrays
from components.common.tflite import tflite_file
from components.common.tflite.operator import Operator
from components.common.tflite.tflite_file import TFLiteFile
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


@dataclass(frozen=True)
class Measured:
    """Figures of the operators of a file in which each quantized operator is beside its original.

    Attributes:
        file: The file; an operator `NumericVerify` compares both.
        figures: Output of such an operator → figure → mean over examples.
    """

    file: TFLiteFile
    figures: Mapping[str, Mapping[str, Any]]


class Calibrated:
    """A model with the ranges of its values, which is quantized again and again, with other parts in float.

    https://www.tensorflow.org/lite/performance/quantization_debugger#selective_quantization

    Attributes:
        debugger: TensorFlow's, which holds the calibrated model.
        file: The calibrated model, not yet quantized.
    """

    def __init__(self, converter: Any, options: ConvertOptions, compared: Arrays | None = None):
        """Calibrates.

        Args:
            converter: A tf.lite.TFLiteConverter, ready to convert to int8.
            options: Options of the conversion.
            compared: Examples for `measure`.
        """
        self._options = options
        self._compared = compared
        self.debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_options=self._debugging([], [])
        )
        self.file = tflite_file.parse(self.debugger.calibrated_model)

    def _debugging(self, ops: list[str], left: list[Operator], **metrics: Any) -> Any:
        return tf.lite.experimental.QuantizationDebugOptions(
            denylisted_ops=ops,
            denylisted_nodes=[operator.output for operator in left],
            fully_quantize=self._options.io == "int8",
            **metrics,
        )

    def measure(self, **metrics: Any) -> Measured:
        """Runs examples through the file with the parts in float that the options name, each operator beside its
        original.

        Args:
            **metrics: Metrics as QuantizationDebugOptions takes them.
        """
        left = chosen(self.file.operators, self._options)
        self.debugger.options = self._debugging(self._options.float_ops, left)
        content = self.debugger.get_debug_quantized_model()
        # Of the file, as a debugger of a converter lets its interpreter reuse the memory of what is compared.
        debugger = tf.lite.experimental.QuantizationDebugger(
            quant_debug_model_content=content,
            debug_dataset=lambda: self._rows(content),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(**metrics),
        )
        debugger.run()
        return Measured(tflite_file.parse(content), debugger.layer_statistics)

    def _rows(self, content: bytes) -> Iterator[list[npt.NDArray[Any]]]:
        """The examples, each as a list in the order of the interpreter's inputs."""
        if self._compared is None:
            raise ValueError("there are no examples to run")
        names = {tensor.name: name for name, tensor in tflite_file.parse(content).inputs.items()}
        features = self._compared.feature_arrays()
        details = tf.lite.Interpreter(model_content=content).get_input_details()
        given = [features[names[detail["name"]]] for detail in details]
        for index in range(len(self._compared)):
            yield [values[index : index + 1] for values in given]

    def quantize(self, layers: Sequence[str] = ()) -> bytes:
        """The TFLite file with the parts in float that the options name, and some layers.

        Args:
            layers: Layers to leave in float besides.

        Raises:
            ConversionError: If nothing is left in float or nothing would be quantized.
        """
        options = self._options
        if layers:
            options = options.model_copy(update={"float_layers": [*options.float_layers, *layers]})
        left = chosen(self.file.operators, options)
        try:
            self.debugger.options = self._debugging(options.float_ops, left)
        except ValueError as error:
            raise ConversionError(
                "float_ops and float_layers leave no operator that could be quantized; write fewer of them, "
                "or quantization: float32"
            ) from error
        content: bytes = self.debugger.get_nondebug_quantized_model()
        refuse_quantized(self.file.operators, left, tflite_file.parse(content).operators)
        return content


def convert(converter: Any, options: ConvertOptions) -> bytes:
    """Calibrates and quantizes a model, but for the parts that are to stay in float.

    Args:
        converter: A tf.lite.TFLiteConverter, ready to convert to int8.
        options: With `float_ops` or `float_layers`.

    Returns:
        The TFLite file.

    Raises:
        ConversionError: If nothing is left in float or nothing would be quantized.
    """
    return Calibrated(converter, options).quantize()


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
