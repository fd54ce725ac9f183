"""The inner layers of teacher and student that are compared, and what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from components.common.base.near_names import closest
from components.distiller.error import FeatureError

_MEASURED_TOGETHER = 128


@dataclass(frozen=True)
class Pair:
    """A layer of the teacher, and the layer of the student that learns from it.

    Attributes:
        teacher_layer: Its name.
        student_layer: Its name.
        taught: Symbolic output of the teacher's layer, (batch, …, channels).
        learned: Symbolic output of the student's, the same but for the channels.
    """

    teacher_layer: str
    student_layer: str
    taught: Any
    learned: Any

    def projection(self) -> tf_keras.layers.Layer:
        """The layer, built, that takes the student's features to as many channels as the teacher's.

        A convolution of 1×1 is a dense layer over the last axis, which also does for vectors and series.
        """
        channels = self.taught.shape[-1]
        if self.learned.shape[-1] == channels:
            layer = tf_keras.layers.Identity(name=f"keep_{self.student_layer}")
        else:
            layer = tf_keras.layers.Dense(
                channels, dtype="float32", name=f"project_{self.student_layer}_to_{self.teacher_layer}"
            )
        layer.build(self.learned.shape)
        return layer


def layer_outputs(model: tf_keras.Model) -> dict[str, list[Any]]:
    """Layer → the symbolic tensors that it gives inside a model, in the model's order.

    `layer.output` would not do: a layer that was used elsewhere too gives several, and a model inside
    the model gives its own output rather than the one that it has here.
    """
    found: dict[str, list[Any]] = {}
    seen = {id(tensor.node) for tensor in model.inputs}
    pending = [tensor.node for tensor in model.outputs]
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen.add(id(node))
            found.setdefault(node.layer.name, []).extend(tf.nest.flatten(node.outputs))
            pending.extend(node.parent_nodes)
    return {layer.name: found[layer.name] for layer in model.layers if layer.name in found}


def find_pairs(teacher: tf_keras.Model, student: tf_keras.Model, features: Mapping[str, str]) -> list[Pair]:
    """The layers that an option `features` names.

    Args:
        teacher: The baseline, with its layers' names as build_model gives them.
        student: As the student's function builds it.
        features: Layer of the teacher → layer of the student.

    Returns:
        One pair for each, in the order of the teacher's names.

    Raises:
        FeatureError: If a layer does not exist or cannot be compared, or two differ in height and
            width.
    """
    if not features:
        return []
    taught, learned = layer_outputs(teacher), layer_outputs(student)
    pairs = []
    for teacher_layer, student_layer in sorted(features.items()):
        pair = Pair(
            teacher_layer,
            student_layer,
            _only(taught, teacher_layer, "baseline"),
            _only(learned, student_layer, "student"),
        )
        _refuse_other_sizes(pair, learned)
        pairs.append(pair)
    return pairs


def _only(outputs: dict[str, list[Any]], layer: str, whose: str) -> Any:
    """The one tensor of a layer."""
    if layer not in outputs:
        near = closest(layer, outputs)
        meant = f"did you mean {near!r}? Its" if near else "its"
        raise FeatureError(
            f"features: the {whose} has no layer {layer!r}; {meant} layers are {list(outputs)}"
        )
    tensors = outputs[layer]
    if len(tensors) > 1:
        raise FeatureError(
            f"features: {layer!r} of the {whose} gives {len(tensors)} tensors, so it is not clear which to compare; "
            f"name a layer that gives one"
        )
    if not tensors[0].dtype.is_floating or tensors[0].shape.rank < 2 or tensors[0].shape[-1] is None:
        raise FeatureError(
            f"features: {layer!r} of the {whose} gives {tensors[0].dtype.name} of shape "
            f"{tuple(tensors[0].shape)}; name a layer that gives floats of shape (batch, …, channels)"
        )
    return tensors[0]


def _refuse_other_sizes(pair: Pair, learned: dict[str, list[Any]]) -> None:
    wanted = tuple(pair.taught.shape[1:-1])
    if tuple(pair.learned.shape[1:-1]) == wanted:
        return
    fitting = [
        name
        for name, (tensor, *more) in learned.items()
        if not more and tuple(tensor.shape[1:-1]) == wanted
    ]
    instead = f"of the student's layers these fit: {fitting}" if fitting else "no layer of the student fits"
    raise FeatureError(
        f"features: {pair.teacher_layer!r} of the baseline gives {tuple(pair.taught.shape)} and "
        f"{pair.student_layer!r} of the student {tuple(pair.learned.shape)}; name layers of equal height and "
        f"width, that is, equal in all dimensions but the last; {instead}"
    )


def with_features(model: tf_keras.Model, tensors: Sequence[Any]) -> tf_keras.Model:
    """A model of the same layers that gives `[output, tensors, …]`.

    Layers that feed no output, those of `add_loss` and `add_metric`, come along as the last outputs:
    what they add would be lost otherwise.
    """
    aside = [layer.output for layer in model.layers if type(layer).__name__ in ("AddLoss", "AddMetric")]
    return tf_keras.Model(model.inputs, [model.output, list(tensors), aside])


def variances(
    teacher: tf_keras.Model, pairs: Sequence[Pair], inputs: Sequence[NDArray[Any]]
) -> list[float]:
    """The variance of the teacher's features around the mean of each channel, averaged over channels.

    Args:
        teacher: Whose layers `pairs` names.
        pairs: As `find_pairs` returns them.
        inputs: Examples to measure on, an array for each of the teacher's inputs.

    Returns:
        One number for each pair.

    Raises:
        FeatureError: If features hardly vary, so that there is nothing to learn from them.
    """
    model = tf_keras.Model(teacher.inputs, [pair.taught for pair in pairs])
    moments = [_Moments() for _ in pairs]
    for start in range(0, len(inputs[0]), _MEASURED_TOGETHER):
        batch = [values[start : start + _MEASURED_TOGETHER] for values in inputs]
        given = tf.nest.flatten(model(batch, training=False))
        for each, values in zip(moments, given, strict=True):
            each.add(values.numpy())
    for pair, each in zip(pairs, moments, strict=True):
        # Below this there is only the rounding of float32.
        if not each.variance() > 1e-12 * np.mean(each.mean**2):
            raise FeatureError(
                f"features: {pair.teacher_layer!r} of the baseline gives the same for every example, so there is "
                "nothing to learn from it; name another layer"
            )
    return [each.variance() for each in moments]


class _Moments:
    """Mean and variance of each channel, batch by batch.

    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances"
    (1979): squares are summed around the mean, as their plain sum cancels if means are large.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Takes values of shape (batch, …, channels) in."""
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        mean, count = rows.mean(axis=0), self.count + len(rows)
        apart = mean - self.mean
        self._squares += ((rows - mean) ** 2).sum(axis=0) + apart**2 * self.count * len(rows) / count
        self.mean = self.mean + apart * len(rows) / count
        self.count = count

    def variance(self) -> float:
        """Averaged over channels."""
        return float(np.mean(self._squares / self.count))
