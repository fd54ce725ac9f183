"""Class weights: their values, their effect on training, and labels for which they have no meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.data import class_weights
from components.common.data.arrays import Arrays
from components.common.data.class_weights import ClassWeights, ClassWeightsError
from components.common.data.examples import Examples
from components.common.data.model_inputs import InputSpec
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.training import fitting
from components.distiller.executor import distill
from components.distiller.params import DistillOptions
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.trainer.params import TrainOptions
from components.trainer.run_fn import train_baseline
from tests.components.conftest import MakeModule, make_job, run_step
from tests.conftest import to_example, write_examples

LABELS = np.array([0, 2, 2, 2, 1, 2, 0, 2])
WEIGHTS = {0: 8 / (3 * 2), 1: 8 / (3 * 1), 2: 8 / (3 * 5)}  # n / (k · n_c)

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 2 } } }
feature { name: "label" type: BYTES domain: "label" presence { min_fraction: 1 } shape { dim { size: 1 } } }
string_domain { name: "label" value: "common" value: "rare" }
"""

MODEL = """
import tf_keras


def build_model(hparams):
    x = tf_keras.layers.Input((2,), name="x")
    y = tf_keras.layers.Dense(2, activation="softmax", name="y")(x)
    model = tf_keras.Model(x, y)
    model.compile(tf_keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def build_student(hparams):
    return build_model(hparams)
"""


def test_balanced_weights_let_all_classes_count_alike() -> None:
    weights = class_weights.resolve("balanced", LABELS, "label", ["a", "b", "c"])

    assert weights.by_class == pytest.approx(WEIGHTS)
    assert json.loads(weights.fact()) == pytest.approx(dict(zip("abc", WEIGHTS.values(), strict=True)))
    each = weights.of(LABELS)
    assert each.dtype == np.float32 and each.mean() == pytest.approx(1)
    assert [each[value == LABELS].sum() for value in range(3)] == pytest.approx([8 / 3] * 3)


def test_numbers_are_weighed_by_value_and_what_is_not_written_weighs_one() -> None:
    labels = np.array([7, -1, 7, 3])
    assert class_weights.resolve("balanced", labels, "y", None).by_class == pytest.approx(
        {-1: 4 / 3, 3: 4 / 3, 7: 2 / 3}
    )
    written = class_weights.resolve({"7": 2.5}, labels, "y", None)
    assert written.of(labels).tolist() == [2.5, 1, 2.5, 1]
    assert class_weights.resolve({"b": 3}, LABELS, "y", ["a", "b", "c"]).of(LABELS).tolist() == [
        1,
        1,
        1,
        1,
        3,
        1,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("asked", "labels", "names", "reason"),
    [("balanced", LABELS, ["a", "b", "c", "d"], "cannot weight 'd', of which the train split has no example"),
     ({"dog": 2.0}, LABELS, ["a", "b", "c"], "'dog' is not a class of label 'y', which has 'a', 'b', 'c'"),
     ({"4": 2.0}, LABELS, None, "'4' is not a class of label 'y', which has '0', '1', '2'"),
     ("balanced", LABELS.astype(np.float32), None, "numbers with fractions, as in a regression"),
     ("balanced", np.eye(3, dtype=int), None, "(3,) values per example, which are not one class")],
)  # fmt: skip
def test_what_has_no_classes_is_refused(asked: Any, labels: np.ndarray, names: Any, reason: str) -> None:
    with pytest.raises(ClassWeightsError) as refused:
        class_weights.resolve(asked, labels, "y", names)
    assert reason in str(refused.value)


@pytest.mark.parametrize("loss", ["mse", tf_keras.losses.Huber(), ["mae"], {"y": "poisson"}])
def test_a_regression_is_refused(loss: Any) -> None:
    x = tf_keras.layers.Input((2,))
    model = tf_keras.Model(x, tf_keras.layers.Dense(1, name="y")(x))
    model.compile(loss=loss)
    with pytest.raises(ClassWeightsError, match="the loss of a regression; leave class_weights out"):
        class_weights.refuse_other_tasks(model)
    model.compile(loss=tf_keras.losses.BinaryCrossentropy(from_logits=True))
    class_weights.refuse_other_tasks(model)


def test_several_outputs_are_refused() -> None:
    x = tf_keras.layers.Input((2,))
    model = tf_keras.Model(x, [tf_keras.layers.Dense(1)(x), tf_keras.layers.Dense(1)(x)])
    model.compile(loss="binary_crossentropy")
    with pytest.raises(ClassWeightsError, match="the model has 2 outputs"):
        class_weights.refuse_other_tasks(model)


def test_one_step_goes_by_the_weighted_loss_and_evaluation_does_not(tmp_path: Path) -> None:
    """Loss and step of gradient descent, computed by hand."""
    x = np.random.default_rng(3).normal(size=(8, 4)).astype(np.float32)
    inputs = tf_keras.layers.Input((4,), name="x")
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3, activation="softmax", use_bias=False)(inputs))
    model.compile(tf_keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    kernel = model.get_weights()[0].astype(np.float64)
    train = Arrays({"x": x}, LABELS, ClassWeights(WEIGHTS, {}))
    evaluation = Arrays({"x": x}, LABELS)
    history = fitting.fit(model, train, evaluation, TrainOptions(batch_size=8, epochs=1), 1, str(tmp_path))

    def probabilities(weights: np.ndarray) -> np.ndarray:
        powers = np.exp(x @ weights)
        return powers / powers.sum(axis=1, keepdims=True)

    each = np.array([WEIGHTS[value] for value in LABELS])
    before = probabilities(kernel)
    losses = -np.log(before[np.arange(8), LABELS])
    assert history["loss"][0] == pytest.approx((each * losses).sum() / 8, rel=1e-5)
    gradient = x.T @ ((before - np.eye(3)[LABELS]) * each[:, np.newaxis]) / 8
    moved = kernel - 0.5 * gradient
    assert model.get_weights()[0] == pytest.approx(moved, abs=1e-5)
    plain = -np.log(probabilities(moved)[np.arange(8), LABELS]).mean()
    assert history["val_loss"][0] == pytest.approx(plain, rel=1e-4)


def test_examples_that_are_taken_keep_their_weights() -> None:
    arrays = Arrays({"x": LABELS}, LABELS, ClassWeights({1: 2.0}, {}))
    assert arrays.take([4, 0]).weights().tolist() == [2, 1]
    assert Arrays({"x": LABELS}, LABELS).weights() is None


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Two clouds of points that overlap, one with a twentieth of the examples of the other."""
    generator = np.random.default_rng(7)

    def rows(common: int, rare: int) -> list[bytes]:
        return [
            to_example({"x": generator.normal(place, 1.0, 2), "label": name})
            for name, place, count in (("common", 0.0, common), ("rare", 1.2, rare))
            for _ in range(count)
        ]

    folder = tmp_path_factory.mktemp("overlapping")
    written = write_examples(folder, SCHEMA, train=rows(800, 40), eval=rows(300, 300))
    return Examples(
        str(written / "examples"), str(written / "schema"), None, "label", class_weights="balanced"
    )


def test_weights_raise_the_recall_of_a_rare_class_in_every_step(
    overlapping: Examples, make_module: MakeModule, tmp_path: Path
) -> None:
    definition = ModelDefinition(make_module(MODEL))
    evaluation = overlapping.load("eval", {"x": InputSpec((2,), np.float32)})

    def recall(folder: Path) -> float:
        predicted = model_files.load(str(folder)).predict(evaluation.features["x"], verbose=0)
        return float((predicted.argmax(axis=1) == 1)[evaluation.labels == 1].mean())

    training = TrainOptions(epochs=4, batch_size=40)
    for name, examples in (("plain", replace(overlapping, class_weights=None)), ("weighed", overlapping)):
        train_baseline(
            examples, str(tmp_path / name), str(tmp_path / "logs" / name), definition, training, 1
        )
    tuned = FineTuneOptions(epochs=4, batch_size=40, learning_rate=0.05)
    taught = DistillOptions(epochs=4, batch_size=40, learning_rate=0.05, alpha=1.0)
    facts = {}
    for name, work, options in (("tuned", fine_tune, tuned), ("taught", distill, taught)):
        job = make_job(tmp_path / "plain", tmp_path / name, options, overlapping, definition=definition)
        facts[name] = run_step(work, job)

    assert recall(tmp_path / "plain") < 0.3
    for name in ("weighed", "tuned", "taught"):
        assert recall(tmp_path / name) > 0.7, name
    expected = {"common": 840 / (2 * 800), "rare": 840 / (2 * 40)}
    written = [
        class_weights.read_fact(str(tmp_path / "weighed")),
        *(f["class_weights"] for f in facts.values()),
    ]
    assert [json.loads(str(fact)) for fact in written] == [pytest.approx(expected)] * 3
    assert class_weights.read_fact(str(tmp_path / "plain")) is None
