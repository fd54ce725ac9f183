"""The files of a `Model` artifact, and what is known of the steps that made it.

Format-Serving/            SavedModel whose signature `serving_default` takes features by name,
                           or, converted, the file `tflite`, and labels.txt if the label is a string:
                           one class a line, in the order of the outputs; packed, model.packed.tflite, too
Format-Keras/model.h5      the Keras model that the next step loads
optimization.json          the steps so far and what each layer must keep: `StepRecord`
history.json               metrics of each epoch of the last step, if it trained: `training.History`
training.json              facts about the baseline's training: what was distributed, and in which precision
logs/                      the same for TensorBoard
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tensorflow as tf
import tf_keras
from pydantic import BeforeValidator, Field, PlainSerializer

from components.common.base import json_file, layer_names
from components.common.base.activation_ranges import ActivationRange
from components.common.base.asked_types import AskedTypes
from components.common.base.calibration import Calibration
from components.common.base.federated_cost import FederatedCost
from components.common.base.file_hashes import MODEL_FOLDERS
from components.common.base.label import Label
from components.common.base.layer_names import plain_name
from components.common.base.options import Options
from components.common.base.sensitivity import Repair, Sensitivity
from components.common.base.step_options import StepOptions
from components.common.data.model_inputs import InputSpec, match_features
from components.common.models import invariants, strategy
from components.common.models.invariants import Invariant
from components.common.models.stock_layers import without_autograph
from components.common.tflite import packed_kernel
from components.common.tflite.packed_kernel import PackedKernel
from components.common.tflite.tflite_file import SIGNATURE

SERVING, KERAS = MODEL_FOLDERS
TFLITE = "tflite"
_RECORD = "optimization.json"

Facts = dict[str, str | int | float]
# In JSON with the path of its class, which identifies it when it is read.
SerializedInvariant = Annotated[
    Invariant,
    BeforeValidator(lambda value: value if isinstance(value, Invariant) else invariants.from_json(value)),
    PlainSerializer(Invariant.to_json, return_type=dict[str, Any]),
]


class StepRecord(Options):
    """The steps that made a model, and the invariants that later models must keep.

    Attributes:
        steps: Technique and options of each step, in order.
        layers: Layer → what its kernel must keep, what was asked first first.
        float_layers: Patterns of layers that quantization-aware training leaves in float.
        logits: Output of logits → the activation that makes probabilities of them, softmax or sigmoid.
        temperature: Of the baseline's probabilities, if it learned those, as later steps then do; None for logits.
        quantization_aware: Whether the model computes fake quantization, for which it has learned ranges.
        calibration: How these ranges were set before training; None if there are none.
        ranges: Tensor of activations → its range after the last training.
        wrappers: What the names of its layers may begin with; see `layer_names`.
        file: The types that the model was converted to; None before it is converted.
        packed: What became of each kernel in the packed file, if one was asked for.
        sensitivity: What each layer of the int8 file costs; None if it was not measured.
        repair: Which layers stayed in float because of that; None if it was not asked for.
        federated: What the steps that clients trained cost so far; None if there are none.
    """

    steps: list[dict[str, Any]] = []
    layers: dict[str, list[SerializedInvariant]] = {}
    float_layers: list[str] = []
    logits: dict[str, str] = {}
    temperature: float | None = Field(default=None, exclude_if=operator.not_)
    quantization_aware: bool = False
    calibration: Calibration | None = None
    ranges: dict[str, ActivationRange] = {}
    wrappers: list[str] = []
    file: AskedTypes | None = None
    packed: list[PackedKernel] = Field(default=[], exclude_if=operator.not_)
    sensitivity: Sensitivity | None = Field(default=None, exclude_if=operator.not_)
    repair: Repair | None = Field(default=None, exclude_if=operator.not_)
    federated: FederatedCost | None = Field(default=None, exclude_if=operator.not_)

    def after(self, options: StepOptions, **changes: Any) -> StepRecord:
        """The record of a model that one more step made.

        Args:
            options: Options of the step.
            **changes: Fields of the record that the step sets.
        """
        layer_names.declare(*options.wrappers)
        return self.model_copy(
            update={
                "steps": [*self.steps, {"technique": options.technique, **options.model_dump(mode="json")}],
                "layers": {layer: list(asked) for layer, asked in self.layers.items()},
                "wrappers": list(dict.fromkeys([*self.wrappers, *options.wrappers])),
                **changes,
            }
        )

    def ask(self, layer: str, invariant: Invariant) -> None:
        """Adds to what a layer must keep, in place of an earlier invariant of the same kind."""
        asked = self.layers.setdefault(layer, [])
        kinds = [type(earlier) for earlier in asked]
        if type(invariant) in kinds:
            asked[kinds.index(type(invariant))] = invariant
        else:
            asked.append(invariant)

    def asked(self, layer: str) -> Sequence[Invariant]:
        """The invariants of a layer."""
        return self.layers.get(layer, ())

    def techniques(self) -> list[str]:
        """Names of the steps, in order."""
        return [step["technique"] for step in self.steps]

    def write(self, uri: str) -> None:
        """Writes the record into an artifact's folder."""
        json_file.write(os.path.join(uri, _RECORD), self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def read(cls, uri: str) -> StepRecord:
        """Reads an artifact's record; an artifact without one has had no step."""
        path = os.path.join(uri, _RECORD)
        if not os.path.exists(path):
            return cls()
        with open(path, encoding="utf-8") as file:
            record = cls.model_validate_json(file.read())
        layer_names.declare(*record.wrappers)
        return record


def serving_dir(uri: str) -> str:
    """Folder of the SavedModel of a `Model` artifact."""
    return os.path.join(uri, SERVING)


def tflite_file(uri: str) -> str:
    """The TFLite file of a converted `Model` artifact, under the name that TFMA looks for."""
    return os.path.join(uri, SERVING, TFLITE)


def packed_file(uri: str) -> str:
    """The packed TFLite file of a converted `Model` artifact, which may have none."""
    return os.path.join(uri, SERVING, packed_kernel.FILE)


def input_specs(model: tf_keras.Model, features: list[str], label: Label) -> dict[str, InputSpec]:
    """Feature → the model's input that it feeds, in the model's order."""
    by_input = match_features(list(model.input_names), features, label)
    return {
        by_input[name]: InputSpec(tuple(tensor.shape[1:]), tensor.dtype.as_numpy_dtype)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }


def signature_inputs(signature: Any) -> dict[str, InputSpec]:
    """Inputs of a SavedModel's signature, by name, sorted."""
    _, keywords = signature.structured_input_signature
    return {
        name: InputSpec(tuple(spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for name, spec in sorted(keywords.items())
    }


def save(
    model: tf_keras.Model,
    uri: str,
    features: list[str],
    record: StepRecord,
    custom_objects: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model into an artifact's folder, in the formats that the module's docstring lists.

    Args:
        model: Built; may be quantization-aware.
        uri: The folder.
        features: The feature that feeds each of the model's inputs, in the model's order.
        record: What made the model.
        custom_objects: The user's layers and functions, by name.
    """
    os.makedirs(os.path.join(uri, KERAS), exist_ok=True)
    # HDF5, as a quantization-aware model does not load from the `.keras` format.
    model.save(os.path.join(uri, KERAS, "model.h5"), include_optimizer=False)
    record.write(uri)
    if not tf.distribute.has_strategy():
        save_serving(model, serving_dir(uri), features)
        return

    def save_plain() -> None:
        with tf_keras.utils.custom_object_scope(dict(custom_objects or {})):
            save_serving(load(uri), serving_dir(uri), features)

    # A function of variables that are spread over replicas or servers cannot always be saved.
    strategy.outside(save_plain)


def save_serving(model: tf_keras.Model, directory: str, features: list[str]) -> None:
    """Writes a SavedModel whose `serving_default` takes a tensor per feature, by name."""

    # TFMOT's wrappers rename layers; callers of the deployed file know the baseline's names.
    names = [plain_name(name) for name in model.output_names]

    def serve(**tensors: Any) -> dict[str, Any]:
        outputs = model([tensors[name] for name in features], training=False)
        return dict(zip(names, tf.nest.flatten(outputs), strict=True))

    specs = {
        name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=name)
        for name, tensor in zip(features, model.inputs, strict=True)
    }
    function = tf.function(without_autograph(serve, model)).get_concrete_function(**specs)
    module = tf.Module()
    # What the function reads, and no more: tracking the Keras model would trace each of its layers again.
    module.model_variables = model.variables
    module.model_tables = _tables(model)
    tf.saved_model.save(module, directory, signatures={SIGNATURE: function})


def _tables(model: tf_keras.Model) -> list[Any]:
    """Lookup tables of a model's layers, such as those of StringLookup."""
    kind = tf.saved_model.experimental.TrackableResource
    return [value for part in model.submodules for value in vars(part).values() if isinstance(value, kind)]


def load(uri: str) -> tf_keras.Model:
    """Loads the Keras model of an artifact, not compiled. Each call gives new layers.

    TFMOT's wrappers share layer objects with the model that they wrap, so that no two steps may use
    one model object.
    """
    path = os.path.join(uri, KERAS, "model.h5")
    if not StepRecord.read(uri).quantization_aware:
        return tf_keras.models.load_model(path, compile=False, safe_mode=False)
    from components.common.tfmot.in_float import InFloat
    from components.common.tfmot.kernel_quantize_config import KernelQuantizeConfig
    from components.common.tfmot.library import tfmot

    # TFMOT quantizes stock layers alone, which have no need of AutoGraph: see stock_layers.
    load_model = tf.autograph.experimental.do_not_convert(tf_keras.models.load_model)
    own = {"KernelQuantizeConfig": KernelQuantizeConfig, "InFloat": InFloat}
    with tfmot.quantization.keras.quantize_scope(own):
        return load_model(path, compile=False)
