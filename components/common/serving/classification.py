"""TensorFlow Serving's Classify: tf.Examples in, scores of classes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.serving.predictions import Predicted
from components.common.serving.request_error import invalid
from components.common.serving.servable import Port, Signature, Values
from components.common.serving.stubs import example_pb2

# Names that TensorFlow Serving's own signatures of classification give their outputs.
_SCORES, _CLASSES = "scores", "classes"


def features(request: Any, signature: Signature) -> Values:
    """The inputs that a request's examples hold.

    A signature that takes serialized examples gets them as they are. To others, a feature goes by the input's name.

    Args:
        request: An `Input`: a list of tf.Examples, with a context that all of them share or without.
        signature: Signature of the model.

    Raises:
        RequestError: If there is no example, or an input finds no feature that fits it.
    """
    kind = request.WhichOneof("kind")
    if kind is None:
        raise invalid("the request has no examples")
    examples = list(getattr(request, kind).examples)
    if kind == "example_list_with_context":
        examples = [_merged(request.example_list_with_context.context, example) for example in examples]
    if not examples:
        raise invalid("the request has no examples")
    (name, port), *others = signature.inputs.items()
    if not others and port.dtype == object and len(port.shape or ()) == 1:
        serialized = np.empty(len(examples), object)
        serialized[:] = [example.SerializeToString() for example in examples]
        return {name: serialized}
    return {
        name: np.stack([_value(name, port, example) for example in examples])
        for name, port in signature.inputs.items()
    }


def fill(answer: Any, predicted: Predicted) -> None:
    """Puts predictions into a ClassificationResult: a class is its text, or its number.

    Raises:
        RequestError: If the model returns something else than a score for each class.
    """
    outputs = dict(predicted.outputs)
    labels = outputs.pop(_CLASSES, None) if len(outputs) > 1 else None
    scores = outputs.get(_SCORES) if len(outputs) > 1 else next(iter(outputs.values()))
    if scores is None or scores.ndim != 2 or scores.dtype.kind != "f":
        raise invalid("the model does not return a score for each class; call Predict")
    for row, values in enumerate(scores.tolist()):
        classes = answer.classifications.add().classes
        for column, score in enumerate(values):
            classes.add(label=_label(labels, row, column), score=score)


def _label(labels: npt.NDArray[Any] | None, row: int, column: int) -> str:
    if labels is None:
        return str(column)
    value = labels[row][column]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _merged(context: Any, example: Any) -> Any:
    merged = example_pb2.Example()
    merged.CopyFrom(context)
    for name, feature in example.features.feature.items():
        merged.features.feature[name].CopyFrom(feature)
    return merged


def _value(name: str, port: Port, example: Any) -> npt.NDArray[Any]:
    if name not in example.features.feature:
        raise invalid(f"an example has no feature {name!r}")
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    if (kind == "bytes_list") != (port.dtype == object) or (
        kind == "float_list" and port.dtype.kind in "iub"
    ):
        raise invalid(f"feature {name!r} is a {kind}, and the input takes {port.dtype.name}")
    shape = [-1 if size is None else size for size in (port.shape or ())[1:]]
    try:
        return np.array(values, port.dtype).reshape(shape)
    except (ValueError, OverflowError):
        raise invalid(
            f"feature {name!r} has {len(values):,} values, the input's shape is {shape}"
        ) from None
