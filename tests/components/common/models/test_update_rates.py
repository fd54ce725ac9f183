"""Variables with a learning rate of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models.stock_layers import without_autograph
from components.common.models.update_rates import UpdateRates, UpdateRatesError

optimizers = tf_keras.optimizers

OPTIMIZERS = {
    "sgd with momentum": lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adam": optimizers.Adam,
    "adam with weight decay": lambda rate: optimizers.AdamW(rate, weight_decay=0.1),
}


def trained(optimizer: Any, rates: dict[str, float]) -> dict[str, list[np.ndarray]]:
    """A model of two layers in a row of inputs each, so that neither sees what the other becomes."""
    tf_keras.utils.set_random_seed(1)
    inputs = [tf_keras.layers.Input((3,), name=name) for name in ("a", "b")]
    outputs = [
        tf_keras.layers.Dense(2, name=name)(one) for name, one in zip(("slow", "fast"), inputs, strict=True)
    ]
    model = tf_keras.Model(inputs, outputs)
    model.compile(optimizer, "mse")
    model.train_step = without_autograph(model.train_step, model)
    random = np.random.default_rng(0)
    features = [random.normal(size=(16, 3)).astype(np.float32) for _ in inputs]
    labels = [random.normal(size=(16, 2)).astype(np.float32) for _ in outputs]
    callback = UpdateRates((w, rate) for name, rate in rates.items() for w in model.get_layer(name).weights)
    model.fit(features, labels, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[callback])
    assert not {"update_step", "_apply_weight_decay"} & set(vars(model.optimizer))
    return {name: model.get_layer(name).get_weights() for name in ("slow", "fast")}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_scaled_update_is_a_smaller_learning_rate(optimizer: str) -> None:
    make = OPTIMIZERS[optimizer]
    whole, tenth = trained(make(0.02), {}), trained(make(0.002), {})

    both = trained(make(0.02), {"slow": 0.1})

    for got, expected in zip(both["slow"], tenth["slow"], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    for got, expected in zip(both["fast"], whole["fast"], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not np.allclose(both["slow"][0], whole["slow"][0], atol=1e-3)


def test_variables_without_updates_stay_although_they_would_decay() -> None:
    before = trained(optimizers.SGD(0.0), {})

    after = trained(optimizers.AdamW(0.02, weight_decay=0.1), {"slow": 0.0})

    np.testing.assert_array_equal(after["slow"][0], before["slow"][0])
    assert not np.array_equal(after["fast"][0], before["fast"][0])


def test_an_old_optimizer_is_refused_if_rates_differ() -> None:
    with pytest.raises(UpdateRatesError, match=r"^Adam is one of tf_keras\.optimizers\.legacy"):
        trained(optimizers.legacy.Adam(0.01), {"slow": 0.5})

    trained(optimizers.legacy.Adam(0.01), {"slow": 1.0})


def test_the_rate_holds_with_a_schedule() -> None:
    schedule = optimizers.schedules.PolynomialDecay(0.02, 12)
    smaller = optimizers.schedules.PolynomialDecay(0.002, 12, end_learning_rate=0.00001)

    both = trained(optimizers.Adam(schedule), {"slow": 0.1})
    expected = trained(optimizers.Adam(smaller), {})

    np.testing.assert_allclose(both["slow"][0], expected["slow"][0], rtol=1e-4, atol=1e-6)
