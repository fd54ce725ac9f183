"""Image folders with string labels and class weights, from PNG files to a pushed model."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from tests.conftest import DATA, read_digits
from tests.e2e.project import Project, make_project

pytestmark = pytest.mark.e2e

# Not in the order of their digits: what counts is the order of data.classes.
CLASSES = {"seven": 7, "one": 1, "zero": 0}
TRAIN = {"seven": 40, "one": 300, "zero": 300}
EVAL = 30

CONFIG = """
name: images
data:
  format: images
  path: pictures
  splits: {train: "train/*/*", eval: "eval/*/*"}
  classes: [seven, one, zero]
  class_weights: balanced
  image: {size: [28, 28], channels: 1}
  validation: {max_skew: null}       # the rare class is not rare in eval, so that its recall can be measured
model:
  module: model
  hparams: {filters: [4, 8], units: 16, learning_rate: 0.003}
  train: {epochs: 3, batch_size: 32}
candidates:
  int8:
    - convert: {quantization: int8, io: int8}
gate:
  accuracy:
    metric: SparseCategoricalAccuracy
    min: 0.6
    slices: [{by: label, min: 0.3}]
  latency: {repetitions: 20, warmup: 2}
select: {minimize: gzip_size}
push: {directory: serving}
run: {seed: 7}
"""


def write_images(folder: Path, split: str, count: dict[str, int]) -> None:
    """PNG files of MNIST digits, one folder a class."""
    digits = read_digits(DATA / f"{split}.tfrecord.gz", 6000 if split == "train" else 600)
    for name, digit in CLASSES.items():
        target = folder / name
        target.mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == digit)[: count[name]]:
            image = digits.images[index].reshape(28, 28, 1).astype(np.uint8)
            (target / f"{index:05d}.png").write_bytes(tf.io.encode_png(image).numpy())


@dataclass
class Finished:
    """A project after its run, and what the run printed."""

    project: Project
    printed: dict[str, Any]

    def version(self) -> Path:
        """The pushed folder."""
        (version,) = (self.project.root / "serving").iterdir()
        return version

    def models(self) -> dict[str, dict[str, str]]:
        """Node → text properties of the model that it made."""
        store = metadata_store.MetadataStore(
            metadata_store_pb2.ConnectionConfig(
                sqlite=metadata_store_pb2.SqliteMetadataSourceConfig(
                    filename_uri=str(self.project.root / ".paredown/images/metadata.sqlite")
                )
            )
        )
        return {
            Path(model.uri).parents[1].name: {n: v.string_value for n, v in model.custom_properties.items()}
            for model in store.get_artifacts_by_type("Model")
        }


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("images") / "project"
    project = make_project(root, train=1, test=1)
    (root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    project.edit(
        "model.py", 'layers.Dense(10, activation="softmax"', 'layers.Dense(3, activation="softmax"'
    )
    write_images(root / "pictures/train", "train", TRAIN)
    write_images(root / "pictures/eval", "test", dict.fromkeys(CLASSES, EVAL))
    return Finished(project, project.run())


def test_the_pushed_file_classifies_images_by_labels_txt(images: Finished) -> None:
    """Raw PNG files, decoded by TensorFlow, through a plain interpreter: the very accuracy of the gate."""
    version = images.version()
    assert sorted(path.name for path in version.iterdir()) == ["labels.txt", "tflite"]
    names = (version / "labels.txt").read_text(encoding="utf-8").splitlines()
    runner = Interpreter(str(version / "tflite")).get_signature_runner("serving_default")

    right: dict[str, list[bool]] = {name: [] for name in names}
    for path in sorted((images.project.root / "pictures/eval").glob("*/*.png")):
        pixels = tf.io.decode_png(path.read_bytes(), channels=1).numpy().astype(np.int16)
        scores = runner(image=(pixels[np.newaxis] - 128).astype(np.int8))["probabilities"][0]
        right[path.parent.name].append(names[int(scores.argmax())] == path.parent.name)

    measured = images.printed["candidates"]["int8"]["measured"]["accuracy"]
    assert names == list(CLASSES) and all(len(answers) == EVAL for answers in right.values())
    assert measured["examples"] == 3 * EVAL
    assert measured["candidate"] == pytest.approx(np.mean([np.mean(a) for a in right.values()]), abs=1e-6)
    slices = {entry["slice"]: entry["candidate"] for entry in measured["slices"]}
    assert slices == pytest.approx({f"label={name}": np.mean(a) for name, a in right.items()}, abs=1e-6)
    assert measured["candidate"] > 0.8


def test_weights_are_recorded_of_the_model_that_was_trained(images: Finished) -> None:
    total = sum(TRAIN.values())
    expected = {name: total / (3 * count) for name, count in TRAIN.items()}

    found = {
        node: json.loads(properties["class_weights"])
        for node, properties in images.models().items()
        if "class_weights" in properties
    }

    assert list(found) == ["Trainer"]
    assert found["Trainer"] == pytest.approx(expected) and list(found["Trainer"]) == list(CLASSES)


def test_labels_are_part_of_what_lineage_knows_a_version_by(images: Finished) -> None:
    version = images.version()
    lineage = images.project.paredown("lineage", "serving")
    assert lineage.code == 0 and "2 files" in lineage.out
    digest = hashlib.sha256((version / "labels.txt").read_bytes()).hexdigest()
    assert digest in lineage.out


def test_nothing_runs_again_but_what_an_added_image_changes(images: Finished, tmp_path: Path) -> None:
    assert images.project.would_run() == set()
    copy = images.project.copy(tmp_path / "copy")
    source = next((copy.root / "pictures/train/one").glob("*.png"))
    shutil.copy(source, source.with_name("more.png"))
    assert "ImageExampleGen" in copy.would_run()


def test_hostile_images_end_a_run_before_it_begins(images: Finished, tmp_path: Path) -> None:
    """A text file is reported at once; a truncated JPEG, once nothing else is wrong, before any node runs."""
    copy = images.project.copy(tmp_path / "copy")
    pixels = np.zeros((28, 28, 3), np.uint8)
    whole = tf.io.encode_jpeg(pixels).numpy()
    (copy.root / "pictures/train/one/cut.jpg").write_bytes(whole[: len(whole) // 2])
    text = copy.root / "pictures/eval/zero/notes.txt"
    text.write_text("zeros\n", encoding="utf-8")

    answered = copy.paredown("run", "pipeline.yaml")
    assert answered.code == 2
    assert "not PNG or JPEG images: eval/zero/notes.txt; remove or convert them" in " ".join(
        answered.err.split()
    )
    text.unlink()
    answered = copy.paredown("run", "pipeline.yaml")
    assert answered.code == 2 and "train/one/cut.jpg is damaged (" in " ".join(answered.err.split())
