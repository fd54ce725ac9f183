"""The source of a config's models: the user's functions and their arguments besides hparams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tf_keras

from components.common.models import (
    compile_options,
    grafting,
    imported_model,
    pretrained,
    saved_models,
    user_module,
)
from components.common.models.trunk import Trunk


@dataclass(frozen=True)
class ModelDefinition:
    """Models as the `model` section of a config defines them.

    Attributes:
        module: Dotted name of the user's module; empty if there is none.
        hparams: Hyperparameters for its functions.
        source: What the baseline begins with besides; empty if build_model makes all of it.
    """

    module: str
    hparams: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def build(self, function: str = "build_model", compiled: bool = True) -> tf_keras.Model:
        """Builds a new model.

        Args:
            function: `build_model`, or the name of a student's function.
            compiled: Whether it must be compiled.

        Raises:
            UserModuleError: If there is no such function, or it returns something else.
        """
        asked = self.source.get(compile_options.KEY)
        if asked and compiled and function == "build_model":
            model = self._as_compiled(asked["loss"] is not None)
            compile_options.compile_with(model, asked, self.custom_objects())
            return model
        return self._build(function, compiled)

    def _as_compiled(self, has_loss: bool) -> tf_keras.Model:
        """The baseline, compiled unless its file does not say how and a loss is written."""
        try:
            return self._build("build_model", True)
        except saved_models.SavedModelError:
            if not has_loss:
                raise
            return self._build("build_model", False)

    def _build(self, function: str, compiled: bool) -> tf_keras.Model:
        imported = self.source.get(imported_model.KEY)
        if imported and function == "build_model":
            model = imported_model.load(imported, self.module, self.hparams, compiled)
            return grafting.flattened(model, self.custom_objects())
        if self.source.get("pretrained") and function == "build_model":
            return pretrained.build(self.module, self.hparams, self.source["pretrained"])
        model = user_module.build(self.module, function, dict(self.hparams), compiled)
        return grafting.flattened(model, self.custom_objects())

    def build_as_saved(self) -> tf_keras.Model:
        """The baseline, compiled if it can be: an imported file need not say how, if no labels are learned.

        Raises:
            UserModuleError: If there is no model.
        """
        try:
            return self.build()
        except saved_models.SavedModelError:
            return self.build(compiled=False)

    def trunk_of(self, model: tf_keras.Model) -> Trunk | None:
        """Finds and freezes the pretrained layers in a model that `build` returned; None if there are none.

        Raises:
            PretrainedError: If patterns of layers to freeze match none.
        """
        options = self.source.get("pretrained")
        if not options:
            return None
        base = pretrained.trunk(options, self.custom_objects())
        return Trunk(model, base, options)

    def custom_objects(self) -> dict[str, Any]:
        """Classes and functions that Keras needs to load the models, by name."""
        return user_module.custom_objects(self.module) if self.module else {}
