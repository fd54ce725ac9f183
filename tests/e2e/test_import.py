"""A model trained elsewhere, from its file to the pushed one."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import to_example
from tests.e2e.project import Project, empty_project

CONFIG = """\
name: digits
data:
  path: data
  splits: {train: "train*", eval: "eval*"}
  label: label
  validation: {allow: [{feature: id, kinds: [skew]}]}
model:
  import: {path: digits.keras, inputs: {input_1: image}}
candidates:
  dynamic:
    - convert: {quantization: dynamic}
  int8:
    - convert: {quantization: int8}
  pruned:
    - prune: {sparsity: 0.5, epochs: 1, batch_size: 32}
    - convert: {quantization: dynamic}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.03}
  latency: {repetitions: 60, warmup: 5}
  size: {max_ratio: 0.4}
select: {maximize: accuracy}
push: {directory: serving}
"""

CALIBRATION, EVALUATION = 200, 300


@dataclass(frozen=True)
class Imported:
    """A project after its run, and what plain Keras says of the model.

    Attributes:
        result: What the run printed.
        images: Images of the eval split, (examples, 8, 8, 1).
        labels: Labels of the eval split.
        probabilities: What the model in memory gives for them.
    """

    project: Project
    result: dict[str, Any]
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def train(images: np.ndarray, labels: np.ndarray) -> Any:
    """A model with names of its own, trained without any of the project's code."""
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.layers.Input((8, 8, 1), name="input_1")
    hidden = tf_keras.layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    hidden = tf_keras.layers.Dense(32, activation="relu", name="hidden")(tf_keras.layers.Flatten()(hidden))
    model = tf_keras.Model(
        inputs, tf_keras.layers.Dense(10, activation="softmax", name="probabilities")(hidden)
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    # AutoGraph, which these layers have no need of, would take half a minute.
    model.train_step = tf.autograph.experimental.do_not_convert(model.train_step)
    model.fit(images, labels, epochs=8, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Digits of scikit-learn: most train the model, some calibrate it, some judge it."""
    import tensorflow as tf
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("imported") / "project"
    project = empty_project(root, columns=200)
    (root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32).reshape(-1, 8, 8, 1), labels[order]
    parts = {"train": slice(0, CALIBRATION), "eval": slice(CALIBRATION, CALIBRATION + EVALUATION)}
    (root / "data").mkdir()
    for split, part in parts.items():
        with tf.io.TFRecordWriter(str(root / f"data/{split}.tfrecord")) as writer:
            for number, (image, label) in enumerate(zip(images[part], labels[part], strict=True)):
                writer.write(to_example({"image": image, "id": number, "label": label}))
    rest = slice(CALIBRATION + EVALUATION, None)
    model = train(images[rest], labels[rest])
    model.save(root / "digits.keras")
    judged = images[parts["eval"]]
    probabilities = model(judged).numpy()
    return Imported(project, project.run(), judged, labels[parts["eval"]], probabilities)


def predictions(path: str, images: np.ndarray) -> np.ndarray:
    """What a plain interpreter makes of images."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path).get_signature_runner("serving_default")
    return np.concatenate([runner(image=image[None])["probabilities"] for image in images])


@pytest.mark.e2e
def test_the_baseline_is_the_model_of_the_file(imported: Imported) -> None:
    expected = float(np.mean(imported.probabilities.argmax(1) == imported.labels))
    root = imported.project.root / ".paredown/digits/convert-float32/model"
    (file,) = root.glob("*/Format-Serving/tflite")

    found = predictions(str(file), imported.images)
    np.testing.assert_allclose(found, imported.probabilities, atol=1e-5)
    assert expected > 0.9
    for verdict in imported.result["candidates"].values():
        assert verdict["measured"]["accuracy"]["baseline"] == pytest.approx(expected, abs=1e-6)
    assert set(imported.result["candidates"]) == {"dynamic", "int8", "pruned"}


@pytest.mark.e2e
def test_a_step_that_trains_works_on_the_imported_layers(imported: Imported) -> None:
    pruned = imported.result["candidates"]["pruned"]["measured"]["file"]["layers"]

    # Half of all weights together, most of them in the layer that has most.
    sizes = {"conv": 72, "hidden": 9216, "probabilities": 320}
    shares = {name: pruned[name]["sparsity"] if name in pruned else 0.0 for name in sizes}
    assert sum(shares[name] * size for name, size in sizes.items()) >= 0.495 * sum(sizes.values())
    assert shares["hidden"] > shares["probabilities"]


@pytest.mark.e2e
def test_the_pushed_file_predicts_as_the_imported_model(imported: Imported) -> None:
    assert imported.result["winner"] in ("dynamic", "int8", "pruned")
    found = predictions(str(Path(imported.result["pushed"]) / "tflite"), imported.images)

    agreement = np.mean(found.argmax(1) == imported.probabilities.argmax(1))
    assert agreement >= 0.97
    drop = np.mean(imported.probabilities.argmax(1) == imported.labels) - np.mean(
        found.argmax(1) == imported.labels
    )
    assert drop <= 0.03


@pytest.mark.e2e
def test_lineage_leads_back_to_the_file_and_from_it(imported: Imported) -> None:
    project, file = imported.project, imported.project.root / "digits.keras"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    reported = project.paredown("lineage", "serving")
    assert reported.code == 0, reported.err
    assert f"imported from {file}, keras, sha256 {digest}" in " ".join(
        reported.out.replace("│", " ").split()
    )
    shutil.copy(file, project.root.parent / "copy.keras")
    down = project.paredown("lineage", str(project.root.parent / "copy.keras"), "--down")
    assert f"was imported from (SHA-256 {digest[:12]}…)" in down.out, down.err
    events = project.paredown("lineage", "serving", "--format", "openlineage")
    read = [data for event in map(json.loads, events.out.splitlines()) for data in event["inputs"]]
    (version,) = {data["facets"]["version"]["datasetVersion"] for data in read if data["name"] == str(file)}
    assert version == digest


@pytest.mark.e2e
def test_a_changed_file_runs_what_depends_on_it(imported: Imported) -> None:
    import tf_keras

    project = imported.project
    assert project.would_run() == set()
    file = project.root / "digits.keras"
    before = file.read_bytes()
    try:
        model = tf_keras.models.load_model(file)
        model.layers[-1].bias.assign_add([0.1] * 10)
        model.save(file)
        states = project.states()
        assert {node for node, cached in states.items() if cached} == {
            "ImportExampleGen",
            "StatisticsGen",
            "SchemaGen",
            "ExampleValidator",
            "AnomalyGate",
        }
    finally:
        file.write_bytes(before)
