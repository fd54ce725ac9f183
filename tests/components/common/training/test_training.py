"""Training: its history, its length, its seed, and the end of one that fails."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.base import progress
from components.common.base.step_options import Training
from components.common.training import error, fitting, seeding
from tests.components.common.training.line import curves, fit, layers, line, model_of


def test_history_and_curves_are_kept(tmp_path: Path) -> None:
    said: list[progress.Report] = []
    model = model_of(optimizer=tf_keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
    with progress.listening(said.append):
        history = fit(tmp_path, model)

    assert sorted(history) == ["loss", "mae", "val_loss", "val_mae"]
    assert all(len(values) == 3 for values in history.values())
    assert history["loss"][2] < history["loss"][0]
    train, validation = curves(tmp_path / "train"), curves(tmp_path / "validation")
    for name in ("loss", "mae"):
        assert train[f"epoch_{name}"] == history[name]
        assert validation[f"epoch_{name}"] == history[f"val_{name}"]
    assert train["epoch_learning_rate"] == pytest.approx([0.1] * 3)
    assert said[0] == progress.Report("epoch 1/3")
    for number in (1, 2, 3):
        values = {name: f"{history[name][number - 1]:.4g}" for name in history}
        (ended,) = (one for one in said if one.text == f"epoch {number}/3" and one.figures)
        assert ended.figures == (
            f"loss {values['loss']} (eval {values['val_loss']}), "
            f"mae {values['mae']} (eval {values['val_mae']})"
        )
        assert ended.kind is (progress.Kind.LAST_EPOCH if number == 3 else progress.Kind.EPOCH)
    assert any(one.text == "epoch 2/3, 50 %" and ", mae " in one.figures for one in said)
    assert history.facts() == {
        "trained_epochs": 3, "trained_steps": 24, "kept_epoch": 3,
        **{f"final_{name}": values[2] for name, values in history.items()},
    }  # fmt: skip


def test_the_history_file_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    own = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 8, 0.5)
    model = model_of(optimizer=tf_keras.optimizers.SGD(own), loss="mse", metrics=["mae"])
    history = fit(tmp_path / "logs", model, early_stopping={"patience": 2})
    history.write(str(tmp_path))

    written = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert written == {
        "epochs": [
            {
                "epoch": index + 1,
                "learning_rate": pytest.approx(0.25 / 2**index),
                **{name: values[index] for name, values in history.items()},
            }
            for index in range(3)
        ],
        "kept_epoch": history.kept + 1,
    }
    assert sorted(written["epochs"][0]) == ["epoch", "learning_rate", "loss", "mae", "val_loss", "val_mae"]


def test_a_history_with_nan_is_json(tmp_path: Path) -> None:
    """Training goes on if only the loss on the eval split is infinite."""
    train, evaluation = line(), line(16)
    evaluation.features["x"][3] = np.inf
    history = fit(tmp_path, model_of(optimizer="sgd", loss="mse"), train, evaluation, epochs=1)
    history.write(str(tmp_path))

    text = (tmp_path / "history.json").read_text(encoding="utf-8")
    (epoch,) = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))["epochs"]
    assert not np.isfinite(history["val_loss"][0])
    assert epoch["val_loss"] is None
    assert epoch["loss"] == history["loss"][0]


@pytest.mark.parametrize("together", [None, 5], ids=["one by one", "five in one execution"])
@pytest.mark.parametrize(
    ("length", "steps", "epochs"),
    [
        pytest.param({"epochs": 2}, 16, 2, id="epochs"),
        pytest.param({"steps": 19}, 19, 3, id="an epoch that ends early"),
        pytest.param({"steps": 16}, 16, 2, id="whole epochs"),
        pytest.param({"steps": 3}, 3, 1, id="less than an epoch"),
    ],
)
def test_exactly_this_number_of_steps_is_taken(
    length: dict, steps: int, epochs: int, together: int | None, tmp_path: Path
) -> None:
    model = model_of(
        optimizer=tf_keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"], steps_per_execution=together
    )
    history = fit(tmp_path, model, **length)

    assert int(model.optimizer.iterations) == steps
    assert history.facts()["trained_steps"] == steps
    assert [len(values) for values in history.values()] == [epochs] * 4
    # Measured on the model as it is at the end, wherever in an epoch that is.
    x, y = line(16).features["x"][:, 0], line(16).labels
    slope, offset = (float(weight.ravel()[0]) for weight in model.get_weights())
    assert history["val_loss"][-1] == pytest.approx(np.mean((slope * x + offset - y) ** 2), rel=1e-5)
    assert len(curves(tmp_path / "validation")["epoch_loss"]) == epochs


@pytest.mark.parametrize(
    ("options", "examples", "each", "total"),
    [
        ({"batch_size": 8, "epochs": 3}, 64, 8, 24),
        ({"batch_size": 8, "epochs": 3}, 65, 9, 27),
        ({"batch_size": 100, "epochs": 2}, 65, 1, 2),
        ({"batch_size": 8, "steps": 50}, 65, 9, 50),
        ({"batch_size": 8, "epochs": 4, "steps": None}, 65, 9, 36),
    ],
)
def test_steps_are_known_before_training(options: dict, examples: int, each: int, total: int) -> None:
    assert fitting.steps_per_epoch(Training(**options), examples) == each
    assert fitting.total_steps(Training(**options), examples) == total


def dropping() -> tf_keras.Model:
    model = tf_keras.Sequential(
        [layers.Input((1,), name="x"), layers.Dense(8), layers.Dropout(0.5), layers.Dense(1, name="y")]
    )
    model.set_weights([np.full(weight.shape, 0.1) for weight in model.get_weights()])
    model.compile(tf_keras.optimizers.SGD(0.1), "mse")
    return model


def test_the_seed_alone_says_what_shuffling_and_dropout_do(tmp_path: Path) -> None:
    def trained_with(seed: int, **more: Any) -> list[bytes]:
        model = dropping()
        fit(tmp_path, model, seed=seed, **more)
        return [weight.tobytes() for weight in model.get_weights()]

    first = trained_with(5)
    tf.random.normal((3,)), np.random.random(), random.random()
    assert trained_with(5) == first
    # A look at the metrics before training changes nothing.
    assert trained_with(5, early_stopping={"patience": 9, "restore_best": False}) == first
    assert all(a != b for a, b in zip(trained_with(6), first, strict=True))


def test_a_loss_that_is_nan_ends_the_training(tmp_path: Path) -> None:
    seen: list[int] = []

    class Count(tf_keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            seen.append(epoch)

    arrays = line()
    arrays.features["x"][3] = np.nan
    with pytest.raises(error.TrainingError, match="loss became nan in epoch 1; lower the learning rate"):
        fit(tmp_path, model_of(optimizer="sgd", loss="mse"), arrays, line(), epochs=4, callbacks=[Count()])
    assert seen == [0]


@pytest.mark.parametrize(
    ("options", "seed"), [({"seed": 7}, 7), ({"seed": 0}, 0), ({"seed": None}, 3), ({}, 3)]
)
def test_a_steps_own_seed_goes_before_the_runs(options: dict, seed: int) -> None:
    assert seeding.seed_of(Training(**options), 3) == seeding.seed_of(Training(**options), "3") == seed
