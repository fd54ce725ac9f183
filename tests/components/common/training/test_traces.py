"""How often a training is traced: what takes as long as many steps is done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.base.step_options import Training
from components.common.data.arrays import Arrays
from components.common.training import fitting

layers = tf_keras.layers


def points(count: int = 64) -> Arrays:
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, np.newaxis]
    return Arrays({"x": x}, 2 * x[:, 0])


def line(**compiled: Any) -> tf_keras.Model:
    model = tf_keras.Sequential([layers.Input((1,), name="x"), layers.Dense(1, name="y")])
    model.compile(loss="mse", metrics=["mae"], **compiled)
    return model


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often Python ran each step of a model."""
    counts = {"train_step": 0, "test_step": 0}
    for name in counts:
        step = getattr(tf_keras.Model, name)

        def counting(model: tf_keras.Model, data: Any, name: str = name, step: Any = step) -> Any:
            counts[name] += 1
            return step(model, data)

        monkeypatch.setattr(tf_keras.Model, name, counting)
    return counts


@pytest.mark.parametrize("count", [64, 61, 5])
def test_each_step_is_traced_once(count: int, traced: dict[str, int], tmp_path: Path) -> None:
    model = line(optimizer=tf_keras.optimizers.Adam(0.1))

    history = fitting.fit(
        model, points(), points(count), Training(epochs=2, batch_size=8), 1, str(tmp_path)
    )

    assert traced == {"train_step": 1, "test_step": 2}  # the first one makes variables, and traces nothing
    assert history.steps == 16
    assert history["val_loss"][1] < history["val_loss"][0]


def test_a_legacy_optimizer_makes_its_variables_by_itself(tmp_path: Path) -> None:
    model = line(optimizer=tf_keras.optimizers.legacy.Adam(0.1))

    history = fitting.fit(model, points(), points(), Training(epochs=2, batch_size=8), 1, str(tmp_path))

    assert history["val_loss"][1] < history["val_loss"][0]


def test_variables_made_before_change_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for make in (True, False):
        if not make:
            monkeypatch.setattr(fitting, "_make_variables", lambda *arguments: None)
        tf_keras.utils.set_random_seed(3)
        model = line(optimizer=tf_keras.optimizers.Adam(0.1))
        fitting.fit(model, points(), points(), Training(epochs=2, batch_size=8), 1, str(tmp_path))
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
