"""Training on examples in files gives what training on them in memory gives, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.base.step_options import Training
from components.common.data.arrays import Arrays
from components.common.data.class_weights import ClassWeights
from components.common.data.column import Column
from components.common.data.examples import Examples
from components.common.training import fitting, seeding
from tests.components.common.training import distributed_problem as problem
from tests.conftest import to_example, write_examples

layers = tf_keras.layers


@pytest.mark.parametrize("outputs", [("a",), ("a", "b")], ids=["one-output", "two-outputs"])
def test_weights_and_losses_are_the_same(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    points = problem.arrays()
    labels = {name: points.labels if name == "a" else points.labels[::-1] for name in outputs}
    weights = None if len(outputs) > 1 else ClassWeights({0: 1.0, 1: 2.0, 2: 0.5}, {})

    def trained(examples: Arrays) -> tuple[list[Any], dict[str, Any]]:
        seeding.seed_everything(3)
        inputs = layers.Input((2,), name="x")
        hidden = layers.Dropout(0.3)(layers.Dense(8, activation="relu")(inputs))
        model = tf_keras.Model(
            inputs, [layers.Dense(3, activation="softmax", name=name)(hidden) for name in outputs]
        )
        model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=[])
        given = Arrays(examples.features, labels, weights)
        options = Training(epochs=3, batch_size=32)
        history = fitting.fit(model, given, given.take(range(40)), options, 5, str(tmp_path / "log"))
        return model.get_weights(), dict(history)

    files = problem.in_files(points, str(tmp_path / "values"))
    assert isinstance(files.features["x"], Column)
    (held, losses), (streamed, others) = trained(points), trained(files)
    assert losses == others and len(losses["loss"]) == 3
    for one, other in zip(held, streamed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {
        split: [
            to_example({"x": x, "label": label})
            for x, label in zip(arrays.feature_arrays()["x"], arrays.labels, strict=True)
        ]
        for split, arrays in {"train": problem.arrays(problem.WHOLE), "eval": problem.arrays(21, 1)}.items()
    }
    return write_examples(tmp_path_factory.mktemp("points"), problem.SCHEMA, **rows)


def test_every_technique_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    # `cluster` takes examples as `prune` does.
    held, streamed = (
        problem.every_step(str(folder), str(tmp_path / str(held)), ("cluster",), held, batch_size=16)
        for held in (True, False)
    )
    assert held.keys() == streamed.keys() == {"train", "prune", "qat", "distill"}
    for technique, theirs in held.items():
        for one, other in zip(theirs["weights"], streamed[technique]["weights"], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=technique)
        assert theirs.get("facts") == streamed[technique].get("facts")


def test_an_autoencoder_learns_from_files(folder: Path, tmp_path: Path) -> None:
    from components.common.base.label import SAME_AS_INPUT
    from components.common.data.model_inputs import InputSpec

    def trained(in_memory: bool) -> list[Any]:
        seeding.seed_everything(3)
        examples = Examples(
            str(folder / "examples"), str(folder / "schema"), None, SAME_AS_INPUT, in_memory=in_memory
        )
        train = examples.load("train", {"x": InputSpec((2,), np.float32)})
        assert train.in_files() != in_memory
        model = tf_keras.Sequential([layers.Input((2,), name="x"), layers.Dense(1), layers.Dense(2)])
        model.compile("sgd", "mse")
        fitting.fit(model, train, train, Training(epochs=2, batch_size=16), 5, str(tmp_path / "log"))
        return model.get_weights()

    for one, other in zip(trained(True), trained(False), strict=True):
        np.testing.assert_array_equal(one, other)
