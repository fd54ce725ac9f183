"""The layers that are compared: found, refused, measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.distiller.error import DistillationError
from components.distiller.features import find_pairs, layer_outputs, variances, with_features
from tests.components.distiller.expected import layers, model_of, variance


def cnn(*filters: int, strides: int = 2, size: int = 8) -> tf_keras.Model:
    """Convolutions `conv1`, `conv2`, … and a head."""
    image = x = layers.Input((size, size, 1), name="image")
    for index, count in enumerate(filters, 1):
        x = layers.Conv2D(count, 3, strides=strides, padding="same", name=f"conv{index}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return tf_keras.Model(image, layers.Dense(3, activation="softmax", name="y")(x))


def test_pairs_hold_what_the_layers_give() -> None:
    teacher, student = cnn(6, 8), cnn(2, 8)
    pairs = find_pairs(teacher, student, {"conv2": "conv2", "conv1": "conv1"})
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    output, (first, second), _ = with_features(teacher, [pair.taught for pair in pairs])(images)

    assert [pair.teacher_layer for pair in pairs] == ["conv1", "conv2"]
    assert tuple(first.shape) == (3, 4, 4, 6) and tuple(pairs[0].learned.shape) == (None, 4, 4, 2)
    np.testing.assert_array_equal(first, teacher.get_layer("conv1")(images))
    np.testing.assert_array_equal(second, teacher.get_layer("conv2")(first))
    np.testing.assert_array_equal(output, teacher(images))
    assert find_pairs(teacher, student, {}) == []


def test_there_is_a_projection_only_if_channels_differ() -> None:
    first, second = find_pairs(cnn(6, 8), cnn(2, 8), {"conv1": "conv1", "conv2": "conv2"})
    projection = first.projection()
    given = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    kernel, bias = projection.get_weights()

    assert kernel.shape == (2, 6) and bias.shape == (6,)
    np.testing.assert_allclose(projection(given), given @ kernel + bias, atol=1e-5)
    assert second.projection().weights == []


def test_layers_that_are_used_elsewhere_too_are_found_where_this_model_uses_them() -> None:
    inner = cnn(4, 5)
    image = layers.Input((8, 8, 1), name="image")
    backbone = tf_keras.Model(inner.input, inner.get_layer("conv2").output, name="backbone")
    x = layers.Flatten(name="flat")(backbone(2 * image))
    outer = tf_keras.Model(image, layers.Dense(3, name="y")(x))
    images = np.ones((2, 8, 8, 1), np.float32)
    (tensor,) = layer_outputs(outer)["backbone"]
    found = tf_keras.Model(outer.inputs, tensor)(images)

    np.testing.assert_allclose(found, backbone(2 * images), atol=1e-6)
    assert list(layer_outputs(outer))[-3:] == ["backbone", "flat", "y"]
    assert "image" not in layer_outputs(outer)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {"conv9": "conv1"},
            r"the baseline has no layer 'conv9'; did you mean 'conv\d'\? Its layers are \['conv1', 'conv2', "
            r"'pool', 'y'\]",
        ),
        ({"conv1": "zzz"}, r"the student has no layer 'zzz'; its layers are \['conv1', 'pool', 'y'\]"),
        (
            {"conv2": "conv1"},
            r"'conv2' of the baseline gives \(None, 2, 2, 8\) and 'conv1' of the student \(None, 4, 4, 2\); name "
            r"layers of equal height and width.*; no layer of the student fits",
        ),
        (
            {"conv1": "pool"},
            r"gives \(None, 4, 4, 6\) and 'pool' of the student \(None, 2\).*these fit: \['conv1'\]",
        ),
        ({"image": "conv1"}, "baseline has no layer 'image'"),
    ],
)
def test_layers_that_cannot_be_compared_are_refused(features: dict[str, str], message: str) -> None:
    with pytest.raises(DistillationError, match=f"features: .*{message}"):
        find_pairs(cnn(6, 8), cnn(2), features)


def test_layers_that_give_no_one_feature_map_are_refused() -> None:
    x = layers.Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    ids = layers.Lambda(lambda t: tf.argmax(t, axis=-1), name="ids")(x)
    ids = layers.CategoryEncoding(4, name="encoded")(ids)
    teacher = tf_keras.Model(x, layers.Dense(3)(shared(shared(x)) + ids))
    student = model_of(layers.Dense(4, name="hidden"))

    with pytest.raises(
        DistillationError, match=r"'shared' of the baseline gives 2 tensors.*name a layer that"
    ):
        find_pairs(teacher, student, {"shared": "hidden"})
    with pytest.raises(
        DistillationError, match=r"'ids' of the baseline gives int64 of shape \(None,\); name a"
    ):
        find_pairs(teacher, student, {"ids": "hidden"})


def test_variance_is_that_of_all_examples_around_each_channels_mean() -> None:
    teacher = cnn(6, 8)
    teacher.set_weights([w * 100 + 7 for w in teacher.get_weights()])
    images = np.random.default_rng(3).normal(5.0, 2.0, size=(300, 8, 8, 1)).astype(np.float32)
    pairs = find_pairs(teacher, cnn(2, 2), {"conv1": "conv1", "conv2": "conv2", "pool": "pool"})
    found = variances(teacher, pairs, [images])
    model = tf_keras.Model(teacher.input, [teacher.get_layer(n).output for n in ("conv1", "conv2", "pool")])

    assert found == pytest.approx([variance(values.numpy()) for values in model(images)], rel=1e-5)


def test_variance_survives_a_mean_that_is_far_larger() -> None:
    teacher = model_of(layers.Dense(2, name="hidden"), layers.Dense(1), size=2)
    teacher.layers[0].set_weights([np.eye(2), np.array([0.0, 4096.0])])
    x = np.random.default_rng(0).normal(size=(700, 2)).astype(np.float32)
    (found,) = variances(teacher, find_pairs(teacher, teacher, {"hidden": "hidden"}), [x])

    assert found == pytest.approx(x.astype(np.float64).var(axis=0).mean(), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 3.3])
def test_a_layer_that_gives_the_same_for_every_example_is_refused(value: float) -> None:
    teacher = model_of(layers.Dense(2, activation="relu", name="dead"), layers.Dense(1))
    teacher.layers[0].set_weights([np.zeros((4, 2)), np.full(2, value)])
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)

    with pytest.raises(DistillationError, match="'dead' of the baseline gives the same for every example"):
        variances(teacher, find_pairs(teacher, teacher, {"dead": "dead"}), [x])


def test_losses_and_metrics_that_feed_no_output_come_along() -> None:
    model = model_of(layers.Dense(3, name="hidden"), layers.Dense(2))
    functional: Any = tf_keras.Model(model.inputs, model.outputs)
    functional.add_loss(3 * tf.reduce_mean(model.layers[0].output))
    observed = with_features(functional, [model.layers[0].output])
    x = np.ones((2, 4), np.float32)
    _, (hidden,), _ = observed(x)

    assert [float(loss) for loss in functional.losses] == pytest.approx([3 * np.mean(hidden)], rel=1e-6)
