"""Training on the baseline's own outputs: the distance, and steps that need no label."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.base.step_options import Baseline
from components.common.data.arrays import Arrays
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.steps import fine_tuning
from components.common.training import self_teaching
from components.common.training.self_teaching import Answer
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.pruner.params import PruneOptions
from tests.components.conftest import Step, make_job, run_step
from tests.conftest import Trained

TAUGHT, GIVEN = np.array([[0.7, 0.2, 0.1]], np.float32), np.array([[0.5, 0.4, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("answer", "taught", "given", "distance", "figure"),
    [
        # The logarithms differ by log 1.4, −log 2 and 0, of which the mean counts for nothing.
        (Answer("y", "softmax"), TAUGHT, GIVEN, np.var([np.log(1.4), -np.log(2), 0]), 1),
        (Answer("y", "softmax"), TAUGHT, TAUGHT[:, ::-1], np.var([np.log(7), 0, -np.log(7)]), 0),
        (Answer("y", "softmax", logits=True), np.log(TAUGHT), np.log(TAUGHT) + 5, 0, 1),
        (Answer("y", "sigmoid"), [[0.5, 0.9]], [[0.5, 0.1]], np.log(81) ** 2 / 2, 0.5),
        (Answer("y", "sigmoid", logits=True), [[1.0, -1.0]], [[3.0, -2.0]], (4 + 1) / 2, 1),
        (Answer("y"), [[3.0, 5.0]], [[1.0, 6.0]], (4 + 1) / 2, (2 + 1) / 2),
    ],
)
def test_the_distance_and_the_figure_that_is_shown(
    answer: Answer, taught: Any, given: Any, distance: float, figure: float
) -> None:
    taught, given = tf.constant(np.array(taught, np.float32)), tf.constant(np.array(given, np.float32))
    assert answer.distance()(taught, given).numpy() == pytest.approx([distance], rel=1e-4, abs=1e-6)
    assert np.mean(answer.metric()(taught, given)) == pytest.approx(figure)


@pytest.mark.parametrize(
    ("answer", "divergence"),
    [
        (Answer("y", "softmax"), 0.7 * np.log(1.4) - 0.2 * np.log(2)),
        (Answer("y", "softmax", logits=True), 0.7 * np.log(1.4) - 0.2 * np.log(2)),
        # Of each unit and its opposite, and the mean of the units.
        (Answer("y", "sigmoid"),
         np.mean([0.7 * np.log(1.4) + 0.3 * np.log(0.6), 0.8 * np.log(4 / 3) - 0.2 * np.log(2), 0])),
    ],
)  # fmt: skip
def test_the_divergence_of_softened_probabilities(answer: Answer, divergence: float) -> None:
    taught, given = (tf.constant(np.log(values) if answer.logits else values) for values in (TAUGHT, GIVEN))
    assert answer.distance(1.0)(taught, given).numpy() == pytest.approx([divergence], rel=1e-4)
    # A high temperature leaves half the squared distance of logits: of softmax, by the number of classes.
    assert answer.distance(30.0)(taught, given).numpy() == pytest.approx(
        answer.distance()(taught, given).numpy() * (0.5 if answer.of == "softmax" else 1 / 8), rel=0.03
    )


def test_outputs_are_known_by_their_activation_or_by_the_loss() -> None:
    x = tf_keras.layers.Input((4,))
    outputs = [
        tf_keras.layers.Dense(3, activation="softmax", name="kind")(x),
        tf_keras.layers.Dense(2, name="scores")(x),
        tf_keras.layers.Dense(1, name="amount")(x),
    ]
    answers = self_teaching.answers_of(tf_keras.Model(x, outputs), {"scores": "sigmoid"})

    assert answers == [
        Answer("kind", "softmax"),
        Answer("scores", "sigmoid", logits=True),
        Answer("amount"),
    ]
    assert self_teaching.metrics_of(answers) == [
        "val_loss",
        "val_kind_agreement",
        "val_scores_agreement",
        "val_amount_mean_absolute_error",
    ]
    assert self_teaching.metrics_of(answers[:1]) == ["val_loss", "val_agreement"]


def test_imported_models_teach_themselves_by_default() -> None:
    options = FineTuneOptions()
    assert options.like(Baseline(imported=True)).teacher == "self"
    assert options.like(Baseline()).teacher == "labels"
    assert FineTuneOptions(teacher="labels").like(Baseline(imported=True)).needs_labels()
    assert not FineTuneOptions(teacher="self").like(Baseline()).needs_labels()


def test_the_baseline_answers_for_each_output_as_in_inference() -> None:
    first, second = tf_keras.layers.Input((2,), name="first"), tf_keras.layers.Input((2,), name="second")
    x = tf_keras.layers.Subtract()([first, second])
    outputs = [
        tf_keras.layers.Dropout(0.9, name="same")(x),
        tf_keras.layers.Dense(1, kernel_initializer="ones", name="sum")(x),
    ]
    model = tf_keras.Model([first, second], outputs)
    arrays = Arrays({"b": np.ones((3, 2), np.float32), "a": np.full((3, 2), 4.0, np.float32)}, {})

    answered = self_teaching.with_answers(arrays, model, ["a", "b"])

    assert len(arrays) == len(answered) == 3
    assert isinstance(answered.labels, dict) and list(answered.labels) == ["same", "sum"]
    np.testing.assert_array_equal(answered.labels["same"], np.full((3, 2), 3.0))
    np.testing.assert_array_equal(answered.labels["sum"], np.full((3, 1), 6.0))


@pytest.mark.parametrize(
    ("options", "share"),
    [
        (PruneOptions(sparsity=0.5, teacher="self"), 0.5),
        (PruneOptions(sparsity=0.5, teacher="labels"), 0),
        (FineTuneOptions(teacher="self"), 0),
    ],
)
def test_pruning_learns_the_baselines_answers_to_mixtures(
    options: Any, share: float, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    job = make_job(trained.uri, tmp_path, options, mnist_examples)
    model = job.load_baseline()
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).uniform(0, 255, (64, 28, 28, 1)).astype(np.float32)
    labels = model.predict(images, verbose=0)
    seen: list[Any] = []

    def step(data: Any) -> dict[str, Any]:
        seen.extend(data)
        return {}

    model.train_step = step
    fine_tuning._mix_examples(job, model, ["image"])
    model.train_step(((tf.constant(images),), tf.constant(labels)))

    (taken,), taught = seen
    other = np.any(taken.numpy() != images, axis=(1, 2, 3))
    assert np.mean(other) == pytest.approx(share, abs=0.2)
    np.testing.assert_allclose(taught, model.predict(taken, verbose=0), atol=1e-5)


@pytest.mark.parametrize("before", [None, 2.0])
def test_a_step_after_one_that_gave_up_logits_learns_probabilities_too(
    before: float | None, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    StepRecord(temperature=before).write(str(tmp_path))
    job = make_job(tmp_path, tmp_path / "tuned", FineTuneOptions(teacher="self"), mnist_examples)
    job = dataclasses.replace(job, teacher=trained.uri)
    model = job.load_baseline()

    fine_tuning.compile_model(job, model)

    wanted = Answer("y", "softmax").distance(before)(TAUGHT, GIVEN)
    np.testing.assert_allclose(model.loss[0](TAUGHT, GIVEN), wanted, rtol=1e-6)


def test_a_pruned_model_comes_back_to_its_baseline_without_labels(
    trained: Trained, pruned: Step, mnist_examples: Any, tmp_path: Path
) -> None:
    unlabelled = dataclasses.replace(mnist_examples, label={})
    features = list(unlabelled.feature_spec())
    baseline = model_files.load(trained.uri)
    specs = model_files.input_specs(baseline, ["image"], {})
    assert "label" in features  # it is there, and not read
    (images,) = unlabelled.load("eval", specs).features.values()
    wanted = np.log(baseline.predict(images, verbose=0))

    def distance(uri: str) -> float:
        difference = wanted - np.log(model_files.load(uri).predict(images, verbose=0))
        return float(np.mean(np.var(difference, axis=-1)))

    options = FineTuneOptions(epochs=2, batch_size=50, teacher="self")
    job = make_job(pruned.uri, tmp_path / "tuned", options, unlabelled, teacher=trained.uri)
    # Of the model that begins the step, the outputs would be its own, and the distance 0.
    with pytest.raises(Exception, match="label"):
        run_step(fine_tune, dataclasses.replace(job, options=FineTuneOptions(steps=1)))
    facts = run_step(fine_tune, job)

    assert distance(str(tmp_path / "tuned")) < 0.85 * distance(pruned.uri)
    assert facts["final_val_loss"] == pytest.approx(distance(str(tmp_path / "tuned")), rel=0.02)
    assert facts["final_val_agreement"] > np.mean(
        wanted.argmax(axis=-1) == model_files.load(pruned.uri).predict(images, verbose=0).argmax(axis=-1)
    )
    assert StepRecord.read(str(tmp_path / "tuned")).techniques() == ["prune", "fine_tune"]
