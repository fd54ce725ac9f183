"""BatchNormalization of quantization-aware models: statistics that stay, and those that are measured again."""

from __future__ import annotations

import numpy as np
import tf_keras

from components.common.base.calibration import Calibration
from components.common.models import layer_weights
from components.common.tfmot.calibration import calibrate
from components.common.tfmot.normalization import (
    estimate_statistics,
    frozen_statistics,
    without_dropout,
)
from tests.components.common.tfmot.models import aware, images

layers = tf_keras.layers


def conv_net() -> tf_keras.Model:
    model = aware(
        layers.Conv2D(4, 3, name="c"),
        layers.BatchNormalization(name="bn"),
        layers.ReLU(name="r"),
        layers.Dropout(0.5),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, name="d"),
    )
    model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    return model


def norm(model: tf_keras.Model) -> tf_keras.layers.Layer:
    return model.get_layer("quant_bn").layer


def test_frozen_statistics_are_those_that_training_normalizes_by() -> None:
    model, inputs = conv_net(), images()["x"]
    with frozen_statistics(model):
        before, gamma = norm(model).moving_mean.numpy(), norm(model).gamma.numpy()
        model.fit(inputs, np.ones((40, 3)), batch_size=20, verbose=0)
        np.testing.assert_array_equal(norm(model).moving_mean, before)
        assert np.any(norm(model).gamma.numpy() != gamma)  # which is trained
    model.fit(inputs, np.ones((40, 3)), batch_size=20, verbose=0)  # traced again, by batches
    model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    model.fit(inputs, np.ones((40, 3)), batch_size=20, verbose=0)
    assert np.any(norm(model).moving_mean.numpy() != before)


def test_without_dropout_training_computes_with_all_units() -> None:
    model, inputs = conv_net(), images()["x"]
    calibrate(model, {"x": inputs}, Calibration())
    with frozen_statistics(model), without_dropout(model):
        # Ranges move a little with each batch.
        np.testing.assert_allclose(model(inputs, training=True), model(inputs, training=True), rtol=1e-4)
    with frozen_statistics(model):
        assert np.max(np.abs(model(inputs, training=True) - model(inputs, training=True))) > 0.1


def test_estimated_statistics_are_the_means_over_batches() -> None:
    model, inputs = conv_net(), images(50)["x"]
    conv = model.get_layer("quant_c")
    plain = tf_keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    plain.set_weights([layer_weights.kernel_of(conv).numpy(), conv.layer.bias.numpy()])
    calibrate(model, {"x": inputs}, Calibration())
    estimate_statistics(model, {"x": inputs}, batch_size=20)

    values = plain(inputs[:40]).numpy()
    np.testing.assert_allclose(norm(model).moving_mean, values.mean(axis=(0, 1, 2)), atol=0.3)
    variances = [values[part].var(axis=(0, 1, 2)) for part in (slice(0, 20), slice(20, 40))]
    np.testing.assert_allclose(norm(model).moving_variance, np.mean(variances, axis=0), rtol=0.02)
    assert norm(model).momentum == 0.99
