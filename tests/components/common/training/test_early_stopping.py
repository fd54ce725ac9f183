"""When training stops, and which epoch's weights the model has then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.data.arrays import Arrays
from components.common.training import error, history
from tests.components.common.training.line import fit, line, model_of


def apart() -> tuple[Arrays, Arrays]:
    """Training goes from a slope of 0 to 2, and comes past the 1 of the eval split."""
    evaluation = line(16)
    return line(), Arrays(evaluation.features, evaluation.labels / 2)


def from_zero(**compiled: Any) -> tf_keras.Model:
    model = model_of(**{"optimizer": tf_keras.optimizers.SGD(0.02), "loss": "mse", **compiled})
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    return model


def loss_of(model: tf_keras.Model, split: Arrays) -> float:
    slope, offset = (float(weight.ravel()[0]) for weight in model.get_weights())
    return float(np.mean((slope * split.features["x"][:, 0] + offset - split.labels) ** 2))


@dataclass(frozen=True)
class Whole:
    """A model that was trained for 20 epochs, which is too long, and took the best one's weights."""

    model: tf_keras.Model
    history: history.History


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    model, asked = from_zero(), {"patience": 50}
    folder = tmp_path_factory.mktemp("whole")
    return Whole(model, fit(folder, model, *apart(), epochs=20, early_stopping=asked))


def test_training_stops_after_the_best_epoch_and_takes_its_weights(whole: Whole, tmp_path: Path) -> None:
    long = whole.history
    best = int(np.argmin(long["val_loss"]))
    assert 0 < best < 15  # else there is nothing to stop for

    model = from_zero()
    stopped = fit(tmp_path / "stopped", model, *apart(), epochs=20, early_stopping={"patience": 3})
    assert len(stopped["loss"]) == best + 4
    assert stopped["val_loss"] == long["val_loss"][: best + 4]
    assert loss_of(model, apart()[1]) == pytest.approx(min(long["val_loss"]), rel=1e-5)
    facts = stopped.facts()
    assert facts["final_val_loss"] == min(long["val_loss"])
    assert facts["final_loss"] == long["loss"][best]
    assert (facts["kept_epoch"], facts["trained_epochs"]) == (best + 1, best + 4)
    assert facts["trained_steps"] == int(model.optimizer.iterations) == 8 * (best + 4)


def test_the_last_weights_stay_if_the_best_are_not_asked_for(tmp_path: Path) -> None:
    model = from_zero()
    asked = {"patience": 3, "restore_best": False}
    history = fit(tmp_path, model, *apart(), epochs=20, early_stopping=asked)

    assert len(history["loss"]) < 20
    assert loss_of(model, apart()[1]) == pytest.approx(history["val_loss"][-1], rel=1e-5)
    assert history["val_loss"][-1] > 1.5 * min(history["val_loss"])
    assert history.facts()["final_val_loss"] == history["val_loss"][-1]


def test_a_best_epoch_is_taken_though_training_went_on_to_its_end(whole: Whole) -> None:
    losses = whole.history["val_loss"]
    assert len(losses) == 20 and losses[-1] > min(losses)
    assert loss_of(whole.model, apart()[1]) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize(("rate", "kept"), [(0.05, 2), (2.0, 0)])
def test_a_model_that_training_makes_worse_is_as_before(tmp_path: Path, rate: float, kept: int) -> None:
    model = model_of(optimizer=tf_keras.optimizers.SGD(rate), loss="mse")
    model.set_weights([np.array([[1.5]]), np.array([0.25])])
    before = loss_of(model, line(16))
    found = fit(tmp_path, model, epochs=2, or_as_before=True)

    facts = found.facts()
    assert facts["kept_epoch"] == kept
    assert found.start["val_loss"] == pytest.approx(before, rel=1e-5)
    assert facts["final_val_loss"] == pytest.approx(loss_of(model, line(16)), rel=1e-5)
    assert (loss_of(model, line(16)) < before) is bool(kept)
    if not kept:
        assert found["val_loss"][-1] > before
        np.testing.assert_array_equal(model.get_weights()[0], [[1.5]])


def test_nothing_before_the_first_epoch_to_stop_counts(whole: Whole, tmp_path: Path) -> None:
    losses = whole.history["val_loss"]
    first = int(np.argmin(losses)) + 2
    model = from_zero()
    history = fit(
        tmp_path, model, *apart(), epochs=20, early_stopping={"patience": 3}, first_epoch_to_stop=first
    )

    # From there on it only becomes worse.
    assert len(history["loss"]) == first + 4
    assert history.kept == first
    assert loss_of(model, apart()[1]) == pytest.approx(losses[first], rel=1e-5)


def closeness(labels: Any, outputs: Any) -> Any:
    return -tf.abs(labels - outputs[:, 0])


@pytest.mark.parametrize("higher", [True, False])
def test_a_monitor_of_the_users_own_is_followed_as_told(higher: bool, tmp_path: Path) -> None:
    model = from_zero(metrics=[closeness])
    asked = {"monitor": "val_closeness", "higher_is_better": higher, "patience": 2}
    history = fit(tmp_path, model, *apart(), epochs=20, early_stopping=asked)

    values = history["val_closeness"]
    if higher:
        assert history.kept == int(np.argmax(values)) > 0
        assert len(values) == history.kept + 3
    else:  # it falls again only long after the first epoch
        assert history.kept == 0
        assert len(values) == 3


def test_a_small_improvement_is_none(tmp_path: Path) -> None:
    asked = {"patience": 1, "min_delta": 0.05}
    history = fit(tmp_path, from_zero(), *apart(), epochs=20, early_stopping=asked)

    gains = -np.diff(history["val_loss"])
    assert np.all(gains[:-1] > 0.05)
    assert 0 < gains[-1] <= 0.05


def test_a_monitor_that_is_not_measured_is_refused_before_training(tmp_path: Path) -> None:
    model = from_zero(metrics=["mae"])
    with pytest.raises(error.TrainingError) as raised:
        fit(tmp_path, model, early_stopping={"monitor": "val_accuracy"})

    assert str(raised.value) == (
        "early_stopping: monitor 'val_accuracy' is not a metric that build_model compiles with; write one of "
        "val_loss, val_mae"
    )
    assert int(model.optimizer.iterations) == 0
