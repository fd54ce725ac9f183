"""A SavedModel that takes raw features: the transform graph and, behind it, the model.

It is written beside the TFLite file, whose inputs are transformed features, in one folder that TensorFlow Serving
loads. Both sides then go through the same graph, so that what is served is what was trained on. Signatures:

serving_default         `examples`, serialized tf.Examples of raw features → predictions
raw_features            a tensor for each raw feature, by name → predictions
transform_features      `examples` → what the TFLite file takes, in float
transform_raw_features  a tensor for each raw feature, by name → what the TFLite file takes, in float

By name: letters, digits and _ after a letter; what else a raw feature's name has, TensorFlow makes _ of. A raw
feature that may be missing is a tensor of shape (batch, values), in which MISSING stands for no value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.common.base import json_file
from components.common.data.arrays import content_digests
from components.common.data.model_inputs import signature_name
from components.common.data.transform_graph import TransformError, TransformGraph
from components.common.models.model_files import signature_inputs
from components.common.tflite.tflite_file import SIGNATURE

RAW_FEATURES = "raw_features"
TRANSFORM_FEATURES = "transform_features"
TRANSFORM_RAW_FEATURES = "transform_raw_features"
EXAMPLES = "examples"

# What float32 arithmetic adds to the difference of two predictions, by their size: graphs are optimized again
# where they are loaded, and batches are computed in another order.
TOLERANCE = 1e-5
_COMPARED = 1000
_ERROR = "conversion.json"

# The value that means "missing" in a tensor of raw features, by their type: a tensor has to hold something.
MISSING = {tf.float32: float("nan"), tf.string: "", tf.int64: np.iinfo(np.int64).min}


def write(saved_model: str, transform_graph: str, directory: str) -> None:
    """Writes the SavedModel.

    Args:
        saved_model: Folder of the model on transformed features, whose `serving_default` takes them by name.
        transform_graph: Folder of the `TransformGraph` artifact.
        directory: Where to; may hold other files.

    Raises:
        TransformError: If the graph does not make an input of the model.
    """
    model = tf.saved_model.load(saved_model)
    predict = model.signatures[SIGNATURE]
    inputs = signature_inputs(predict)
    graph = TransformGraph(transform_graph)
    spec = graph.raw_spec(inputs)
    names = {name: signature_name(name) for name in spec}
    if len(set(names.values())) < len(names):
        raise TransformError(
            f"raw features {sorted(names)} have names that are the same in TensorFlow's signatures: letters, "
            "digits and '_' are kept, others become '_'; rename one of them"
        )

    def parsed(examples: Any) -> dict[str, Any]:
        return tf.io.parse_example(examples, spec)

    def given(tensors: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _as_parsed(tensors[names[name]], feature) for name, feature in spec.items()}

    signatures: dict[str, tuple[Callable[..., Any], dict[str, tf.TensorSpec]]] = {}
    records = {EXAMPLES: tf.TensorSpec([None], tf.string, name=EXAMPLES)}
    tensors = {names[name]: _tensor(names[name], feature) for name, feature in spec.items()}
    signatures[SIGNATURE] = (lambda examples: predict(**graph.transform(parsed(examples), inputs)), records)
    signatures[RAW_FEATURES] = (lambda **raw: predict(**graph.transform(given(raw), inputs)), tensors)
    signatures[TRANSFORM_FEATURES] = (lambda examples: graph.transform(parsed(examples), inputs), records)
    signatures[TRANSFORM_RAW_FEATURES] = (lambda **raw: graph.transform(given(raw), inputs), tensors)
    module = tf.Module()
    # Variables, and tables with their vocabularies as assets.
    module.model = model
    module.transform = graph.tracked()
    tf.saved_model.save(
        module,
        directory,
        signatures={
            name: tf.function(function, autograph=False).get_concrete_function(**specs)
            for name, (function, specs) in signatures.items()
        },
    )


def compared(features: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Indices of the examples that file and model are compared on: the same ones in whatever order all are.

    Args:
        features: Features of all examples of the eval split, as the file takes them.
    """
    digests = content_digests(features)
    return np.array(sorted(range(len(digests)), key=lambda index: digests[index])[:_COMPARED], np.int64)


def write_error(uri: str, max_error: float) -> None:
    """Keeps how far a file's predictions are at most from those of the model, on `compared` examples."""
    json_file.write(os.path.join(uri, _ERROR), {"max_error": max_error})


def read_error(uri: str) -> float:
    """Reads the file of `write_error` in a `Model` artifact's folder."""
    with open(os.path.join(uri, _ERROR), encoding="utf-8") as file:
        return float(json.load(file)["max_error"])


def exists(directory: str) -> bool:
    """Whether a folder holds a SavedModel."""
    return os.path.exists(os.path.join(directory, "saved_model.pb"))


def _tensor(name: str, feature: Any) -> tf.TensorSpec:
    """How a client gives a raw feature by name."""
    if isinstance(feature, tf.io.FixedLenFeature):
        return tf.TensorSpec([None, *feature.shape], feature.dtype, name=name)
    if isinstance(feature, tf.io.VarLenFeature):
        return tf.TensorSpec([None, None], feature.dtype, name=name)
    raise TransformError(
        f"raw feature {name!r} is read as {type(feature).__name__}, for which no tensor can be given"
    )


def _as_parsed(value: Any, feature: Any) -> Any:
    """A client's tensor as tf.io would have parsed it."""
    if isinstance(feature, tf.io.FixedLenFeature):
        return value
    none = MISSING[feature.dtype]
    there = ~tf.math.is_nan(value) if feature.dtype == tf.float32 else tf.not_equal(value, none)
    return tf.ragged.boolean_mask(value, there).to_sparse()
