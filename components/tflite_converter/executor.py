"""Conversion to TFLite with the TensorFlow Lite converter."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from typing import Any

import tensorflow as tf

from components.common.base.errors import ParedownError
from components.common.base.interruption import Interrupted
from components.common.base.sensitivity import REPAIR, REPAIRED, SENSITIVITY
from components.common.data import vocabulary
from components.common.data.arrays import Arrays, Division
from components.common.data.model_inputs import InputSpec
from components.common.models import invariants, model_files, served_model
from components.common.models.invariants import one_scale
from components.common.models.model_files import Facts, StepRecord
from components.common.steps.step_executor import StepExecutor, StepJob
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTError
from components.common.tflite.operator import Operator
from components.common.tflite.packed_kernel import PackedKernel
from components.common.tflite.tflite_file import SIGNATURE
from components.tflite_converter import (
    agreement,
    bias_scales,
    conversion_error,
    dead_weights,
    fixed_batch,
    float_parts,
    sparse_encoding,
    tf_converter,
)
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.params import CALIBRATED, ConvertOptions, Granularity, resolve_granularity

# Examples that a file is compared on with the model that it was made from.
_COMPARED = 100


def signature_inputs(saved_model: str) -> dict[str, InputSpec]:
    """Inputs of a SavedModel's `serving_default`, by name, sorted."""
    return model_files.signature_inputs(tf.saved_model.load(saved_model).signatures[SIGNATURE])


def _output_shape(signature: Any) -> Any:
    """Shape of the output of a SavedModel's signature; a list if it has several."""
    shapes = [tuple(spec.shape) for spec in signature.structured_outputs.values()]
    return shapes[0] if len(shapes) == 1 else shapes


def convert(
    saved_model: str,
    options: ConvertOptions,
    quantization_aware: bool,
    calibration: Arrays | None,
    clustered: bool = False,
) -> bytes:
    """Converts a SavedModel.

    Args:
        saved_model: Its folder; the signature `serving_default` is converted.
        options: Options of the conversion.
        quantization_aware: Whether the model holds the ranges that int8 needs.
        calibration: Examples to take ranges from; needed for int8 and int16x8 of other models.
        clustered: Whether kernels have to keep few distinct values, for `granularity: auto`.

    Returns:
        The TFLite file: one file, whose constants are all inside it.

    Raises:
        ConversionError: With the converter's reason, or if the file is not what was asked for.
    """
    if options.fixed_batch:
        with fixed_batch.of(saved_model) as fixed:
            plain = options.model_copy(update={"fixed_batch": False})
            return convert(fixed, plain, quantization_aware, calibration, clustered)
    granularity = resolve_granularity(options, clustered)
    conflict = options.quantization_aware_conflict() if quantization_aware else None
    if conflict:
        raise ConversionError(conflict)
    if quantization_aware or options.quantization not in CALIBRATED:
        calibration = None
    elif calibration is None:
        raise ConversionError(f"{options.quantization} needs examples to take ranges from")

    def run(sparse: bool) -> bytes:
        converter = tf_converter.make(saved_model, options, granularity, calibration, sparse)
        if options.float_ops or options.float_layers:
            return float_parts.convert(converter, options)
        return converter.convert()

    try:
        content = run(options.sparse)
        dense = run(False) if options.sparse else None
    except (Interrupted, ConversionError):
        raise
    except Exception as error:  # the converter raises bare Exceptions and its own ConverterError
        raise ConversionError(
            f"conversion to {options.quantization} failed: {_reason(error, options, granularity)}"
        ) from error
    file = tflite_file.parse(content)
    _refuse_unasked(file.operators, options, granularity)
    if dense is not None:
        sparse_encoding.refuse_dense(file)
        sparse_encoding.refuse_overrun(file)
        sparse_encoding.refuse_misread(content, dense, calibration)
    return bias_scales.separate(content, file)


def _reason(error: Exception, options: ConvertOptions, granularity: Granularity) -> str:
    per_tensor = options.quantization == "int16x8" and granularity == "per-tensor"
    if per_tensor and "Quantized dimension" in str(error):
        return "int16x8 has no per-tensor scales for depthwise convolutions; write granularity: per-channel"
    return conversion_error.reason(error)


def _refuse_unasked(found: list[Operator], options: ConvertOptions, granularity: Granularity) -> None:
    """Raises a ConversionError if a file that was written without complaint is not what was asked for."""
    quantization = options.quantization
    fake = {"FAKE_QUANT"} if quantization in CALIBRATED else {"FAKE_QUANT", "QUANTIZE"}
    left = [f"{operator.name} ({operator.output})" for operator in found if operator.name in fake]
    if left:
        others = f" and {len(left) - 1} more" if left[1:] else ""
        raise ConversionError(
            f"the {quantization} file would have fake-quantization operators, {left[0]}{others}, as the model "
            "is quantization-aware; write a `qat` step and quantization: int8, or build the model without them"
        )
    if quantization == "dynamic" and granularity == "per-tensor":
        depthwise = [o.output for o in found if o.name == "DEPTHWISE_CONV_2D" and o.kernel_scales == 1]
        if depthwise:
            # The kernel reads as many scales as there are channels, past the end of the only one.
            raise ConversionError(
                f"dynamic files with per-tensor scales compute depthwise convolutions wrongly "
                f"({depthwise[0]}); write granularity: per-channel"
            )
    if options.supported_ops == ["TFLITE_BUILTINS_INT8"]:
        names = float_operators(found)
        if names:
            raise ConversionError(
                f"supported_ops: [TFLITE_BUILTINS_INT8] allows only integers, but {', '.join(names)} would "
                "stay in float; write [TFLITE_BUILTINS_INT8, TFLITE_BUILTINS], or build the model without"
            )


def float_operators(found: list[Operator]) -> dict[str, int]:
    """Operator → how many of the kind compute in float, by name."""
    return dict(sorted(Counter(operator.name for operator in found if operator.in_float()).items()))


def convert_model(job: StepJob[ConvertOptions]) -> Facts:
    """Converts the model of a job and writes the TFLite file, and beside it the classes of a string label.

    If the examples went through Transform, a SavedModel that takes raw ones is written beside it; otherwise one for
    TensorFlow Serving, if the options ask for it.

    Returns:
        Facts for lineage: technique, quantization, bytes and gzip bytes; types, operators and layers as
        `invariants.file_facts` has them, each as JSON; whether it runs on LiteRT, and how far its outputs
        are from the model's (`max_error`, `mean_error`, over `compared_examples` of the eval split); of
        int8 and int16x8 files, `float_operators`, those that compute in float, if there are any; of
        sparse ones, `sparse_tensors`, their number; of those to be packed, `packed_kernels`, their number, `packing`,
        what became of each kernel, and `packed_bytes`; of those whose layers are examined, `sensitivity`, `repair`
        and `float_by_repair`, as components.common.base.sensitivity has them.

    Raises:
        ConversionError: With the converter's reason.
        VocabularyError: If a string label has more or fewer classes than the model outputs.
    """
    saved_model = model_files.serving_dir(job.base_model)
    loaded = tf.saved_model.load(saved_model)  # holds the signature's variables
    signature = loaded.signatures[SIGNATURE]
    dead_weights.refuse(signature)
    inputs = model_files.signature_inputs(signature)
    previous = StepRecord.read(job.base_model)
    quantization_aware = previous.quantization_aware
    clustered = any(map(one_scale, previous.layers.values()))
    classes = job.examples.vocabulary()
    if classes is not None:  # the model may come from elsewhere
        vocabulary.refuse_other_outputs(classes.names, _output_shape(signature))
    calibration = division = None
    if job.options.quantization in CALIBRATED and not quantization_aware:
        division = _divide(job, job.examples.open("train", inputs))
        calibration = division.calibration
    content = convert(saved_model, job.options, quantization_aware, calibration, clustered)
    content, examined = _examine(job, signature, content, division, clustered)
    path = model_files.tflite_file(job.output)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    packed, packing_facts = _pack(content, job)
    if classes is not None:
        classes.write(os.path.dirname(path))
    record = previous.after(job.options, packed=packed, **examined)
    record.write(job.output)
    evaluation = job.examples.open("eval", inputs)
    if job.examples.transform_uri:
        served_model.write(saved_model, job.examples.transform_uri, model_files.serving_dir(job.output))
    elif job.options.saved_model:
        # Here, so that a change of it does not convert other files again: ConvertOptions.called_modules.
        from components.tflite_converter import tf_serving

        serving = model_files.serving_dir(job.output)
        tf_serving.write(saved_model, job.examples, inputs, serving)
        if job.options.warmup:
            tf_serving.write_warmup(
                serving, evaluation, job.examples.records("eval"), job.options.warmup, job.seed
            )
    return {
        "technique": "-".join(record.techniques()),
        **facts_of(content, job.options),
        **_invariants(path, record),
        **_agreement(job, signature, path, evaluation),
        **packing_facts,
        **_examined_facts(record),
    }


def _divide(job: StepJob[ConvertOptions], train: Arrays) -> Division:
    """The training examples for calibration, and if layers are examined, others to measure accuracy on."""
    options = job.options
    if not options.examines_layers:
        return Division(train.draw(options.calibration_examples, job.seed), None)
    from components.tflite_converter import held_back

    return held_back.divide(train, options.calibration_examples, options.held_back, job.seed)


def _examine(
    job: StepJob[ConvertOptions],
    signature: Any,
    content: bytes,
    division: Division | None,
    clustered: bool,
) -> tuple[bytes, dict[str, Any]]:
    """Measures what each layer costs, and repairs the file, if that is asked for.

    Returns:
        The file, and what the record says of it.
    """
    options = job.options
    if not options.examines_layers or division is None:
        return content, {"file": options.types()}
    # Here, so that a change of it does not convert other files again: ConvertOptions.called_modules.
    from components.tflite_converter import repairing

    found = repairing.examine(job, signature, content, division, clustered)
    kept = found.repair.kept() if found.repair else []
    changes = {"file": options.types(kept), "sensitivity": found.sensitivity, "repair": found.repair}
    return found.content, changes


def _examined_facts(record: StepRecord) -> Facts:
    facts: Facts = {}
    if record.sensitivity is not None:
        facts[SENSITIVITY] = record.sensitivity.as_property()
    if record.repair is not None:
        facts[REPAIR] = record.repair.as_property()
        facts[REPAIRED] = ", ".join(record.repair.kept()) or "none"
    return facts


def _pack(content: bytes, job: StepJob[ConvertOptions]) -> tuple[list[PackedKernel], Facts]:
    """Writes the packed file beside the plain one, if the options ask for it.

    Returns:
        What became of each kernel, and the same as facts.
    """
    if job.options.pack is None:
        return [], {}
    # Here, so that no code of TFLite Micro is part of other conversions: ConvertOptions.called_modules.
    from components.common.tflite import packing

    try:
        packed = packing.pack(content, job.options.pack, job.options.pack_memory)
    except ParedownError as error:
        raise ConversionError(str(error)) from error
    facts: Facts = {
        "packed_kernels": sum(not kernel.left for kernel in packed.kernels),
        "packing": "; ".join(kernel.text for kernel in packed.kernels),
    }
    if packed.content is not None:
        with open(model_files.packed_file(job.output), "wb") as file:
            file.write(packed.content)
        facts["packed_bytes"] = len(packed.content)
    return list(packed.kernels), facts


def _invariants(path: str, record: StepRecord) -> Facts:
    """The content of a file, layer by layer: the gate judges it, ML Metadata keeps it."""
    file = tflite_file.read(path)
    found = invariants.file_facts(file, record.layers)
    checks = invariants.check(file.layer_kernels(record.layers), record.layers)
    return {
        **{name: json.dumps(value) for name, value in found.items()},
        **invariants.headline(checks),
    }


def _agreement(job: StepJob[ConvertOptions], signature: Any, path: str, evaluation: Arrays) -> Facts:
    """Whether a file runs on LiteRT, and how far it is from the model that it was made from."""
    some = evaluation.draw(_COMPARED, job.seed)
    try:
        found = agreement.measure(signature, path, some)
        if job.examples.transform_uri:
            # The gate compares the served model with this.
            most = evaluation.take(served_model.compared(evaluation.feature_arrays()))
            served_model.write_error(job.output, agreement.measure(signature, path, most).max_error)
    except LiteRTError as error:  # the gate says so too, of this candidate alone
        return {"runs_on_litert": 0, "litert_error": str(error)[:500]}
    return {
        "runs_on_litert": 1,
        "max_error": found.max_error,
        "mean_error": found.mean_error,
        "compared_examples": found.examples,
    }


def facts_of(content: bytes, options: ConvertOptions) -> Facts:
    """The facts that `convert_model` returns about a file, except the technique."""
    file = tflite_file.parse(content)
    facts: Facts = {
        "quantization": options.quantization,
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, compresslevel=9, mtime=0)),
    }
    if options.quantization in CALIBRATED:
        in_float = float_operators(file.operators)
        if in_float:
            facts["float_operators"] = ", ".join(f"{count} × {name}" for name, count in in_float.items())
    if file.sparse_tensors:
        facts["sparse_tensors"] = len(file.sparse_tensors)
    return facts


class Executor(StepExecutor[ConvertOptions]):
    """Runs `convert_model`."""

    OPTIONS = ConvertOptions

    def run(self, job: StepJob[ConvertOptions]) -> Facts:
        """Converts; see `convert_model`."""
        return convert_model(job)
