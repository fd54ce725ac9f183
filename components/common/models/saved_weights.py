"""Weights saved elsewhere, for a model that is built here."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import tensorflow as tf
import tf_keras

from components.common.base.errors import describe
from components.common.models import model_format, saved_models
from components.common.models.model_format import ModelFormat
from components.common.models.saved_models import LONGEST, UNREADABLE, SavedModelError

# The rest of the error for weights that do not fit: which model they are for, and what to change.
_BUILT = "the model that build_model returns: {reason}; build the model that the weights were saved from"


def load(path: str, model: tf_keras.Model, sha256: str = "", made: str = _BUILT) -> None:
    """Loads weights into a model of the same architecture.

    Args:
        path: Weights as HDF5 or a checkpoint, or a Keras file whose weights alone are wanted; local, or a URI.
        model: Built.
        sha256: What `model_format.digest` has to be; any if it is empty.
        made: What the model is and what to change if the weights do not fit, with `{reason}` between.

    Raises:
        SavedModelError: If they are not those of such a model, all of them.
    """
    try:
        _load(path, model, sha256)
    except _Misfit as error:
        raise SavedModelError(f"{path} does not fit {made.format(reason=error)}") from error


def _load(path: str, model: tf_keras.Model, sha256: str) -> None:
    with saved_models.local_copy(path) as local:
        saved_models.refuse_other_content(path, local, sha256)
        found = saved_models.recognise(path, local)
        if found.kind in (model_format.SAVED_MODEL, model_format.KERAS_SAVED_MODEL):
            raise SavedModelError(f"{path} is a SavedModel, not weights; write {{path: …}}")
        if found.keras_3:
            raise SavedModelError(f"{path} is a model of Keras 3, not weights; write {{path: …}}")
        if found.kind == model_format.CHECKPOINT:
            prefix = str(found.files[-1].with_suffix(""))
            _fitting(lambda: _restore(path, prefix, model))
        else:
            saved_models.refuse_large_arrays(path, local, found)
            _refuse_other_weights(path, local, found, model)
            _fitting(lambda: model.load_weights(local))


class _Misfit(Exception):
    """Why weights do not fit a model."""


def _fitting(load: Callable[[], object]) -> None:
    try:
        load()
    except UNREADABLE as error:
        raise _Misfit(describe(error)[:LONGEST].rstrip(".")) from error


def _restore(path: str, prefix: str, model: tf_keras.Model) -> None:
    """Restores a checkpoint, and makes sure that every weight came from it, and went to the model."""
    saved = [name for name, _ in tf.train.list_variables(prefix) if name.startswith("layer_with_weights-")]
    _refuse_other_count(path, len(saved), model)
    status = model.load_weights(prefix)
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise _Misfit(describe(error)[:LONGEST]) from error


def _refuse_other_count(path: str, saved: int, model: tf_keras.Model) -> None:
    """Keras would leave out what a file has more than the model."""
    if saved != len(model.weights):
        raise _Misfit(f"the file holds {saved} weights of layers, and the model has {len(model.weights)}")


def _refuse_other_weights(path: str, local: str, found: ModelFormat, model: tf_keras.Model) -> None:
    """Compares shapes layer by layer if the file names layers: Keras's own message names neither."""
    if found.kind == model_format.KERAS:
        with zipfile.ZipFile(local) as archive, archive.open("model.weights.h5") as inner:
            saved = _shapes(path, inner, model)
    else:
        saved = _shapes(path, local, model)
    if saved is None:
        return
    own = {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in model.layers
        if layer.weights
    }
    if len(saved) != len(own):
        differ = sorted(set(saved) ^ set(own))
        which = f" ({', '.join(differ[:6])} in one of them only)" if differ else ""
        counts = f"the file has weights of {len(saved)} layers, and the model {len(own)} such layers"
        raise _Misfit(counts + which)
    # Keras goes by order, not by name.
    for (name, shapes), (wanted, expected) in zip(saved.items(), own.items(), strict=True):
        if shapes != expected:
            called = f"layer {wanted}" if name == wanted else f"layer {wanted} ({name} in the file)"
            raise _Misfit(f"{called} has weights of shapes {_listed(expected)}, the file {_listed(shapes)}")


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _shapes(path: str, content: Any, model: tf_keras.Model) -> dict[str, list[tuple[int, ...]]] | None:
    """Layer → shapes of its weights, in order; None if the file does not name layers."""
    with h5py.File(content, "r") as file:
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs:
            _refuse_other_count(path, _arrays(file), model)
            return None
        shapes = {}
        for name in group.attrs["layer_names"]:
            layer = group[name]
            own = [tuple(layer[weight].shape) for weight in layer.attrs["weight_names"]]
            if own:
                shapes[name.decode() if isinstance(name, bytes) else name] = own
        return shapes


def _arrays(file: h5py.File) -> int:
    """Number of weights in a file of Keras's newer layout, whose arrays are `<path of the layer>/vars/<n>`."""
    found = []

    def look(name: str, value: Any) -> None:
        aside = name.startswith(("optimizer/", "metrics/")) or "/seed_generator" in name
        if isinstance(value, h5py.Dataset) and not aside:
            found.append(name)

    file.visititems(look)
    return len(found)
