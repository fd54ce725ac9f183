"""What outputs are taken for, from loss and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.distiller.error import DistillationError
from components.distiller.outputs import Outputs, find_outputs, last_activation, task_of
from tests.components.distiller.expected import (
    STUDENT,
    TEACHER,
    binary_cross_entropy,
    cross_entropy,
    layers,
    model_of,
    sigmoid,
    softmax,
)

keras_losses = tf_keras.losses


def nested() -> list[Any]:
    return [tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="softmax")])]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(lambda: [layers.Dense(3, activation="softmax")], "softmax", id="dense-softmax"),
        pytest.param(lambda: [layers.Dense(3), layers.Softmax()], "softmax", id="softmax-layer"),
        pytest.param(lambda: [layers.Dense(3), layers.Activation("softmax")], "softmax", id="activation"),
        pytest.param(lambda: [layers.Dense(1, activation="sigmoid")], "sigmoid", id="dense-sigmoid"),
        pytest.param(lambda: [layers.Dense(3)], "linear", id="logits"),
        pytest.param(lambda: [layers.Dense(6), layers.Reshape((6,))], "linear", id="reshaped-logits"),
        pytest.param(
            lambda: [layers.Dense(6, activation="softmax"), layers.Reshape((6,)), layers.Flatten()],
            "softmax",
            id="reshaped-softmax",
        ),
        pytest.param(
            lambda: [layers.Dense(3, activation="softmax"), layers.Activation("linear", dtype="float32")],
            "softmax",
            id="softmax-cast",
        ),
        pytest.param(nested, "softmax", id="model-in-the-model"),
        pytest.param(lambda: [layers.Dense(3, activation="relu")], "relu", id="relu"),
        pytest.param(lambda: [layers.Dense(3), layers.BatchNormalization()], None, id="no-activation"),
        pytest.param(lambda: [layers.Reshape((4,))], None, id="nothing-but-the-input"),
    ],
)
def test_the_last_activation_is_found(head: Callable[[], list], expected: str | None) -> None:
    assert last_activation(model_of(*head())) == expected


def test_several_outputs_are_refused() -> None:
    x = layers.Input((2,))
    with pytest.raises(DistillationError, match="two has 2 outputs; `distill` takes one"):
        last_activation(tf_keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)], name="two"))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", ("multiclass", False)),
        (keras_losses.SparseCategoricalCrossentropy(from_logits=True), ("multiclass", True)),
        (keras_losses.CategoricalFocalCrossentropy(), ("multiclass", False)),
        (["kld"], ("multiclass", False)),
        (keras_losses.binary_crossentropy, ("multilabel", False)),
        ({"y": keras_losses.BinaryCrossentropy(from_logits=True)}, ("multilabel", True)),
        ("mse", ("regression", False)),
        ("MeanAbsoluteError", ("regression", False)),
        (keras_losses.Huber(0.3), ("regression", False)),
        (keras_losses.LogCosh(), ("regression", False)),
        (keras_losses.CosineSimilarity(), ("regression", False)),
        ("hinge", (None, False)),
        (lambda labels, outputs: tf.reduce_mean(labels - outputs), (None, False)),
        ({}, (None, False)),
        (None, (None, False)),
    ],
)
def test_the_loss_determines_the_task_and_whether_it_takes_logits(
    loss: Any, expected: tuple[str | None, bool]
) -> None:
    assert task_of(loss) == expected


def test_a_function_of_the_users_own_is_not_taken_for_keras_of_the_same_name() -> None:
    def mean_squared_error(labels: Any, outputs: Any) -> Any:
        return tf.reduce_sum(labels * outputs)

    assert task_of(mean_squared_error) == (None, False)


def own_loss(labels: Any, outputs: Any) -> Any:
    return tf.reduce_mean(tf.abs(labels - outputs))


def ending(activation: str | None, units: int = 3) -> tf_keras.Model:
    """A model whose last layer has this activation; None means a softmax that no layer shows."""
    if activation is None:
        return model_of(layers.Dense(units), layers.Lambda(tf.nn.softmax))
    return model_of(layers.Dense(units, activation=activation))


LOGITS = keras_losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("loss", "ends", "units", "task", "expected"),
    [
        ("sparse_categorical_crossentropy", "softmax", 3, "auto", ("multiclass", "softmax")),
        (LOGITS, "linear", 3, "auto", ("multiclass", "linear")),
        ("categorical_crossentropy", None, 3, "auto", ("multiclass", "softmax")),
        (LOGITS, None, 3, "auto", ("multiclass", "linear")),
        ("binary_crossentropy", "sigmoid", 1, "auto", ("multilabel", "sigmoid")),
        ("binary_crossentropy", "sigmoid", 3, "auto", ("multilabel", "sigmoid")),
        (keras_losses.BinaryCrossentropy(from_logits=True), "linear", 1, "auto", ("multilabel", "linear")),
        # Two exclusive classes as one-hot labels.
        ("binary_crossentropy", "softmax", 2, "auto", ("multiclass", "softmax")),
        (own_loss, "softmax", 3, "auto", ("multiclass", "softmax")),
        (own_loss, "sigmoid", 1, "auto", ("multilabel", "sigmoid")),
        (own_loss, "linear", 3, "multiclass", ("multiclass", "linear")),
        (own_loss, "linear", 3, "multilabel", ("multilabel", "linear")),
    ],
)
def test_classifiers(loss: Any, ends: str | None, units: int, task: str, expected: tuple[str, str]) -> None:
    found = find_outputs(ending(ends, units), ending(ends, units), loss, task)

    assert found == Outputs(expected[0], expected[1], expected[1])


@pytest.mark.parametrize(
    ("loss", "ends", "units", "task"),
    [
        ("mse", "linear", 1, "auto"),
        ("mse", "linear", 3, "auto"),
        (keras_losses.Huber(), "relu", 1, "auto"),
        ("mae", "sigmoid", 1, "auto"),
        (own_loss, "linear", 1, "auto"),
        (own_loss, "linear", 3, "regression"),
        ("binary_crossentropy", "sigmoid", 1, "regression"),
    ],
)
def test_regressions(loss: Any, ends: str, units: int, task: str) -> None:
    assert find_outputs(ending(ends, units), ending(ends, units), loss, task).task == "regression"


def test_a_layer_that_does_not_tell_is_taken_for_what_the_other_model_ends_in() -> None:
    found = find_outputs(ending("softmax"), ending(None), own_loss)

    assert found == Outputs("multiclass", "softmax", "softmax")


@pytest.mark.parametrize(
    ("loss", "ends", "task", "message"),
    [
        (
            "sparse_categorical_crossentropy",
            ("softmax", "relu"),
            "auto",
            "student ends in relu; `distill` needs",
        ),
        (
            "sparse_categorical_crossentropy",
            ("softmax", "linear"),
            "auto",
            "student ends in linear and the base",
        ),
        (
            "binary_crossentropy",
            ("sigmoid", "softmax"),
            "auto",
            "softmax, which is not multilabel|in softmax and",
        ),
        (
            "sparse_categorical_crossentropy",
            ("linear", "linear"),
            "auto",
            "compile with from_logits=True, or",
        ),
        (
            own_loss,
            ("linear", "linear"),
            "auto",
            "teacher is compiled with a custom loss.*; say which with",
        ),
        (
            own_loss,
            ("softmax", "softmax"),
            "multilabel",
            "ends in softmax, which is not multilabel; write task",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    loss: Any, ends: tuple[str, str], task: str, message: str
) -> None:
    teacher, student = (
        model_of(layers.Dense(3, activation=end), name=name)
        for end, name in zip(ends, ("teacher", "student"), strict=True)
    )
    with pytest.raises(DistillationError, match=message):
        find_outputs(teacher, student, loss, task)


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        (
            Outputs("multiclass", "softmax", "softmax"),
            (softmax(TEACHER), softmax(STUDENT)),
            cross_entropy(TEACHER, STUDENT, 3.0),
        ),
        (Outputs("multiclass"), (TEACHER, STUDENT), cross_entropy(TEACHER, STUDENT, 3.0)),
        (
            Outputs("multilabel", "sigmoid", "sigmoid"),
            (sigmoid(TEACHER), sigmoid(STUDENT)),
            binary_cross_entropy(TEACHER, STUDENT, 3.0),
        ),
        (Outputs("multilabel"), (TEACHER, STUDENT), binary_cross_entropy(TEACHER, STUDENT, 3.0)),
        (Outputs("regression"), (TEACHER, STUDENT), ((TEACHER - STUDENT) ** 2).mean()),
    ],
    ids=["softmax", "logits", "sigmoid", "independent-logits", "regression"],
)
def test_the_teacher_loss_is_that_of_the_task(
    outputs: Outputs, given: tuple[np.ndarray, np.ndarray], expected: float
) -> None:
    tensors = [tf.constant(values, tf.float32) for values in given]

    assert float(outputs.loss(*tensors, 3.0)) == pytest.approx(expected, rel=1e-4)
