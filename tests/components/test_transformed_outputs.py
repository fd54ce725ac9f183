"""A model with several outputs on examples that went through Transform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.evaluator import served
from components.measurer import served_skew
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.params import TrainOptions
from components.trainer.run_fn import train_baseline
from tests.components.conftest import make_job, run_step
from tests.components.transformed import Transformed, features_by_numpy, rows
from tests.conftest import to_example

layers = tf_keras.layers
# Output → the feature that it predicts: made by preprocessing_fn, both of them.
LABEL = {"chance": "label", "word": "words"}


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """Its outputs are not in the order of their names."""
    numbers = layers.Input((3,), name="numbers")
    hidden = layers.Dense(8, activation="relu", name="hidden")(numbers)
    word = layers.Dense(4, activation="sigmoid", name="word")(hidden)
    chance = layers.Dense(1, activation="sigmoid", name="chance")(hidden)
    model = tf_keras.Model(numbers, [word, chance])
    model.compile("adam", {"word": "binary_crossentropy", "chance": "binary_crossentropy"})
    return model


@pytest.fixture(scope="module")
def folder(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model, and the file that it was converted to."""
    folder = tmp_path_factory.mktemp("outputs")
    examples = replace(transformed.examples(), label=LABEL)
    definition = ModelDefinition(__name__)
    options = TrainOptions(epochs=1, batch_size=50)
    train_baseline(examples, str(folder / "keras"), str(folder / "logs"), definition, options, 3)
    job = make_job(
        folder / "keras",
        folder / "float32",
        ConvertOptions(quantization="float32"),
        examples,
        definition=definition,
    )
    run_step(convert_model, job)
    return folder


def test_raw_examples_without_labels_give_each_output_what_the_model_does(folder: Path) -> None:
    given = [{n: v for n, v in row.items() if n in ("amount", "hour", "size (m)")} for row in rows("eval")]
    loaded = tf.saved_model.load(model_files.serving_dir(str(folder / "float32")))
    found = loaded.signatures["serving_default"](examples=tf.constant([to_example(row) for row in given]))
    model = tf_keras.models.load_model(folder / "keras" / "Format-Keras" / "model.h5", compile=False)
    word, chance = model.predict(features_by_numpy(given)["numbers"], verbose=0)

    assert sorted(found) == ["chance", "word"]
    np.testing.assert_allclose(found["word"].numpy(), word, atol=1e-5)
    np.testing.assert_allclose(found["chance"].numpy(), chance, atol=1e-5)


def test_what_is_served_is_what_the_file_says(folder: Path, transformed: Transformed) -> None:
    examples = replace(transformed.examples(), label=LABEL)
    raw = replace(transformed.raw_examples(), label=LABEL)
    skew = served_skew.measure(str(folder / "float32"), raw, examples)

    assert skew.examples == 120 and skew.differing == 0 and skew.predicted > 0
    assert all(judgement.met for judgement in served.judge(skew))
