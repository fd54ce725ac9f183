"""Whole models saved elsewhere: Keras files and SavedModels."""

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
from components.common.models import hdf5_bounds, keras_3, model_format
from components.common.models.model_format import ModelFormat, ModelFormatError, code_fault, lacks_code
from components.common.models.user_module import UserModuleError
from components.common.tflite.tflite_file import SIGNATURE

# Exceptions of Keras and TensorFlow for files that are broken, or made of classes that they do not know.
UNREADABLE = (
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
LONGEST = 300
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
    """A local path of a model while it is being read: the path itself, or a copy of what is at a URI.

    Raises:
        SavedModelError: If there is nothing at a URI.
    """
    if "://" not in path:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        yield reading(path, lambda: _copied(path, folder))


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
    """The model at a path.

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
        signature: Takes a SavedModel by this signature, as operations without layers; if it is None, with
            its layers if it has them, else by `serving_default`.
        safe_mode: Refuses a model that would run code of its file or that the file chooses, or read or write other
            files; see `model_format.code_fault`.
        compiled: Whether to compile it as it was when it was saved, if it was.
        sha256: What `model_format.digest` has to be; any if it is empty.

    Returns:
        The model, built, with inputs and outputs as the file names them.

    Raises:
        SavedModelError: If it does not load.
    """
    with local_copy(path) as local:
        refuse_other_content(path, local, sha256)
        return _load(path, local, custom_objects or {}, signature, safe_mode, compiled)


def refuse_other_content(path: str, local: str, sha256: str) -> None:
    """Raises a SavedModelError if a model's SHA-256 is not the one that is expected, if one is."""
    if not sha256:
        return
    try:
        found = model_format.digest(local)
    except ModelFormatError as error:
        raise SavedModelError(f"{path} {error}") from error
    if found != sha256:
        raise SavedModelError(
            f"{path} is not the planned file: its SHA-256 is {found}, not {sha256}; run or compile again"
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
    if safe_mode:
        refuse_code(path, found, signature)
    if signature is not None or found.kind == model_format.SAVED_MODEL:
        return _load_signature(path, local, signature or SIGNATURE)
    refuse_large_arrays(path, local, found)
    if found.keras_3:
        return _load_keras_3(path, local, compiled)
    custom_objects = _by_registered_name(path, found, custom_objects) if safe_mode else custom_objects
    model = reading(path, lambda: _load_keras(local, custom_objects, safe_mode, compiled))
    if not isinstance(model, tf_keras.Model) or not model.built or not getattr(model, "inputs", None):
        raise SavedModelError(
            f"{path} holds a subclassed model, whose layers and inputs are not in the file; write signature: "
            f"{SIGNATURE} to take it as operations, or build it with the functional API and give its weights"
        )
    for layer in model.layers:
        # For a class that it does not know, Keras makes a substitute that cannot be saved again.
        if re.match(r"tf_keras\..*\bsaved_model\b", type(layer).__module__):
            raise SavedModelError(f"{path} {lacks_code(type(layer).__name__, found)}")
    return model


def _load_keras_3(path: str, local: str, compiled: bool) -> tf_keras.Model:
    try:
        return reading(path, lambda: keras_3.load(local, compiled))
    except keras_3.Keras3Error as error:
        raise SavedModelError(f"{path} {error}") from error


def _by_registered_name(path: str, found: ModelFormat, custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """The user's objects, also under the names that the file has for them.

    Keras imports the module that the file names if it does not find a name among the objects that it was given.
    """
    known = {**tf_keras.utils.get_custom_objects(), **custom_objects}
    by_short_name = {name.rpartition(">")[2]: value for name, value in known.items()}
    named = dict(custom_objects)
    for name in found.foreign:
        # For some, Keras would only say that a str is not callable.
        if name not in known and name.rpartition(">")[2] not in by_short_name:
            raise SavedModelError(f"{path} {lacks_code(name, found)}")
        named[name] = known[name] if name in known else by_short_name[name.rpartition(">")[2]]
    return named


def refuse_code(path: str, found: ModelFormat, signature: str | None = None) -> None:
    """Raises a SavedModelError for a model that would run code of its file, or reach outside of the model."""
    if fault := code_fault(found, signature):
        raise SavedModelError(f"{path} {fault}")


def refuse_large_arrays(path: str, local: str, found: ModelFormat) -> None:
    """Raises a SavedModelError for a .keras file whose weights are not what its size says; see `hdf5_bounds`."""
    if found.kind != model_format.KERAS:
        return
    try:
        with (
            zipfile.ZipFile(local) as archive,
            archive.open("model.weights.h5") as inner,
            h5py.File(inner, "r") as file,
        ):
            hdf5_bounds.check(file, archive.getinfo("model.weights.h5").file_size)
    except ModelFormatError as error:
        raise SavedModelError(f"{path} {error}") from error
    except (*hdf5_bounds.DAMAGED, zipfile.BadZipFile) as error:
        raise SavedModelError(f"{path} {_why(error)}") from error


def _load_keras(
    path: str, custom_objects: Mapping[str, Any], safe_mode: bool, compiled: bool
) -> tf_keras.Model:
    # AutoGraph would take Keras for user code, and rewrite it for half a minute.
    load_model = tf.autograph.experimental.do_not_convert(tf_keras.models.load_model)
    with tf_keras.utils.custom_object_scope(dict(custom_objects)):
        return load_model(path, compile=compiled, safe_mode=safe_mode)


def _load_signature(path: str, local: str, signature: str) -> tf_keras.Model:
    """Loads a SavedModel as a model of one layer, a `SignatureLayer`."""
    loaded = reading(path, lambda: tf.saved_model.load(local))
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
            "gives them different names"
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
    return reading(path, lambda: _model_of(loaded, signature, specs))


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


def reading(path: str, read: Callable[[], Result]) -> Result:
    """Calls a function that reads a model.

    Raises:
        SavedModelError: If it raises one of `UNREADABLE`; the message names `path`.
    """
    try:
        return read()
    except UNREADABLE as error:
        raise SavedModelError(f"{path} {_why(error)}") from error


def unknown_class(error: Exception) -> str:
    """The class or function that Keras does not know, by the error that it raised; empty if that is not why."""
    found = _UNKNOWN.search(" ".join(str(error).split()))
    return found.group(1) if found else ""


def _why(error: Exception) -> str:
    unknown = unknown_class(error)
    if unknown:
        return lacks_code(unknown)
    return f"does not load ({describe(error)[:LONGEST].rstrip('.')}); save it again"
