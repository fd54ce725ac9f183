"""An existing model as the baseline: `model.import` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from components.common.models import compilation, model_format, saved_models, saved_weights, user_module
from components.common.models.saved_models import SavedModelError

# Where `ModelDefinition.source` has it: path, kind (path or weights), format, sha256, signature, inputs and
# safe_mode.
KEY = "import"


def load(
    source: Mapping[str, Any], module: str, hparams: Mapping[str, Any], compiled: bool
) -> tf_keras.Model:
    """Loads the model that a source says.

    Its inputs have the names of features if `inputs` gives them. If `module` has build_model, that is
    what loss, metrics and optimizer come from; else it is compiled as it was when it was saved.

    Args:
        source: As `KEY` says.
        module: Dotted name of the user's module; empty if there is none.
        hparams: For build_model.
        compiled: Whether it must be compiled.

    Raises:
        UserModuleError: If the model does not load, or cannot be compiled.
    """
    path = source["path"]
    if source["kind"] == "weights":
        model = user_module.build(module, "build_model", dict(hparams), compiled)
        saved_weights.load(path, model, source["sha256"])
    else:
        model = _load_whole(source, module, hparams, compiled)
    return rename_inputs(model, source["inputs"], path)


def _load_whole(
    source: Mapping[str, Any], module: str, hparams: Mapping[str, Any], compiled: bool
) -> tf_keras.Model:
    path = source["path"]
    objects = user_module.custom_objects(module) if module else {}
    builds = callable(objects.get("build_model"))
    model = saved_models.load(
        path,
        objects,
        source["signature"],
        source["safe_mode"],
        compiled and not builds,
        source["sha256"],
    )
    if not compiled:
        return model
    if builds:
        reference = user_module.build(module, "build_model", dict(hparams))
        _refuse_other_outputs(path, model, reference)
        compilation.compile_like(model, reference)
    elif not model._is_compiled:
        raise SavedModelError(f"{path} {model_format.NOT_COMPILED}")
    return model


def _refuse_other_outputs(path: str, model: tf_keras.Model, reference: tf_keras.Model) -> None:
    own, other = ([tuple(tensor.shape[1:]) for tensor in each.outputs] for each in (model, reference))
    if own != other:
        raise SavedModelError(
            f"{path} has outputs of shapes {own}, and the model that build_model compiles {other}; build it as "
            "the file has it"
        )


def rename_inputs(model: tf_keras.Model, names: Mapping[str, str], path: str) -> tf_keras.Model:
    """Names inputs after features.

    Args:
        model: Functional or Sequential; changed.
        names: Input → its new name.
        path: Path of the model, for errors.

    Returns:
        A model of the same layers, with compiled loss, metrics and optimizer.

    Raises:
        SavedModelError: If there is no such input, or a layer has the new name already.
    """
    for name in names:
        if name not in model.input_names:
            raise SavedModelError(
                f"inputs: {path} has no input {name!r}; it has {sorted(model.input_names)}"
            )
    changed = {name: new for name, new in names.items() if name != new}
    if not changed:
        return model
    kept = {layer.name for layer in model.layers} - set(changed)
    taken = sorted(kept & set(changed.values()))
    if taken:
        raise SavedModelError(
            f"inputs: {path} has a layer {taken[0]!r} already, so no input can have this name; rename the "
            "feature, or the layer"
        )
    inputs = [tensor.node.layer for tensor in model.inputs]
    for layer in inputs:
        layer._name = changed.get(layer.name, layer.name)
    renamed = tf_keras.Model(model.inputs, model.outputs, name=model.name)
    if model._is_compiled:
        compilation.compile_like(renamed, model)
    return renamed
