"""Mixtures of examples: what is mixed, with which answers, and the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.training import mixtures

layers = tf_keras.layers


def test_an_expected_share_of_examples_is_mixed_with_the_ones_before_them() -> None:
    first, second = tf.eye(1000), tf.reshape(tf.range(1000.0), [1000, 1, 1])
    rows, places = (values.numpy() for values in mixtures.mixed([first, second], 0.3, [1, 2]))

    own = rows.diagonal()
    assert np.mean(own < 1) == pytest.approx(0.3, abs=0.05)
    assert own[own < 1].mean() == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(rows[np.arange(1000), np.arange(-1, 999)], 1 - own, atol=1e-6)
    # The same weights for the other feature.
    before = np.roll(np.arange(1000), 1)
    np.testing.assert_allclose(places[:, 0, 0], own * np.arange(1000) + (1 - own) * before, rtol=1e-5)

    np.testing.assert_array_equal(rows, mixtures.mixed([first], 0.3, [1, 2])[0])
    assert np.mean(rows.diagonal() == mixtures.mixed([first], 0.3, [1, 3])[0].numpy().diagonal()) < 0.7


def test_only_floats_can_be_mixed() -> None:
    number, index = layers.Input((2,)), layers.Input((2,), dtype="int32")
    assert mixtures.can_mix(tf_keras.Model(number, number))
    assert not mixtures.can_mix(tf_keras.Model([number, index], [number, index]))


def test_the_baseline_answers_for_each_output_of_a_mixture() -> None:
    a, b = layers.Input((1,), name="a"), layers.Input((1,), name="b")
    outputs = [layers.Subtract(name="minus")([b, a]), layers.Add(name="plus")([b, a])]
    baseline = tf_keras.Model([b, a], outputs)
    # Its examples have the features in another order, and so are its outputs.
    model = tf_keras.Model([a, b], outputs[::-1])
    seen: dict[str, Any] = {}

    def step(data: Any) -> dict[str, Any]:
        seen["features"], seen["labels"] = data[0], data[1]
        return {}

    model.compile("sgd", "mse")
    model.train_step = step
    mixtures.train_on_mixtures(model, baseline, [1, 0], 1.0, seed=5)
    values = np.array([[1.0], [2.0], [4.0]], np.float32)
    model.train_step(((tf.constant(values), tf.constant(10 * values)), None))

    (one, ten), (plus, minus) = seen["features"], seen["labels"]
    assert not np.isin(one.numpy(), values).any()
    np.testing.assert_allclose(ten, 10 * one, rtol=1e-5)
    np.testing.assert_allclose(plus, 11 * one, rtol=1e-5)
    np.testing.assert_allclose(minus, 9 * one, rtol=1e-5)
