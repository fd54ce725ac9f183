"""What training puts back after each step: zeros, and weights that share a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.clusterer.invariants import Clusters
from components.common.models import invariants, layer_weights
from components.common.models.stock_layers import without_autograph
from components.common.steps.fine_tuning import Preserve
from tests.components.conftest import must_keep

layers = tf_keras.layers
RATE = 0.05


def shared_kernel(*shape: int) -> np.ndarray:
    """Weights of which many are equal, zero among them."""
    return np.random.default_rng(1).choice(np.array([0.0, -0.5, 0.25, 0.75], np.float32), size=shape)


def dense() -> tf_keras.Model:
    model = tf_keras.Sequential(
        [layers.Input((6,), name="x"), layers.Dense(4, name="kept"), layers.Dense(1, name="free")]
    )
    model.get_layer("kept").set_weights([shared_kernel(6, 4), np.zeros(4)])
    model.get_layer("free").set_weights([np.array([[-0.25], [0.5], [1.0], [0.25]]), np.zeros(1)])
    return model


def convolution() -> tf_keras.Model:
    parts = [layers.Conv2D(3, 2, name="kept"), layers.Flatten(), layers.Dense(1, name="free")]
    model = tf_keras.Sequential([layers.Input((4, 4, 2), name="x"), *parts])
    model.get_layer("kept").set_weights([shared_kernel(2, 2, 2, 3), np.zeros(3)])
    model.get_layer("free").set_weights([np.linspace(-1, 1, 27)[:, np.newaxis], np.zeros(1)])
    return model


def fit(model: tf_keras.Model, asked: list[Any] | None, optimizer: Any, steps: int) -> np.ndarray:
    """Trains for some steps of 8 examples and returns the kernel of `kept`."""
    generator = np.random.default_rng(2)
    inputs = generator.normal(size=(8 * steps, *model.input_shape[1:])).astype(np.float32)
    labels = generator.normal(size=8 * steps).astype(np.float32)
    model.compile(optimizer, "mse", run_eagerly=True)
    callbacks = [Preserve({"kept": asked})] if asked else []
    model.fit(inputs, labels, 8, verbose=0, shuffle=False, callbacks=callbacks)
    return kernel(model, "kept")


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    return layer_weights.kernel_of(model.get_layer(name)).numpy()


ASKED = {
    "zeros": must_keep(sparsity=0.2),
    "zeros in blocks": must_keep(m_by_n=(2, 4)),
    "values": must_keep(clusters=4),
    "zeros and values": must_keep(sparsity=0.2, clusters=4),
    "values per channel": must_keep(clusters=4, per_channel=True),
    "zeros and values per channel": must_keep(sparsity=0.2, clusters=4, per_channel=True),
}


def values_of(asked: list[Any]) -> list[Clusters]:
    return [invariant for invariant in asked if isinstance(invariant, Clusters)]


def expected(plain: np.ndarray, before: np.ndarray, asked: list[Any]) -> np.ndarray:
    """What one step of plain training gave, group by group, in NumPy."""
    after = plain.copy()
    for values in values_of(asked):
        channels = range(before.shape[-1]) if values.per_channel else [slice(None)]
        for channel in channels:
            for value in np.unique(before[..., channel]):
                group = before[..., channel] == value
                after[..., channel][group] = plain[..., channel][group].mean(dtype=np.float64)
    if invariants.zero_share(asked):
        after[before == 0] = 0
    return after


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("build", [dense, convolution])
def test_after_a_step_equal_weights_have_the_mean_of_plain_training(build: Any, name: str) -> None:
    asked = ASKED[name]
    before = kernel(build(), "kept")
    plain = fit(build(), None, tf_keras.optimizers.SGD(RATE), steps=1)
    after = fit(build(), asked, tf_keras.optimizers.SGD(RATE), steps=1)

    assert np.all(plain != before)
    np.testing.assert_allclose(after, expected(plain, before, asked), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ASKED)
def test_equal_weights_are_equal_after_many_steps(name: str) -> None:
    asked = ASKED[name]
    before = kernel(convolution(), "kept")
    after = fit(convolution(), asked, tf_keras.optimizers.Adam(0.05), steps=6)

    zeros_stay, values = invariants.zero_share(asked) > 0, values_of(asked)
    if zeros_stay:
        assert np.all(after[before == 0] == 0)
        assert np.all(after[before != 0] != 0)
    for channel in range(3):
        was, now = before[..., channel], after[..., channel]
        pairs = {(a, b) for a, b in zip(was.ravel(), now.ravel(), strict=True)}
        if values:
            assert len(pairs) == len(np.unique(was))
    if values:
        per_channel = values[0].per_channel
        expected_values = sum(len(np.unique(before[..., c])) for c in range(3)) if per_channel else 4
        # All channels have the same zero.
        zeros = 2 if per_channel and zeros_stay else 0
        assert len(np.unique(after)) == expected_values - zeros
    moved = before != 0 if zeros_stay else np.full(before.shape, True)
    assert np.all(after[moved] != before[moved])


def test_layers_that_nothing_is_asked_of_are_free() -> None:
    model = dense()
    model.get_layer("free").set_weights([np.array([[0.0], [0.5], [0.5], [0.0]]), np.zeros(1)])
    before = kernel(model, "free")
    fit(model, must_keep(sparsity=0.2, clusters=4), tf_keras.optimizers.Adam(0.1), steps=4)

    after = kernel(model, "free")
    assert np.any(before == 0) and np.all(after != 0)
    assert len(np.unique(after)) == 4 > len(np.unique(before))


def test_what_is_kept_is_what_there_was_when_training_began(rng: np.random.Generator) -> None:
    """A second training keeps the zeros that there are then."""
    preserve = Preserve({"kept": must_keep(sparsity=0.2)})
    model = dense()
    model.compile(tf_keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    inputs, labels = rng.normal(size=(8, 6)), np.ones(8)
    model.fit(inputs, labels, verbose=0, callbacks=[preserve])
    first = kernel(model, "kept") == 0
    values, bias = model.get_layer("kept").get_weights()
    values[0] = 0
    model.get_layer("kept").set_weights([values, bias])
    model.fit(inputs, labels, verbose=0, callbacks=[preserve])

    second = kernel(model, "kept") == 0
    assert np.all(second[0]) and not np.all(first[0])
    np.testing.assert_array_equal(second[1:], first[1:])


def test_it_goes_on_inside_a_compiled_graph(rng: np.random.Generator) -> None:
    model = dense()
    before = kernel(model, "kept")
    model.compile(tf_keras.optimizers.Adam(0.05), "mse")
    model.train_step = without_autograph(model.train_step, model)
    asked = must_keep(sparsity=0.2, clusters=4)
    data = tf.data.Dataset.from_tensors((rng.normal(size=(8, 6)), np.ones(8))).repeat(5)
    model.fit(data, verbose=0, callbacks=[Preserve({"kept": asked})])

    after = kernel(model, "kept")
    assert len(np.unique(after)) == 4
    np.testing.assert_array_equal(before == 0, after == 0)
