"""One step of training against NumPy, what is reported, and what training leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.distiller.features import find_pairs, variances
from components.distiller.model import Distiller
from components.distiller.outputs import Outputs, find_outputs
from tests.components.distiller.expected import (
    binary_cross_entropy,
    cross_entropy,
    layers,
    logit,
    model_of,
    softmax,
    unexplained,
    variance,
)

X = np.random.default_rng(2).normal(size=(16, 4)).astype(np.float32)
LABELS = np.arange(16) % 3
SOFTMAX = Outputs("multiclass", "softmax", "softmax")
RATE = 0.5


def pair(hidden: int = 5) -> tuple[tf_keras.Model, tf_keras.Model]:
    """A teacher and a student without BatchNormalization, so that training mode changes nothing."""
    tf_keras.utils.set_random_seed(4)
    teacher = model_of(
        layers.Dense(8, activation="relu", name="wide"),
        layers.Dense(3, activation="softmax"),
        name="teacher",
    )
    student = model_of(
        layers.Dense(hidden, name="narrow"), layers.Dense(3, activation="softmax"), name="student"
    )
    return teacher, student


def distiller_of(
    teacher: tf_keras.Model,
    student: tf_keras.Model,
    alpha: float,
    features: dict[str, str] | None = None,
    feature_weight: float = 1.0,
    loss: Any = "sparse_categorical_crossentropy",
    metrics: Any = None,
    rate: float = RATE,
) -> Distiller:
    """With plain gradient descent and a temperature of 3, run eagerly."""
    pairs = find_pairs(teacher, student, features or {})
    distiller = Distiller(
        student,
        teacher,
        find_outputs(teacher, student, loss),
        temperature=3.0,
        alpha=alpha,
        pairs=pairs,
        variances=variances(teacher, pairs, [X]) if pairs else (),
        feature_weight=feature_weight,
    )
    distiller.compile(tf_keras.optimizers.SGD(rate), loss, metrics=metrics, run_eagerly=True)
    return distiller


def head_gradient(alpha: float, outputs: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """Gradient of label and teacher loss in the student's logits: section 2 of Hinton et al."""
    by_teacher = 3.0 * (softmax(np.log(outputs) / 3) - softmax(np.log(taught) / 3))
    return (alpha * (outputs - np.eye(3)[LABELS]) + (1 - alpha) * by_teacher) / 16


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_weighs_label_loss_against_teacher_loss(alpha: float) -> None:
    teacher, student = pair()
    taught, outputs = teacher(X).numpy(), student(X).numpy()
    kernel = student.get_weights()[2]
    hidden = student.layers[0](X).numpy()
    figures = distiller_of(teacher, student, alpha).train_on_batch(X, LABELS, return_dict=True)
    label_loss = -np.log(outputs[np.arange(16), LABELS]).mean()
    teacher_loss = cross_entropy(np.log(taught), np.log(outputs), 3.0)

    assert set(figures) == {"loss", "label_loss", "teacher_loss"}
    assert figures["label_loss"] == pytest.approx(label_loss, rel=1e-5)
    assert figures["teacher_loss"] == pytest.approx(teacher_loss, rel=1e-4)
    assert figures["loss"] == pytest.approx(alpha * label_loss + (1 - alpha) * teacher_loss, rel=1e-4)
    expected = kernel - RATE * hidden.T @ head_gradient(alpha, outputs, taught)
    np.testing.assert_allclose(student.get_weights()[2], expected, atol=1e-5)


@pytest.mark.parametrize("feature_weight", [0.0, 1.0, 7.0])
def test_features_teach_the_layer_and_its_projection(feature_weight: float) -> None:
    teacher, student = pair()
    hints, taught, outputs = teacher.layers[0](X).numpy(), teacher(X).numpy(), student(X).numpy()
    hidden, (kernel, _, head, _) = student.layers[0](X).numpy(), student.get_weights()
    distiller = distiller_of(teacher, student, 0.3, {"wide": "narrow"}, feature_weight)
    projection, bias = distiller._projections[0].get_weights()
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)

    projected = hidden @ projection + bias
    feature_loss = unexplained(hints, projected, variance(hints))
    assert figures["feature_loss"] == pytest.approx(feature_loss, rel=1e-4)
    rest = 0.3 * figures["label_loss"] + 0.7 * figures["teacher_loss"]
    assert figures["loss"] == pytest.approx(rest + feature_weight * feature_loss, rel=1e-4)

    in_projected = feature_weight * 2 * (projected - hints) / hints.size / variance(hints)
    in_hidden = head_gradient(0.3, outputs, taught) @ head.T + in_projected @ projection.T
    np.testing.assert_allclose(student.get_weights()[0], kernel - RATE * X.T @ in_hidden, atol=1e-5)
    moved = distiller._projections[0].get_weights()
    np.testing.assert_allclose(moved[0], projection - RATE * hidden.T @ in_projected, atol=1e-5)
    np.testing.assert_allclose(moved[1], bias - RATE * in_projected.sum(axis=0), atol=1e-5)


def test_features_of_as_many_channels_are_compared_as_they_are() -> None:
    teacher, student = pair(hidden=8)
    hints, hidden = teacher.layers[0](X).numpy(), student.layers[0](X).numpy()
    distiller = distiller_of(teacher, student, 0.3, {"wide": "narrow"})
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)

    assert figures["feature_loss"] == pytest.approx(unexplained(hints, hidden, variance(hints)), rel=1e-4)
    assert len(distiller.trainable_variables) == len(student.trainable_variables) == 4


def test_the_feature_loss_is_the_mean_over_the_pairs() -> None:
    teacher, student = pair(hidden=8)
    hints, hidden = teacher.layers[0](X).numpy(), student.layers[0](X).numpy()
    ends = teacher(X).numpy(), student(X).numpy()
    features = {"wide": "narrow", teacher.layers[1].name: student.layers[1].name}
    distiller = distiller_of(teacher, student, 0.0, features)
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)
    both = unexplained(hints, hidden, variance(hints)), unexplained(*ends, variance(ends[0]))

    assert figures["feature_loss"] == pytest.approx(np.mean(both), rel=1e-4)


def test_the_student_comes_to_explain_the_teachers_features() -> None:
    left = {}
    for weight in (0.0, 1.0):
        teacher, student = pair(hidden=6)
        distiller = distiller_of(teacher, student, 0.1, {"wide": "narrow"}, weight, rate=0.2)
        left[weight] = distiller.fit(X, LABELS, epochs=30, verbose=0).history["feature_loss"]

    assert left[1.0][0] == pytest.approx(left[0.0][0], rel=1e-5)
    # A linear layer cannot give all of what a ReLU gives, but more than the mean of each channel.
    assert left[1.0][-1] < 0.5 and left[1.0][-1] < left[0.0][-1] / 2


@pytest.mark.parametrize("scale", [0.001, 1000.0])
def test_the_weight_means_the_same_whatever_the_scale_of_the_teachers_features(scale: float) -> None:
    """Features of another scale, and a projection that fits it, give the same loss and gradient."""
    moved = []
    for factor in (1.0, scale):
        teacher, student = pair()
        first, second = teacher.layers
        first.set_weights([w * factor for w in first.get_weights()])
        second.set_weights([second.get_weights()[0] / factor, second.get_weights()[1]])
        distiller = distiller_of(teacher, student, 0.5, {"wide": "narrow"})
        projection = distiller._projections[0]
        projection.set_weights([w * factor for w in projection.get_weights()])
        figures = distiller.train_on_batch(X, LABELS, return_dict=True)
        moved.append([figures["feature_loss"], *student.get_weights()])

    for one, other in zip(*moved, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_alpha_1_without_features_is_plain_training_to_the_last_bit() -> None:
    teacher, student = pair()
    _, alone = pair()
    distiller = distiller_of(teacher, student, 1.0, rate=0.1)
    alone.compile(tf_keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    histories = []
    for model in (distiller, alone):
        tf_keras.utils.set_random_seed(7)
        history = model.fit(X, LABELS, validation_data=(X, LABELS), batch_size=5, epochs=3, verbose=0)
        histories.append(history.history)

    for a, b in zip(student.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert histories[0]["loss"] == histories[0]["label_loss"] == histories[1]["loss"]
    assert histories[0]["val_loss"] == histories[1]["val_loss"]


def test_what_weighs_nothing_cannot_spoil_the_rest() -> None:
    teacher, student = pair()
    teacher.set_weights([w * np.nan for w in teacher.get_weights()])
    figures = distiller_of(teacher, student, 1.0).train_on_batch(X, LABELS, return_dict=True)

    assert np.isnan(figures["teacher_loss"]) and np.isfinite(figures["loss"])
    assert all(np.all(np.isfinite(w)) for w in student.get_weights())


def test_losses_are_means_over_the_epoch() -> None:
    teacher, student = pair()
    distiller = distiller_of(teacher, student, 0.3, {"wide": "narrow"}, rate=0.0)
    history = distiller.fit(X, LABELS, batch_size=6, epochs=1, shuffle=False, verbose=0).history
    whole = distiller.fit(X, LABELS, batch_size=16, epochs=1, shuffle=False, verbose=0).history

    for name in ("loss", "label_loss", "teacher_loss", "feature_loss"):
        assert history[name] == pytest.approx(whole[name], rel=1e-5)


def test_an_epoch_forgets_the_one_before() -> None:
    teacher, student = pair()
    distiller = distiller_of(teacher, student, 0.3)
    distiller.fit(X, LABELS, batch_size=16, verbose=0)
    expected = cross_entropy(np.log(teacher(X).numpy()), np.log(student(X).numpy()), 3.0)
    history = distiller.fit(X, LABELS, batch_size=16, verbose=0).history

    assert history["teacher_loss"] == pytest.approx([expected], rel=1e-4)
    assert history["loss"] == pytest.approx(
        [0.3 * history["label_loss"][0] + 0.7 * history["teacher_loss"][0]], rel=1e-5
    )


def regularized(name: str, rate: float) -> tf_keras.Model:
    head = layers.Dense(
        3, activation="softmax", kernel_regularizer=tf_keras.regularizers.L2(rate), name=f"{name}_head"
    )
    return model_of(head, name=name)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_regularization_of_the_student_counts_in_full_and_the_teachers_does_not(alpha: float) -> None:
    tf_keras.utils.set_random_seed(4)
    teacher, student = regularized("teacher", 100.0), regularized("student", 0.2)
    penalty = 0.2 * (student.get_weights()[0] ** 2).sum()
    distiller = distiller_of(teacher, student, alpha, {"teacher_head": "student_head"}, rate=0.0)
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)
    rest = alpha * figures["label_loss"] + (1 - alpha) * figures["teacher_loss"] + figures["feature_loss"]
    evaluated = distiller.evaluate(X, LABELS, verbose=0)

    assert figures["loss"] == pytest.approx(rest + penalty, rel=1e-5)
    assert evaluated == pytest.approx(figures["label_loss"] + penalty, rel=1e-5)


def test_validation_is_of_the_student_alone() -> None:
    teacher, student = pair()
    functional = tf_keras.Model(teacher.inputs, teacher.outputs)
    functional.add_metric(tf.reduce_mean(teacher.layers[0].output), name="teachers_own")
    distiller = distiller_of(functional, student, 0.3, {"wide": "narrow"}, metrics=["accuracy"])
    history = distiller.fit(X, LABELS, validation_data=(X, LABELS), epochs=2, verbose=0).history
    outputs = student(X).numpy()

    own = {"loss", "accuracy"}
    assert set(history) == own | {"label_loss", "teacher_loss", "feature_loss"} | {f"val_{n}" for n in own}
    assert history["val_loss"][-1] == pytest.approx(
        -np.log(outputs[np.arange(16), LABELS]).mean(), rel=1e-5
    )
    assert history["val_accuracy"][-1] == np.mean(outputs.argmax(axis=1) == LABELS)


@pytest.mark.parametrize("features", [{}, {"wide": "narrow"}])
def test_teacher_and_kind_of_student_do_not_change(features: dict[str, str]) -> None:
    teacher, student = pair()
    before, start, config = teacher.get_weights(), student.get_weights(), student.get_config()
    distiller_of(teacher, student, 0.5, features).fit(X, LABELS, verbose=0)

    for a, b in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(np.any(a != b) for a, b in zip(student.get_weights(), start, strict=True))
    assert student.get_config() == config
    assert student.count_params() == 4 * 5 + 5 + 5 * 3 + 3
    assert len(student.outputs) == 1


@pytest.mark.parametrize("units", [1, 3])
def test_sigmoid_outputs_are_taught_one_by_one(units: int) -> None:
    tf_keras.utils.set_random_seed(4)
    teacher, student = (model_of(layers.Dense(units, activation="sigmoid")) for _ in range(2))
    logits = [logit(model(X).numpy()) for model in (teacher, student)]
    kernel = student.get_weights()[0]
    distiller = distiller_of(teacher, student, 0.0, loss="binary_crossentropy")
    labels = np.eye(3)[LABELS][:, :units]
    figures = distiller.train_on_batch(X, labels, return_dict=True)

    assert figures["teacher_loss"] == pytest.approx(binary_cross_entropy(*logits, 3.0), rel=1e-4)
    softened = [1 / (1 + np.exp(-values / 3)) for values in logits]
    gradient = 3 * (softened[1] - softened[0]) / labels.size
    np.testing.assert_allclose(student.get_weights()[0], kernel - RATE * X.T @ gradient, atol=1e-5)


@pytest.mark.parametrize("units", [1, 2])
def test_a_regression_is_taught_by_squared_error(units: int) -> None:
    tf_keras.utils.set_random_seed(4)
    teacher, student = (model_of(layers.Dense(units)) for _ in range(2))
    taught, outputs = teacher(X).numpy(), student(X).numpy()
    kernel = student.get_weights()[0]
    labels = np.random.default_rng(0).normal(size=(16, units)).astype(np.float32)
    distiller = distiller_of(teacher, student, 0.25, loss="mse")
    figures = distiller.train_on_batch(X, labels, return_dict=True)

    assert figures["label_loss"] == pytest.approx(((outputs - labels) ** 2).mean(), rel=1e-5)
    assert figures["teacher_loss"] == pytest.approx(((outputs - taught) ** 2).mean(), rel=1e-5)
    gradient = 2 * (0.25 * (outputs - labels) + 0.75 * (outputs - taught)) / labels.size
    np.testing.assert_allclose(student.get_weights()[0], kernel - RATE * X.T @ gradient, atol=1e-5)


def test_losses_that_the_student_adds_itself_count_with_features_too() -> None:
    teacher, student = pair()
    hidden = student.layers[0](X).numpy()
    functional = tf_keras.Model(student.inputs, student.outputs, name="student")
    functional.add_loss(10 * tf.reduce_mean(student.layers[0].output))
    distiller = distiller_of(teacher, functional, 0.0, {"wide": "narrow"})
    figures = distiller.train_on_batch(X, LABELS, return_dict=True)

    expected = figures["teacher_loss"] + figures["feature_loss"] + 10 * hidden.mean()
    assert figures["loss"] == pytest.approx(expected, rel=1e-4)


def test_free_heights_that_turn_out_to_differ_end_the_training() -> None:
    def fully_convolutional(strides: int) -> tf_keras.Model:
        image = layers.Input((None, None, 1), name="image")
        x = layers.Conv2D(2, 3, strides=strides, padding="same", name="conv")(image)
        x = layers.GlobalAveragePooling2D()(x)
        return tf_keras.Model(image, layers.Dense(3, activation="softmax")(x))

    teacher, student = fully_convolutional(1), fully_convolutional(4)
    pairs = find_pairs(teacher, student, {"conv": "conv"})
    distiller = Distiller(student, teacher, SOFTMAX, 3.0, 0.1, pairs, [1.0])
    distiller.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="teacher and student differ in shape"):
        distiller.train_on_batch(np.zeros((2, 4, 4, 1), np.float32), np.array([0, 1]))
