"""A SavedModel for TensorFlow Serving beside the file: `convert: {saved_model: true}`.

Signatures:

serving_default   a tensor for each input, by name, as the TFLite file takes them → predictions
examples          `examples`, serialized tf.Examples of the data → predictions

It computes what the TFLite file was converted from: `max_error` of the conversion says how far the two are apart.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from components.common.models.served_model import EXAMPLES
from components.common.tflite.tflite_file import SIGNATURE
from components.tflite_converter.conversion_error import ConversionError

# Where TensorFlow Serving looks for requests to warm up with.
# https://www.tensorflow.org/tfx/serving/saved_model_warmup
WARMUP = os.path.join("assets.extra", "tf_serving_warmup_requests")
_CHECKED = 32
_TOLERANCE = 1e-5


def write(saved_model: str, examples: Examples, inputs: Mapping[str, InputSpec], directory: str) -> None:
    """Writes the SavedModel, and predicts eval examples by both signatures.

    Args:
        saved_model: Folder of the model, whose `serving_default` takes features by name.
        examples: The data, which say how a tf.Example is parsed.
        inputs: Of the model.
        directory: Where to; may hold other files.

    Raises:
        ConversionError: If what was written does not predict as the model does.
    """
    loaded = tf.saved_model.load(saved_model)
    predict = loaded.signatures[SIGNATURE]
    spec = {name: feature for name, feature in examples.feature_spec().items() if name in inputs}

    def parsed(serialized: Any) -> dict[str, Any]:
        features = tf.io.parse_example(serialized, spec)
        return {name: _as_input(features[name], inputs[name]) for name in inputs}

    tensors = {
        name: tf.TensorSpec([None, *one.shape], one.dtype, name=name) for name, one in inputs.items()
    }
    records = tf.TensorSpec([None], tf.string, name=EXAMPLES)
    module = tf.Module()
    module.model = loaded  # whose variables the functions read

    def concrete(function: Callable[..., Any], **specs: Any) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(**specs)

    signatures = {
        SIGNATURE: concrete(lambda **given: predict(**given), **tensors),
        EXAMPLES: concrete(lambda examples: predict(**parsed(examples)), **{EXAMPLES: records}),
    }
    tf.saved_model.save(module, directory, signatures=signatures)
    _check(directory, predict, parsed, list(itertools.islice(examples.records("eval"), _CHECKED)))


def _as_input(values: Any, spec: InputSpec) -> Any:
    if isinstance(values, tf.SparseTensor):
        values = tf.sparse.to_dense(values)
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor()
    shaped = tf.reshape(values, [-1, *(-1 if size is None else size for size in spec.shape)])
    return shaped if shaped.dtype == spec.dtype else tf.cast(shaped, spec.dtype)


def _check(
    directory: str,
    predict: Callable[..., Any],
    parsed: Callable[[Any], dict[str, Any]],
    records: list[bytes],
) -> None:
    signatures = tf.saved_model.load(directory).signatures
    serialized = tf.constant(records)
    given = parsed(serialized)
    expected = predict(**given)
    for name, found in (
        (SIGNATURE, signatures[SIGNATURE](**given)),
        (EXAMPLES, signatures[EXAMPLES](serialized)),
    ):
        for output, values in expected.items():
            if not np.allclose(found[output], values, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise ConversionError(
                    f"the SavedModel's signature {name} predicts another {output} than the model; leave saved_model "
                    "and push.serving out"
                )


def write_warmup(
    directory: str, evaluation: Arrays, records: Iterable[bytes], count: int, seed: int
) -> None:
    """Writes requests that TensorFlow Serving predicts before a version takes over.

    Args:
        directory: Of the SavedModel.
        evaluation: The eval split.
        records: The same as serialized tf.Examples, in any order.
        count: Examples: a request for each by its tensors, and one with all of them as tf.Examples.
        seed: Draws the examples.
    """
    drawn = evaluation.draw(count, seed).feature_arrays()
    # By content, as ExampleGen does not write examples in the same order twice.
    some = heapq.nsmallest(count, records, key=lambda record: _digest(record, seed))
    logs = [
        _log(SIGNATURE, {name: values[index : index + 1] for name, values in drawn.items()})
        for index in range(len(next(iter(drawn.values()))))
    ]
    logs.append(_log(EXAMPLES, {EXAMPLES: np.array(some, object)}))
    path = os.path.join(directory, WARMUP)
    os.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for log in logs:
            writer.write(log.SerializeToString(deterministic=True))


def _digest(record: bytes, seed: int) -> bytes:
    return hashlib.blake2b(record, key=str(seed).encode()).digest()


def _log(signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request)
    return log
