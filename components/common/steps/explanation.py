"""The effect of a step on each layer of a model, known before anything is trained."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tf_keras

from components.common.base.errors import describe
from components.common.base.interruption import Interrupted
from components.common.base.step_options import StepOptions
from components.common.models import model_files, saved_models
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.models.repeatability import refuse_unrepeatable
from components.common.models.stock_layers import only_stock_layers
from components.common.models.user_module import UserModuleError
from components.common.tflite import tflite_file
from components.common.tflite.tflite_file import TFLiteFile

_LONGEST = 300
Made = TypeVar("Made")

# Folder of a SavedModel, whether it is quantization-aware → a float32 or int8 file.
ToTFLite = Callable[[str, bool], bytes]


@dataclass(frozen=True)
class Refusal:
    """Why a step cannot work on a model.

    Attributes:
        layer: Name of the layer at fault; empty if it is the model as a whole.
        reason: What is wrong, and what to write instead.
        option: The option that is at fault, if one is.
    """

    layer: str
    reason: str
    option: str = ""

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}" if self.layer else self.reason


class Workshop:
    """Builds the user's models, and converts them untrained; each only once.

    Attributes:
        examples: Number of training examples, if it is known.
        custom_objects: What the user's module defines or imports, by name.
    """

    def __init__(self, definition: ModelDefinition, to_tflite: ToTFLite, examples: int | None):
        self._definition = definition
        self._to_tflite = to_tflite
        self._made: dict[int, tuple[tf_keras.Model, dict[Hashable, Any]]] = {}
        self.examples = examples

    @functools.cached_property
    def custom_objects(self) -> dict[str, Any]:
        return self._definition.custom_objects()

    @functools.lru_cache  # noqa: B019  (lives as long as one command)
    def build(self, function: str, compiled: bool = False) -> tf_keras.Model:
        """The model that a function of the user's module builds.

        Raises:
            UserModuleError: If it does not, or if the model cannot go from one step to the next.
        """
        model = self._definition.build(function, compiled)
        refuse_unrepeatable(model)
        self._refuse_unsaved(model, function)
        return model

    @functools.cached_property
    def baseline_as_saved(self) -> tf_keras.Model:
        """The baseline, compiled if it can be; see `build`."""
        model = self._definition.build_as_saved()
        self._refuse_unsaved(model, "build_model")
        return model

    def _refuse_unsaved(self, model: tf_keras.Model, function: str) -> None:
        """Writes the Keras model and loads it, as is done between steps."""
        if not saved_models.holds_layers(model):
            return
        try:
            with (
                tempfile.TemporaryDirectory(prefix="paredown-") as folder,
                tf_keras.utils.custom_object_scope(self.custom_objects),
            ):
                path = Path(folder) / model_files.KERAS / "model.h5"
                path.parent.mkdir()
                model.save(path, include_optimizer=False)
                model_files.load(folder)
        except Interrupted:
            raise
        except Exception as error:  # the user's get_config and from_config may raise anything
            raise UserModuleError(
                f"{self._definition.module}.{function} returned a model that cannot be saved and loaded, as it is "
                f"between steps: {_why_not_loaded(model, error)}"
            ) from error

    def float_file(self, model: tf_keras.Model) -> TFLiteFile:
        """A model as float32 TFLite file; its weights may become others, which mean nothing either.

        Raises:
            ConversionError: If TFLite cannot hold it.
        """

        def convert() -> TFLiteFile:
            _tell_apart(model)
            return self._convert(model, False)

        return self.once(model, "float_file", convert)

    def once(self, model: tf_keras.Model, key: Hashable, make: Callable[[], Made]) -> Made:
        """The result of a function of a model: cached, if there was an earlier call with this model and key."""
        # The model goes along, so that its id stays its own.
        _, made = self._made.setdefault(id(model), (model, {}))
        if key not in made:
            made[key] = make()
        found: Made = made[key]
        return found

    def aware_file(self, model: tf_keras.Model) -> TFLiteFile:
        """A quantization-aware model as int8 TFLite file, for which it needs no examples.

        Raises:
            ConversionError: If TFLite cannot hold it.
        """
        return self._convert(model, True)

    def _convert(self, model: tf_keras.Model, aware: bool) -> TFLiteFile:
        with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
            model_files.save_serving(model, folder, list(model.input_names))
            return tflite_file.parse(self._to_tflite(folder, aware))


def _tell_apart(model: tf_keras.Model) -> None:
    """Gives weights that are all equal, such as biases, different values, as training does.

    The converter stores equal constants once: the file would be smaller than that of the trained model.
    """
    random = np.random.default_rng(0)
    for weight in model.weights:
        values = weight.numpy()
        if values.size and np.issubdtype(values.dtype, np.floating) and np.all(values == values.flat[0]):
            weight.assign(values + random.uniform(0.01, 0.02, values.shape).astype(values.dtype))


def _why_not_loaded(model: tf_keras.Model, error: Exception) -> str:
    for layer in filter(only_stock_layers, model.layers):  # others may have no config to ask for
        for argument, value in layer.get_config().items():
            if isinstance(value, dict) and value.get("class_name") == "function":
                return (
                    f"{argument} of layer {layer.name} is {value['config']}, a custom function, which Keras does not "
                    "find when it loads the model; write a class instead, or for an activation a layer"
                )
    return (
        f"{describe(error)[:_LONGEST]}; give custom layers a get_config that from_config can read, and each layer "
        "and weight a unique name"
    )


@dataclass(frozen=True)
class Outlook:
    """The state of a chain before a step, as far as it is known without training.

    Attributes:
        model: With the layers that there will be; its weights mean nothing.
        record: The options of the steps so far.
        workshop: For the models that a step needs besides.
    """

    model: tf_keras.Model
    record: StepRecord
    workshop: Workshop

    def after(self, options: StepOptions, model: tf_keras.Model | None = None) -> Outlook:
        """The outlook when a step has been taken, of which the record still lacks what it asks for."""
        return replace(self, model=model or self.model, record=self.record.after(options))


@dataclass(frozen=True)
class Explanation:
    """The effect of a step.

    Attributes:
        effects: Layer → the effect on it, in a few words. Unchanged layers are left out.
        refusals: Why the step cannot work; empty if it can.
        after: The outlook for the next step.
        size: Predicted bytes of the file, if the step writes one.
        layer_bytes: Layer → predicted bytes of its weights in that file.
        notes: What may go wrong although the step works, and what to write.
        remarks: What the step does to the model as a whole, a sentence each.
    """

    effects: dict[str, str]
    refusals: list[Refusal]
    after: Outlook
    size: int | None = None
    layer_bytes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
