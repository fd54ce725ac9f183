"""Models that somebody else saved: Keras files, SavedModels, weights."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import h5py
import tensorflow as tf
import tf_keras
from google.protobuf.message import DecodeError

from components.common.base.errors import describe
from components.common.models import model_format
from components.common.models.model_format import ModelFormat, ModelFormatError
from components.common.models.user_module import UserModuleError
from components.common.tflite.tflite_file import SIGNATURE

# What Keras and TensorFlow raise for files that are broken, or made of classes that they do not know.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ImportError,
    DecodeError,
    zipfile.BadZipFile,
    tf.errors.OpError,
)
# How the two ways of Keras to load layers say which class they do not know.
_UNKNOWN = re.compile(
    r"(?:Unknown [^:]*: |Could not locate \w+ |Cannot deserialize object of type )['`]([^'`]+)['`]"
)
_LONGEST = 300
# How weights that do not fit are told of: what model they were to go into, and what to change.
_BUILT = "the model that build_model returns: {reason}; build the model that the weights were saved from"

Result = TypeVar("Result")


class SavedModelError(UserModuleError):
    """A saved model cannot be used; the message names the file and says what to change."""


class SignatureLayer(tf_keras.layers.Layer):
    """A signature of a SavedModel: operations and variables, but no layers that could be changed.

    Its variables are not trained; they count as the layer's weights.
    """

    def __init__(self, loaded: Any, signature: str, **options: Any):
        super().__init__(trainable=False, **options)
        self._loaded = loaded
        self._function = loaded.signatures[signature]
        # Keras takes variables in an attribute for weights.
        self._used = list(self._function.variables)

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Calls the signature with its inputs by name."""
        return self._function(**inputs)


def holds_layers(model: tf_keras.Model) -> bool:
    """Whether a model is made of Keras's layers, which steps can change; else it is a plain SavedModel's."""
    return not any(isinstance(layer, SignatureLayer) for layer in model.layers)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path of a model while it is being read: the path itself, or a copy of what stands at a URI.

    Raises:
        SavedModelError: Where there is nothing at a URI.
    """
    if "://" not in path:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        yield _reading(path, lambda: _copied(path, folder))


def _copied(uri: str, folder: str) -> str:
    target = os.path.join(folder, uri.rstrip("/").rpartition("/")[2])
    if tf.io.gfile.isdir(uri):
        for parent, _, files in tf.io.gfile.walk(uri):
            below = os.path.normpath(os.path.join(target, os.path.relpath(parent, uri)))
            os.makedirs(below, exist_ok=True)
            for file in files:
                tf.io.gfile.copy(f"{parent.rstrip('/')}/{file}", os.path.join(below, file))
    elif tf.io.gfile.exists(uri):
        tf.io.gfile.copy(uri, target)
    else:  # the prefix of a checkpoint's files
        for file in tf.io.gfile.glob(f"{uri}.*"):
            tf.io.gfile.copy(file, os.path.join(folder, file.rpartition("/")[2]))
    return target


def recognise(path: str, local: str) -> ModelFormat:
    """What a path holds.

    Args:
        path: As the user knows it.
        local: The same on this machine.

    Raises:
        SavedModelError: As `model_format.recognise`, the message naming the path.
    """
    try:
        return model_format.recognise(local)
    except ModelFormatError as error:
        raise SavedModelError(f"{path} {error}") from error


def load(
    path: str,
    custom_objects: Mapping[str, Any] | None = None,
    signature: str | None = None,
    safe_mode: bool = True,
    compiled: bool = False,
    sha256: str = "",
) -> tf_keras.Model:
    """Loads a whole model.

    Args:
        path: A Keras file or the folder of a SavedModel; local, or a URI.
        custom_objects: Classes and functions that are not Keras's own, by name.
        signature: Takes a SavedModel by this signature, as operations without layers; where it is None, with
            its layers if it has them, else by `serving_default`.
        safe_mode: Refuses a model that holds Python code of its own, a Lambda layer.
        compiled: Whether to compile it as it was when it was saved, where it was.
        sha256: What `model_format.digest` has to be; any where it is empty.

    Returns:
        The model, built, with inputs and outputs as the file names them.

    Raises:
        SavedModelError: Where it does not load.
    """
    with local_copy(path) as local:
        refuse_other_content(path, local, sha256)
        return _load(path, local, custom_objects or {}, signature, safe_mode, compiled)


def refuse_other_content(path: str, local: str, sha256: str) -> None:
    """Raises a SavedModelError where a model's SHA-256 is not the one that is expected, if one is."""
    if not sha256:
        return
    try:
        found = model_format.digest(local)
    except ModelFormatError as error:
        raise SavedModelError(f"{path} {error}") from error
    if found != sha256:
        raise SavedModelError(
            f"{path} is not what was planned: its SHA-256 is {found}, not {sha256}; run or compile again"
        )


def _load(
    path: str,
    local: str,
    custom_objects: Mapping[str, Any],
    signature: str | None,
    safe_mode: bool,
    compiled: bool,
) -> tf_keras.Model:
    found = recognise(path, local)
    if found.kind in model_format.WEIGHTS_ALONE:
        raise SavedModelError(
            f"{path} holds weights without a model; write {{weights: …}} and a module with build_model"
        )
    if signature is not None and found.kind not in (
        model_format.SAVED_MODEL,
        model_format.KERAS_SAVED_MODEL,
    ):
        raise SavedModelError(f"{path} is a Keras file, which has no signatures; leave `signature` out")
    if signature is not None or found.kind == model_format.SAVED_MODEL:
        return _load_signature(path, local, signature or SIGNATURE)
    refuse_code(path, found, safe_mode)
    for name in found.foreign:
        # Of some, Keras would say no more than that text cannot be called.
        if name not in custom_objects and not _is_registered(name):
            raise SavedModelError(f"{path} {_lacks_code(name)}")
    model = _reading(path, lambda: _load_keras(local, custom_objects, safe_mode, compiled))
    if not isinstance(model, tf_keras.Model) or not model.built or not getattr(model, "inputs", None):
        raise SavedModelError(
            f"{path} holds a subclassed model, whose layers and inputs are not in the file; write signature: "
            f"{SIGNATURE} to take it as operations, or build it with the functional API and give its weights"
        )
    for layer in model.layers:
        # Of a class that it does not know, Keras makes one that cannot be saved again.
        if re.match(r"tf_keras\..*\bsaved_model\b", type(layer).__module__):
            raise SavedModelError(
                f"{path} {_lacks_code(type(layer).__name__)}, or write signature: {SIGNATURE} to take the model as "
                "operations"
            )
    return model


def _is_registered(name: str) -> bool:
    known = (known.rpartition(">")[2] for known in tf_keras.utils.get_custom_objects())
    return name in known


def refuse_code(path: str, found: ModelFormat, safe_mode: bool) -> None:
    """Raises a SavedModelError for a model with Python code in it, where that was not allowed."""
    if found.executes and safe_mode:
        raise SavedModelError(
            f"{path} holds a Lambda layer: Python code, which loading it runs; write safe_mode: false if you "
            "trust where it comes from"
        )


def _load_keras(
    path: str, custom_objects: Mapping[str, Any], safe_mode: bool, compiled: bool
) -> tf_keras.Model:
    # AutoGraph would take Keras for user code, and rewrite it for half a minute.
    load_model = tf.autograph.experimental.do_not_convert(tf_keras.models.load_model)
    with tf_keras.utils.custom_object_scope(dict(custom_objects)):
        return load_model(path, compile=compiled, safe_mode=safe_mode)


def _load_signature(path: str, local: str, signature: str) -> tf_keras.Model:
    """Loads a SavedModel as a model of one layer, a `SignatureLayer`."""
    loaded = _reading(path, lambda: tf.saved_model.load(local))
    if signature not in loaded.signatures:
        known = ", ".join(loaded.signatures) or "none"
        raise SavedModelError(f"{path} has no signature {signature!r}; write signature: one of {known}")
    function = loaded.signatures[signature]
    specs = dict(sorted(function.structured_input_signature[1].items()))
    outputs = function.structured_outputs
    both = sorted(set(specs) & set(outputs))
    if both:
        raise SavedModelError(
            f"{path} has an input and an output of the same name, {both[0]!r}; save it with a signature that "
            "tells them apart"
        )
    for name, spec in specs.items():
        if spec.shape.rank is None or spec.shape.rank == 0:
            raise SavedModelError(
                f"{path} has an input {name!r} of shape {spec.shape}, without a batch; save it with a signature "
                "whose inputs are (batch, …)"
            )
        if spec.shape[0] is not None:
            raise SavedModelError(
                f"{path} takes {spec.shape[0]} examples at a time (input {name!r} of shape {spec.shape}); save it "
                "with a signature whose inputs begin with None"
            )
    return _reading(path, lambda: _model_of(loaded, signature, specs))


def _model_of(loaded: Any, signature: str, specs: Mapping[str, tf.TensorSpec]) -> tf_keras.Model:
    inputs = {
        name: tf_keras.layers.Input(spec.shape[1:], dtype=spec.dtype, name=name)
        for name, spec in specs.items()
    }
    results = SignatureLayer(loaded, signature, name="saved_model")(inputs)
    # A model's outputs have the names of the layers that they come from.
    outputs = [
        tf_keras.layers.Activation("linear", name=name, dtype=result.dtype)(result)
        for name, result in sorted(results.items())
    ]
    return tf_keras.Model(list(inputs.values()), outputs)


def load_weights(path: str, model: tf_keras.Model, sha256: str = "", made: str = _BUILT) -> None:
    """Loads weights into a model of the same architecture.

    Args:
        path: Weights as HDF5 or a checkpoint, or a Keras file whose weights alone are wanted; local, or a URI.
        model: Built.
        sha256: What `model_format.digest` has to be; any where it is empty.
        made: What the model is and what to change where the weights do not fit, with `{reason}` between.

    Raises:
        SavedModelError: Where they are not those of such a model, all of them.
    """
    try:
        _load_weights(path, model, sha256)
    except _Misfit as error:
        raise SavedModelError(f"{path} does not fit {made.format(reason=error)}") from error


def _load_weights(path: str, model: tf_keras.Model, sha256: str) -> None:
    with local_copy(path) as local:
        refuse_other_content(path, local, sha256)
        found = recognise(path, local)
        if found.kind in (model_format.SAVED_MODEL, model_format.KERAS_SAVED_MODEL):
            raise SavedModelError(f"{path} is a SavedModel, not weights; write {{path: …}}")
        if found.kind == model_format.CHECKPOINT:
            prefix = str(found.files[-1].with_suffix(""))
            _fitting(lambda: _restore(path, prefix, model))
        else:
            _refuse_other_weights(path, local, found, model)
            _fitting(lambda: model.load_weights(local))


class _Misfit(Exception):
    """Why weights do not fit a model."""


def _fitting(load: Callable[[], object]) -> None:
    try:
        load()
    except _UNREADABLE as error:
        raise _Misfit(describe(error)[:_LONGEST].rstrip(".")) from error


def _restore(path: str, prefix: str, model: tf_keras.Model) -> None:
    """Restores a checkpoint, and makes sure that every weight came from it, and went to the model."""
    saved = [name for name, _ in tf.train.list_variables(prefix) if name.startswith("layer_with_weights-")]
    _refuse_other_count(path, len(saved), model)
    status = model.load_weights(prefix)
    try:
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise _Misfit(describe(error)[:_LONGEST]) from error


def _refuse_other_count(path: str, saved: int, model: tf_keras.Model) -> None:
    """Keras would leave out what a file has more than the model."""
    if saved != len(model.weights):
        raise _Misfit(f"the file holds {saved} weights of layers, and the model has {len(model.weights)}")


def _refuse_other_weights(path: str, local: str, found: ModelFormat, model: tf_keras.Model) -> None:
    """Compares shapes layer by layer where the file names layers: Keras's own message names neither."""
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
    """Layer → shapes of its weights, in order; None where the file does not name layers."""
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


def _reading(path: str, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except _UNREADABLE as error:
        raise SavedModelError(f"{path} {_why(error)}") from error


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    unknown = _UNKNOWN.search(text)
    if unknown:
        return _lacks_code(unknown.group(1))
    return f"does not load ({describe(error)[:_LONGEST].rstrip('.')}); save it again"


def _lacks_code(name: str) -> str:
    return f"has {name!r}, whose code is not in the file; define it in the module that model.module names"
