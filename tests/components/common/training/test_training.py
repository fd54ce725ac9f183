"""Compiling like another model, and training: its length, its learning rate, its end, its seed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.common.base import progress
from components.common.base.step_options import LearningRateSchedule, Training
from components.common.data.arrays import Arrays
from components.common.models import compilation
from components.common.models.user_module import build
from components.common.training import error, fitting, history, learning_rate, seeding
from tests.components.conftest import MakeModule

layers = tf_keras.layers


def line(count: int = 64) -> Arrays:
    """Points on y = 2x."""
    x = np.linspace(-1, 1, count, dtype=np.float32)[:, np.newaxis]
    return Arrays({"x": x}, 2 * x[:, 0])


def model_of(**compiled: object) -> tf_keras.Model:
    model = tf_keras.Sequential([layers.Input((1,), name="x"), layers.Dense(1, name="y")])
    if compiled:
        model.compile(**compiled)
    return model


def test_compiling_takes_loss_metrics_and_optimizer_but_not_the_learning_rate() -> None:
    reference = model_of(
        optimizer=tf_keras.optimizers.SGD(0.5, momentum=0.9, nesterov=True),
        loss=tf_keras.losses.Huber(delta=0.25),
        metrics=["mae", tf_keras.metrics.MeanSquaredError(name="squares")],
    )
    model = model_of()
    compilation.compile_like(model, reference, 0.01)
    arrays = line()
    for each in (model, reference):
        each.set_weights([np.array([[1.0]]), np.array([0.5])])
        each.run_eagerly = True  # AutoGraph would take 20 s here
    values = model.evaluate(arrays.features["x"], arrays.labels, verbose=0, return_dict=True)

    assert isinstance(model.optimizer, tf_keras.optimizers.SGD)
    assert model.optimizer is not reference.optimizer
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert float(reference.optimizer.learning_rate) == pytest.approx(0.5)
    assert model.optimizer.momentum == 0.9 and model.optimizer.nesterov is True
    assert values == reference.evaluate(arrays.features["x"], arrays.labels, verbose=0, return_dict=True)
    error = np.abs(arrays.features["x"][:, 0] + 0.5 - arrays.labels)
    huber = np.where(error <= 0.25, error**2 / 2, 0.25 * (error - 0.125)).mean()
    assert values == pytest.approx(
        {"loss": huber, "mae": error.mean(), "squares": (error**2).mean()}, rel=1e-5
    )


def test_a_schedule_gives_way_to_the_learning_rate() -> None:
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    reference = model_of(optimizer=tf_keras.optimizers.Adam(schedule, beta_1=0.8), loss="mse")
    model = model_of()
    compilation.compile_like(model, reference, 0.02)

    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    assert model.optimizer.beta_1 == 0.8


CUSTOM_LOSS = """
import tensorflow as tf
import tf_keras

def quartic(labels, outputs):
    return tf.reduce_mean((labels - outputs) ** 4, axis=-1)

def worst(labels, outputs):
    return tf.reduce_max(tf.abs(labels - outputs), axis=-1)

class Power(tf_keras.losses.Loss):
    def __init__(self, power):
        super().__init__()
        self.power = power
    def call(self, labels, outputs):
        return tf.reduce_mean((labels - outputs) ** self.power, axis=-1)

def build_model(hparams):
    model = tf_keras.Sequential([tf_keras.layers.Input((1,), name="x"), tf_keras.layers.Dense(1)])
    model.compile("adam", Power(4) if hparams["object"] else quartic, metrics=[worst])
    return model
"""


@pytest.mark.parametrize("as_object", [False, True], ids=["function", "object"])
def test_losses_and_metrics_of_the_users_own_are_taken_over(
    make_module: MakeModule, as_object: bool
) -> None:
    reference = build(make_module(CUSTOM_LOSS), "build_model", {"object": as_object})
    model = model_of()
    compilation.compile_like(model, reference, 0.01)
    model.set_weights([np.array([[0.0]]), np.array([1.0])])
    model.run_eagerly = True
    values = model.evaluate(np.ones((1, 1)), np.array([[3.0]]), verbose=0, return_dict=True)

    assert values == pytest.approx({"loss": 16.0, "worst": 2.0})


def test_losses_by_name_of_an_output_reach_an_output_of_another_name() -> None:
    reference = model_of(
        optimizer="sgd", loss={"y": "mae"}, metrics={"y": ["mse"]}, loss_weights={"y": 3.0}
    )
    model = tf_keras.Sequential([layers.Input((1,), name="x"), layers.Dense(1, name="quant_y")])
    compilation.compile_like(model, reference, 0.01)
    model.set_weights([np.array([[0.0]]), np.array([1.0])])
    model.run_eagerly = True
    values = model.evaluate(np.ones((1, 1)), np.array([[3.0]]), verbose=0, return_dict=True)

    assert values == pytest.approx({"loss": 6.0, "mse": 4.0})


def fit(
    folder: Path, model: tf_keras.Model, *splits: Arrays, seed: int = 1, **more: Any
) -> history.History:
    """Trains on a line by 64 points in batches of 8, where `more` does not say otherwise."""
    given = {"callbacks", "first_epoch_to_stop", "or_as_before"} & set(more)
    arguments = {name: more.pop(name) for name in given}
    options = Training(**{"batch_size": 8, **({} if "steps" in more else {"epochs": 3}), **more})
    train, evaluation = splits or (line(), line(16))
    return fitting.fit(
        model, train, evaluation, options=options, seed=seed, log_dir=str(folder), **arguments
    )


def curves(folder: Path) -> dict[str, list[float]]:
    """Tag → its value at each epoch, from the event files of a folder."""
    found = EventAccumulator(str(folder)).Reload()
    return {
        tag: [float(tf.make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }


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


def test_a_history_with_what_is_no_number_is_json(tmp_path: Path) -> None:
    """Training goes on where only the loss on the eval split is infinite."""
    train, evaluation = line(), line(16)
    evaluation.features["x"][3] = np.inf
    history = fit(tmp_path, model_of(optimizer="sgd", loss="mse"), train, evaluation, epochs=1)
    history.write(str(tmp_path))

    text = (tmp_path / "history.json").read_text(encoding="utf-8")
    (epoch,) = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["epochs"]
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
def test_exactly_so_many_steps_are_taken(
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


def expected_rate(kind: str, warmup: int, end: float, base: float, steps: int) -> np.ndarray:
    """Learning rate at each step, by the formulas of the schedules."""
    i = np.arange(steps, dtype=np.float64)
    share = np.maximum(i - warmup, 0) / (steps - warmup)
    falling = {
        "constant": np.ones(steps),
        "linear": 1 - (1 - end) * share,
        "cosine": end + (1 - end) * (1 + np.cos(np.pi * share)) / 2,
        "exponential": end**share,
    }[kind]
    return base * np.where(i < warmup, (i + 1) / (warmup + 1), falling)


@pytest.mark.parametrize(
    ("kind", "warmup", "end"),
    [
        ("constant", 0.3, 0.0),
        ("linear", 0.0, 0.0),
        ("linear", 0.25, 0.1),
        ("cosine", 0.0, 0.2),
        ("cosine", 0.1, 0.0),
        ("exponential", 0.0, 0.01),
        ("exponential", 0.5, 0.1),
    ],
)
def test_the_learning_rate_of_each_step_is_the_formulas(kind: str, warmup: float, end: float) -> None:
    asked = LearningRateSchedule(kind=kind, warmup=warmup, end=end)
    schedule = learning_rate.schedule_of(asked, 0.4, 40)

    got = np.array([float(schedule(step)) for step in range(40)])
    np.testing.assert_allclose(
        got, expected_rate(kind, int(40 * warmup), end, 0.4, 40), rtol=1e-5, atol=1e-8
    )
    assert np.all(got > 0)
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(step)) for step in range(40)] == got.tolist()


def test_a_learning_rate_that_stays_is_no_schedule() -> None:
    assert learning_rate.schedule_of(LearningRateSchedule(), 0.4, 40) is None


@pytest.mark.parametrize("kind", [tf_keras.optimizers.SGD, tf_keras.optimizers.legacy.SGD])
def test_the_optimizer_goes_by_the_schedule(kind: type, tmp_path: Path) -> None:
    """With a gradient of 1, the bias moves by the learning rate."""
    biases: list[float] = []

    class Watch(tf_keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            biases.append(float(self.model.get_weights()[1][0]))

    model = model_of(optimizer=kind(0.25), loss=lambda labels, outputs: tf.reduce_mean(outputs))
    asked = {"kind": "cosine", "warmup": 0.2, "end": 0.1}
    history = fit(tmp_path, model, steps=20, learning_rate_schedule=asked, callbacks=[Watch()])

    moves = -np.diff([0.0, *biases])
    wanted = expected_rate("cosine", 4, 0.1, 0.25, 21)
    wanted[:20] = expected_rate("cosine", 4, 0.1, 0.25, 20)
    np.testing.assert_allclose(moves, wanted[:20], rtol=1e-3)
    # The curve has what the next step would take: after 8, 16 and all 20 steps.
    rates = curves(tmp_path / "train")["epoch_learning_rate"]
    np.testing.assert_allclose(rates, [wanted[8], wanted[16], 0.025], rtol=1e-4)
    assert history.learning_rates == rates


def test_a_schedule_of_the_users_own_stays_and_is_not_replaced(tmp_path: Path) -> None:
    own = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 8, 0.5)
    model = model_of(optimizer=tf_keras.optimizers.SGD(own), loss="mse")
    with pytest.raises(error.TrainingError) as raised:
        fit(tmp_path, model, learning_rate_schedule={"kind": "linear"})
    assert str(raised.value) == (
        "build_model compiles with its own learning rate schedule; write learning_rate for "
        "learning_rate_schedule to go by, or leave learning_rate_schedule out"
    )
    assert int(model.optimizer.iterations) == 0

    fit(tmp_path, model, learning_rate_schedule={"kind": "constant", "warmup": 0.0, "end": 0.0})
    assert curves(tmp_path / "train")["epoch_learning_rate"] == pytest.approx([0.25, 0.125, 0.0625])


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


def test_the_last_weights_stay_where_the_best_are_not_wanted(tmp_path: Path) -> None:
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


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
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
