"""A pretrained model, its trunk, and models that are built on it: transfer learning."""

from __future__ import annotations

import itertools
import json
from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras

from components.common.base.errors import describe
from components.common.base.near_names import nearest
from components.common.models import grafting, saved_models, saved_weights, user_module
from components.common.models.saved_models import SavedModelError
from components.common.models.user_module import UserModuleError

_LISTED = 6  # layers in a message
_OUTPUT = "probabilities"  # of the head; the deployed file calls its output by it


class PretrainedError(UserModuleError):
    """A pretrained model cannot be used.

    Attributes:
        option: The key of `model.pretrained` that is at fault; empty if it is none.
    """

    def __init__(self, message: str, option: str = ""):
        super().__init__(message)
        self.option = option


def load(options: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> tf_keras.Model:
    """Loads the pretrained model as it is, again each time; its layers can all be trained.

    Args:
        options: As in `model.pretrained`, and `file` and `sha256`, the file's or folder's content when the run
            was planned.
        custom_objects: The user's layers and functions, by name.

    Returns:
        A functional model without models inside.

    Raises:
        PretrainedError: If the file is missing, has changed, or is not of such a model.
    """
    file = options["file"]
    if options["path"]:
        try:
            model = saved_models.load(file, custom_objects, sha256=options["sha256"])
        except SavedModelError as error:
            raise PretrainedError(str(error), "path") from error
        if not saved_models.holds_layers(model):
            raise PretrainedError(
                f"{file} is a SavedModel without Keras's layers, so there is none to cut at or freeze; "
                "save it with model.save of tf_keras",
                "path",
            )
    else:
        model = _application(options)
        if file:
            try:
                saved_weights.load(file, model, options["sha256"], _made(options))
            except SavedModelError as error:
                raise PretrainedError(str(error), "weights") from error
    try:
        flat = grafting.flatten(model)
    except grafting.GraftingError as error:
        raise PretrainedError(str(error), "path") from error
    # Layers that were frozen when the file was saved.
    for layer in flat._flatten_layers(include_self=False):
        layer.trainable = True
    return flat


def _made(options: Mapping[str, Any]) -> str:
    """The error of an application whose weights do not fit, for `saved_weights.load`; braces are escaped."""
    written = json.dumps(options["options"], sort_keys=True).replace("{", "{{").replace("}", "}}")
    return (
        f"application {options['application']} with options {written}: {{reason}}; write the options "
        "(include_top, alpha, input_shape, …) of the model that the weights were saved from"
    )


def _application(options: Mapping[str, Any]) -> tf_keras.Model:
    """A model of tf_keras.applications with random weights."""
    name = options["application"]
    known = [entry for entry in dir(tf_keras.applications) if entry[0].isupper()]
    if name not in known:
        meant = nearest(name, known) or f"; there are {', '.join(known)}"
        raise PretrainedError(f"tf_keras.applications has no {name!r}{meant}", "application")
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options["options"].items()
    }
    try:
        return getattr(tf_keras.applications, name)(weights=None, **arguments)
    except (ValueError, TypeError, IndexError) as error:  # the last of a shape that is too short
        raise PretrainedError(f"{name} refuses these options: {describe(error)}", "options") from error


def trunk(options: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> tf_keras.Model:
    """The pretrained model up to the layer that `cut_at` names, loaded again.

    Without `cut_at`, it ends before its last Dense layer if no layer with weights follows it, a
    classifier's; else it is whole.

    Args:
        options: As `load` takes them.
        custom_objects: The user's layers and functions, by name.

    Raises:
        PretrainedError: As `load`, and if there is no layer of the name.
    """
    model = load(options, custom_objects)
    name = options["cut_at"]
    names = [layer.name for layer in model.layers]
    if name is None:
        end = _before_classifier(model)
        return model if end is None else tf_keras.Model(model.inputs, end, name=model.name)
    if name not in names:
        meant = nearest(name, names) or f"; its last ones are {', '.join(names[-_LISTED:])}"
        raise PretrainedError(f"the pretrained model has no layer {name!r}{meant}", "cut_at")
    layer = model.get_layer(name)
    if not isinstance(layer, tf_keras.layers.InputLayer):
        cut = tf_keras.Model(model.inputs, layer.output, name=model.name)
        if cut.weights:
            return cut
    raise PretrainedError(f"there are no weights up to layer {name!r}; write a later one", "cut_at")


def _before_classifier(model: tf_keras.Model) -> Any:
    """The input of the last Dense layer, if that is a classifier and there are weights before it."""
    with_weights = [layer for layer in model.layers if layer.weights]
    if len(with_weights) < 2 or len(model.outputs) > 1:
        return None
    last = with_weights[-1]
    return last.input if isinstance(last, tf_keras.layers.Dense) else None


def build(module: str, hparams: Mapping[str, Any], options: Mapping[str, Any]) -> tf_keras.Model:
    """Builds the baseline on the trunk: by build_model(hparams, pretrained), or with the head of the options.

    Args:
        module: The user's; empty if there is none, and a head in the options.
        hparams: For build_model.
        options: As `load` takes them.

    Returns:
        A compiled model without models inside; it begins with the trunk's weights.

    Raises:
        PretrainedError: If the trunk cannot be loaded, or is not used as it is.
        UserModuleError: If build_model does not give a compiled model.
    """
    trunks: list[tf_keras.Model] = []

    def pretrained() -> tf_keras.Model:
        trunks.append(trunk(options, user_module.custom_objects(module) if module else {}))
        return trunks[0]

    if options["head"] is None:
        built = user_module.build(module, "build_model", dict(hparams), more=pretrained)
        model = grafting.flattened(built, user_module.custom_objects(module))
    else:
        tf_keras.backend.clear_session()
        model = _with_head(pretrained(), **options["head"])
    _refuse_other_use(model, trunks[0])
    return model


def _with_head(base: tf_keras.Model, classes: int, dropout: float) -> tf_keras.Model:
    """A classifier on a trunk: global average pooling if it has places, dropout, softmax."""
    layers = tf_keras.layers
    if len(base.outputs) > 1:
        raise PretrainedError(
            f"the trunk has {len(base.outputs)} outputs, and a head takes one; write cut_at", "cut_at"
        )
    x = base.output
    taken = {layer.name for layer in base.layers}
    if x.shape.rank == 4:
        x = layers.GlobalAveragePooling2D(name=_free("head_pool", taken))(x)
    elif x.shape.rank != 2:
        x = layers.Flatten(name=_free("head_flatten", taken))(x)
    if dropout:
        x = layers.Dropout(dropout, name=_free("head_dropout", taken))(x)
    if _OUTPUT in taken:
        raise PretrainedError(
            f"the trunk has a layer {_OUTPUT!r}, which is the name of the head's output; write cut_at: the layer "
            "before it, or a module whose build_model makes the head instead",
            "cut_at",
        )
    x = layers.Dense(classes, activation="softmax", name=_OUTPUT)(x)
    model = tf_keras.Model(base.inputs, x)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def _free(name: str, taken: Container[str]) -> str:
    """A layer's name that the trunk does not have: the name itself, or the first free one with a number."""
    numbered = (f"{name}_{number}" for number in itertools.count(1))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _refuse_other_use(model: tf_keras.Model, base: tf_keras.Model) -> None:
    """Raises a PretrainedError if a model holds the trunk as one layer, not at all, or without its weights."""
    if grafting.is_nested(model):
        raise PretrainedError(
            "build_model returned a model with a subclassed model inside, which TFMOT cannot optimize: build it with "
            "the functional API or Sequential"
        )
    names = trunk_layers(model, base)
    if not names:
        raise PretrainedError(
            "build_model does not use the trunk that it gets: write tf_keras.Model(pretrained.inputs, "
            "head(pretrained.output))"
        )
    for name in names:
        own, given = model.get_layer(name).get_weights(), base.get_layer(name).get_weights()
        if [w.shape for w in own] != [w.shape for w in given] or not all(map(_equal, own, given)):
            raise PretrainedError(
                f"layer {name} of build_model's model has the name of a layer of the pretrained model, but other "
                "weights; build on pretrained.output, or with components.common.grafting.graft(pretrained, tensors), "
                "and give your own layers other names"
            )


def _equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def trunk_layers(model: tf_keras.Model, base: tf_keras.Model) -> list[str]:
    """Names of a model's layers with weights that are the trunk's."""
    known = {layer.name for layer in base.layers}
    return [layer.name for layer in model.layers if layer.weights and layer.name in known]
