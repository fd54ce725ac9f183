"""The effect of the `qat` step on a model."""

from __future__ import annotations

from dataclasses import replace

import tf_keras

from components.common.base.asked_types import AskedTypes
from components.common.base.layer_names import matches
from components.common.models import layer_weights
from components.common.models.invariants import kept
from components.common.models.layer_selection import LayerSelectionError
from components.common.steps.explanation import Explanation, Outlook, Refusal
from components.common.tflite import file_types
from components.common.tflite.tflite_file import TFLiteFile
from components.quantization_aware_trainer import executor
from components.quantization_aware_trainer.executor import (
    QuantizationError,
    prepare,
    quantize,
    with_one_scale,
)
from components.quantization_aware_trainer.params import QatOptions
from components.quantization_aware_trainer.support import refusals


def explain(outlook: Outlook, options: QatOptions) -> Explanation:
    """Says which layers become int8, and wraps a copy of the model to see that they do."""
    after = replace(outlook, record=executor.after(outlook.record, options))
    one_scale = frozenset(with_one_scale(outlook.record))

    def wrap() -> tuple[tf_keras.Model, list[Refusal]]:
        return _wrap(outlook, options.exclude, one_scale)

    try:
        # Candidates that do something else first may have the same model.
        model, found = outlook.workshop.once(outlook.model, ("qat", *options.exclude, one_scale), wrap)
    except (QuantizationError, LayerSelectionError) as error:
        return Explanation({}, [Refusal("", str(error))], after)
    after = Outlook(model, after.record, after.workshop)
    if found:
        return Explanation({}, found, after)
    effects = {}
    for layer in model.layers:
        if matches(layer.name, options.exclude):
            effects[layer.name] = "stays in float"
        elif layer_weights.has_kernel(layer):
            effects[layer.name] = "int8"
            asked = outlook.record.asked(layer.name)
            if asked:
                effects[layer.name] += f", keeps its {kept(asked)}"
    return Explanation(effects, [], after, remarks=_remarks(model, options))


def _wrap(
    outlook: Outlook, exclude: list[str], one_scale: frozenset[str]
) -> tuple[tf_keras.Model, list[Refusal]]:
    """The model as it is prepared for wrapping, and why wrapping a copy of it does not work."""
    objects = outlook.workshop.custom_objects
    model = prepare(outlook.model, exclude, objects)
    found = refusals(model, exclude)
    if not found:
        with tf_keras.utils.custom_object_scope(objects):
            copy = tf_keras.models.clone_model(model)  # wrapping shares layers with what it wraps
        aware = quantize(copy, exclude, one_scale, objects)
        if exclude:  # without, the rules of `refusals` say all
            found = _beside_exclude(outlook.workshop.aware_file(aware), exclude)
    return model, found


_METHODS = {
    "minmax": "least and greatest values",
    "percentile": "least and greatest values without the most extreme ones",
    "mse": "ranges with the least squared error",
}
_STATISTICS = {
    "frozen": "keep the statistics that they have",
    "moving": "normalize by each batch, and the file by the moving averages",
    "re-estimated": "normalize by each batch, and the file by the means over the training examples",
}


def _remarks(model: tf_keras.Model, options: QatOptions) -> list[str]:
    asked, share = options.calibration, options.freeze_ranges_after
    follow = f"then follow the batches in the first {share:.0%} of the steps"
    if share in (0, 1):
        follow = "then follow the batches" if share else "stay as they are"
    remarks = [
        f"Ranges of activations are set from {asked.examples} training examples ({_METHODS[asked.method]}) and "
        f"{follow}."
    ]
    if any(isinstance(layer, tf_keras.layers.BatchNormalization) for layer in model.layers):
        remarks.append(f"Layers of BatchNormalization {_STATISTICS[options.batch_norm]}.")
    if not options.dropout and any(isinstance(layer, tf_keras.layers.Dropout) for layer in model.layers):
        remarks.append("Dropout is off during training.")
    return remarks


def _beside_exclude(file: TFLiteFile, exclude: list[str]) -> list[Refusal]:
    """Layers that would not have the type in the file that `exclude` says.

    Fake quantization may be missing behind a layer in float, or be on both sides of it.
    """
    checks = file_types.check(file, AskedTypes(quantization="int8"), exclude)
    found = []
    for check in checks:
        if check.met or check.part != "weights":
            continue
        layer = check.name
        if matches(layer, exclude):
            reason = "would be int8 anyway, because everything around it is; remove it from `exclude`"
        else:
            reason = (
                "would stay in float, because it reads a layer that `exclude` leaves in float; leave `qat` out: "
                "post-training "
                "int8 needs no such support, or add it to `exclude`"
            )
        found.append(Refusal(layer, reason, "exclude"))
    return found
