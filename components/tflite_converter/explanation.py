"""The effect of the `convert` step on a model, and the size of the file."""

from __future__ import annotations

import tf_keras

from components.common.base.quantities import bytes_text
from components.common.models.invariants import one_scale
from components.common.steps.explanation import Explanation, Outlook, Refusal
from components.common.tflite.tflite_file import TFLiteFile
from components.tflite_converter import float_parts, held_back, size_prediction
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.params import (
    CALIBRATED,
    ConvertOptions,
    Granularity,
    RepairOptions,
    resolve_granularity,
)

_TYPES = {
    "float32": "float32",
    "float16": "float16",
    "dynamic": "int8",
    "int8": "int8",
    "int16x8": "int8, int16 values",
    size_prediction.INT16: "int16",
}
# Operators that the converter leaves in float in an int8 file, or refuses in an int16x8 one: of those that
# Keras's layers become. tensorflow/lite/tools/optimize/operator_property.cc
_NO_INT8 = frozenset({"CONV_3D", "CONV_3D_TRANSPOSE", "ELU"})
_NO_INT16 = _NO_INT8 | {
    "DEPTH_TO_SPACE",
    "EQUAL",
    "GREATER",
    "GREATER_EQUAL",
    "HARD_SWISH",
    "L2_NORMALIZATION",
    "LESS",
    "LESS_EQUAL",
    "LOG_SOFTMAX",
    "MIRROR_PAD",
    "NOT_EQUAL",
    "PRELU",
    "RELU_N1_TO_1",
    "SPACE_TO_DEPTH",
}


def explain(outlook: Outlook, options: ConvertOptions) -> Explanation:
    """Says which type each layer will have, and predicts bytes; see components.common.steps.explanation."""
    record = outlook.record
    after = outlook.after(options)
    try:
        file = outlook.workshop.float_file(outlook.model)
    except ConversionError as error:
        return Explanation({}, [Refusal("", f"TFLite cannot hold the model: {reason(error)}")], after)
    clustered = any(map(one_scale, record.layers.values()))
    granularity = resolve_granularity(options, clustered)
    refused = [
        *_unknown_parts(options, file),
        *_without_kernel(outlook, options, file),
        *_depthwise(options, granularity, file),
        *_sparse(outlook, options, file),
        *_unknown_metrics(options),
    ]
    prediction = size_prediction.predict(file, options, granularity, record)
    effects = {
        name: f"{_TYPES[kind]}, {prediction.layers[name]:,} B" for name, kind in prediction.kinds.items()
    }
    remarks = (
        [] if options.repair is None else [_repair(options.repair, prediction.size, prediction.layers)]
    )
    return Explanation(effects, refused, after, prediction.size, prediction.layers, remarks=remarks)


def reason(error: ConversionError) -> str:
    """Why TFLite cannot hold an untrained model, and what to write instead if that is known."""
    text = str(error).removeprefix("conversion to float32 failed: ")
    if "TensorList" in text:
        text += "; write unroll=True in the recurrent layer"
    return text


def _unknown_parts(options: ConvertOptions, file: TFLiteFile) -> list[Refusal]:
    if not options.float_ops and not options.float_layers:
        return []
    try:
        float_parts.chosen(file.operators, options)
    except ConversionError as error:
        return [Refusal("", str(error), str(error).partition(":")[0])]
    return []


def _unknown_metrics(options: ConvertOptions) -> list[Refusal]:
    """Metrics that cannot be measured on held-back training examples."""
    if not options.examines_layers:
        return []
    try:
        for limit in options.limits:
            held_back.metric_of(limit)
    except ConversionError as error:
        return [Refusal("", str(error), "limits")]
    return []


def _repair(repair: RepairOptions, size: int, layers: dict[str, int]) -> str:
    """What a repair may do to the file: the greatest layers grow to four bytes a weight."""
    greatest = sorted(layers.values(), reverse=True)[: repair.max_float]
    count = "1 layer" if repair.max_float == 1 else f"up to {repair.max_float} layers"
    return (
        f"repair leaves {count} in float if int8 misses a limit of accuracy on held-back training examples: at most "
        f"{bytes_text(size + 3 * sum(greatest))} in place of {bytes_text(size)}"
    )


def _without_kernel(outlook: Outlook, options: ConvertOptions, file: TFLiteFile) -> list[Refusal]:
    """Layers that would stay in float although integers are requested."""
    mode, model = options.quantization, outlook.model
    aware = outlook.record.quantization_aware  # which has refused what is not excluded
    if mode not in CALIBRATED or aware or (mode == "int8" and options.supported_ops):
        return []
    grouped = [la.name for la in model.layers if isinstance(la, tf_keras.layers.GroupNormalization)]
    found = [
        Refusal(
            name,
            f"GroupNormalization cannot be calibrated for {mode}; write LayerNormalization or "
            "BatchNormalization, or quantization: dynamic",
            "quantization",
        )
        for name in grouped
    ]
    missing = sorted(
        (_NO_INT8 if mode == "int8" else _NO_INT16) & {operator.name for operator in file.operators}
    )
    for name in missing:
        if name in options.float_ops or options.float_layers:
            continue
        layers = sorted(
            set().union(*(operator.layers for operator in file.operators if operator.name == name))
        )
        if mode == "int8":
            instead = f"write another layer, quantization: dynamic, or float_ops: [{name}], which leaves it in float"
        else:
            instead = "write another layer, or quantization: int8, dynamic or float16"
        found.append(
            Refusal(
                ", ".join(layers), f"becomes {name}, which has no {mode} kernel; {instead}", "quantization"
            )
        )
    return found


def _depthwise(options: ConvertOptions, granularity: Granularity, file: TFLiteFile) -> list[Refusal]:
    """Depthwise convolutions with one scale, which LiteRT computes wrongly, or the converter refuses."""
    mode = options.quantization
    if granularity != "per-tensor" or mode not in ("dynamic", "int16x8"):
        return []
    found = [
        kernel.layer
        for kernel in file.kernels
        if kernel.operator == "DEPTHWISE_CONV_2D"
        and (mode == "int16x8" or kernel.values.size >= size_prediction.DYNAMIC_FROM)
    ]
    if not found:
        return []
    why = "" if options.granularity == "per-tensor" else ", which the clustered layers need"
    instead = "granularity: per-channel, or quantization: int8" if not why else "quantization: int8"
    return [
        Refusal(
            found[0],
            f"is a depthwise convolution, which {mode} files cannot hold with one scale for each kernel{why}; "
            f"write {instead}",
            "quantization",
        )
    ]


def _sparse(outlook: Outlook, options: ConvertOptions, file: TFLiteFile) -> list[Refusal]:
    """Layers that cannot be stored sparsely, or that LiteRT could not read then."""
    if not options.sparse:
        return []
    record = outlook.record
    stored = [
        kernel
        for kernel in file.kernels
        if size_prediction.sparsity(kernel, record) >= size_prediction.SPARSE_FROM
    ]
    if not stored:
        return [
            Refusal(
                "",
                "sparse: true would store no layer sparsely, as none has enough zeros "
                f"({size_prediction.SPARSE_FROM:.0%}); write a `prune` step before `convert`, or leave `sparse` out",
                "sparse",
            )
        ]
    for kernel in stored:
        dense = kernel.operator == "FULLY_CONNECTED"
        if dense and options.quantization == "int8":
            what = "is a dense layer, which LiteRT does not load sparse-encoded in int8"
        elif options.quantization == "float16" and dense and size_prediction.in_blocks(kernel, record):
            what = "is a dense layer pruned in blocks, which LiteRT reads wrongly sparse-encoded in float16"
        elif options.quantization == "float16" and kernel.operator == "TRANSPOSE_CONV":
            what = "is a transposed convolution, which LiteRT reads wrongly sparse-encoded in float16"
        else:
            continue
        instead = "leave `sparse` out (zeros then show in gzip_size), or write quantization: float32"
        return [Refusal(kernel.layer, f"{what}; {instead}", "sparse")]
    return []
