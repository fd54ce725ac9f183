"""The losses in numbers, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.common.training.logits import to_logits
from components.distiller.losses import distillation_loss, feature_loss, mean_squared_error
from tests.components.distiller.expected import (
    STUDENT,
    TEACHER,
    binary_cross_entropy,
    cross_entropy,
    sigmoid,
    softmax,
    unexplained,
)


def loss_of(teacher: np.ndarray, student: np.ndarray, temperature: float, **given: Any) -> float:
    tensors = (tf.constant(teacher, tf.float32), tf.constant(student, tf.float32))
    return float(distillation_loss(*tensors, temperature, **given))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0, 20.0])
def test_the_loss_is_the_softened_cross_entropy_times_temperature_squared(temperature: float) -> None:
    expected = cross_entropy(TEACHER, STUDENT, temperature)

    assert loss_of(TEACHER, STUDENT, temperature) == pytest.approx(expected, rel=1e-5)


def test_the_factor_is_squared() -> None:
    # Logits of twice the size at twice the temperature are softened alike; only the factor differs.
    doubled = loss_of(2 * TEACHER, 2 * STUDENT, 6.0)

    assert doubled == pytest.approx(4 * loss_of(TEACHER, STUDENT, 3.0), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_one_output_is_compared_as_a_sigmoid(temperature: float) -> None:
    teacher, student = TEACHER[:, :1], STUDENT[:, :1]
    expected = binary_cross_entropy(teacher, student, temperature)

    assert loss_of(teacher, student, temperature) == pytest.approx(expected, rel=1e-5)


def test_labels_that_do_not_exclude_each_other_are_compared_one_by_one() -> None:
    expected = binary_cross_entropy(TEACHER, STUDENT, 2.0)

    assert loss_of(TEACHER, STUDENT, 2.0, independent=True) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_the_least_loss() -> None:
    least = loss_of(TEACHER, TEACHER, 2.0)

    assert least < loss_of(TEACHER, TEACHER + np.array([0.1, 0, 0]), 2.0)
    assert least < loss_of(TEACHER, STUDENT, 2.0)
    # Softmax does not see a constant.
    assert least == pytest.approx(loss_of(TEACHER, TEACHER + 5.0, 2.0), rel=1e-5)


def test_probabilities_give_logits_back_but_for_a_constant() -> None:
    logits = to_logits(tf.constant(softmax(TEACHER), tf.float32), "softmax").numpy()
    shift = logits - TEACHER

    np.testing.assert_allclose(shift, np.repeat(shift[:, :1], 3, axis=1), atol=1e-5)
    for temperature in (1.0, 4.0):
        np.testing.assert_allclose(softmax(logits / temperature), softmax(TEACHER / temperature), atol=1e-6)


def test_sigmoid_outputs_give_logits_back() -> None:
    logits = to_logits(tf.constant(sigmoid(TEACHER), tf.float32), "sigmoid").numpy()

    np.testing.assert_allclose(logits, TEACHER, atol=1e-4)


def test_logits_are_taken_as_they_are_and_certainty_is_finite() -> None:
    np.testing.assert_array_equal(
        to_logits(tf.constant(TEACHER, tf.float32), "linear"), np.float32(TEACHER)
    )
    for activation in ("softmax", "sigmoid"):
        assert np.all(np.isfinite(to_logits(tf.constant([[0.0, 1.0]]), activation)))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_what_a_confident_teacher_says_of_unlikely_classes_is_kept(activation: str) -> None:
    logits = np.array([[0.0, -20.0, -40.0]])
    probabilities = softmax(logits) if activation == "softmax" else sigmoid(logits)
    found = to_logits(tf.constant(probabilities, tf.float32), activation).numpy()

    np.testing.assert_allclose(found, logits, atol=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_student_that_is_sure_and_wrong_still_learns(temperature: float) -> None:
    student, teacher = np.array([[25.0, 0.0, -5.0]]), np.array([[0.0, 9.0, 0.0]])
    logits = tf.constant(student, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        outputs = to_logits(tf.nn.softmax(logits), "softmax")
        loss = distillation_loss(tf.constant(teacher, tf.float32), outputs, temperature)
    # See section 2 of Hinton et al.
    expected = temperature * (softmax(student / temperature) - softmax(teacher / temperature))

    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-4, atol=1e-5)


def test_the_feature_loss_is_the_share_of_variance_that_is_left() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.normal(3.0, 50.0, size=(32, 4, 4, 5)).astype(np.float32)
    student = teacher + rng.normal(0, 5.0, size=teacher.shape).astype(np.float32)
    found = float(feature_loss(tf.constant(teacher), tf.constant(student), float(teacher.var())))

    assert found == pytest.approx(unexplained(teacher, student, teacher.var()), rel=1e-5)
    assert found == pytest.approx(0.01, rel=0.2)
    assert float(feature_loss(tf.constant(teacher), tf.constant(teacher), 1.0)) == 0.0


def test_a_regression_is_compared_value_by_value() -> None:
    expected = ((TEACHER - STUDENT) ** 2).mean()
    tensors = (tf.constant(TEACHER, tf.float32), tf.constant(STUDENT, tf.float32))

    assert float(mean_squared_error(*tensors)) == pytest.approx(expected, rel=1e-6)


def test_one_shape_is_not_stretched_to_another() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="teacher and student differ in shape"):
        mean_squared_error(tf.zeros((2, 4, 4, 3)), tf.zeros((2, 1, 1, 3)))
