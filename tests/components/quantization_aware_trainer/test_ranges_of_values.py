"""Models whose values are far from TFMOT's ±6: the file after `qat` is as good as without it, or better."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.clusterer.executor import cluster
from components.clusterer.params import ClusterOptions
from components.common.base.activation_ranges import RANGES, RangeError, from_property
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite.litert import LiteRTModel
from components.common.tfmot.ranges import ranges_of
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import make_job, run_step
from tests.components.in_memory import InMemory, in_memory
from tests.conftest import DATA, read_digits

MODULE = '''
"""A regression, and a residual network for digits with pixels from 0 to 255."""

import tf_keras

layers = tf_keras.layers


def build_model(hparams):
    model = globals()[hparams["kind"]]()
    loss = {"regression": "mae", "residual": "sparse_categorical_crossentropy"}[hparams["kind"]]
    model.compile(tf_keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def regression():
    return tf_keras.Sequential([
        layers.Input((4,), name="x"),
        layers.Dense(32, name="a"),
        layers.BatchNormalization(momentum=0.9, name="a_bn"),
        layers.ReLU(name="a_relu"),
        layers.Dense(16, activation="relu", name="b"),
        layers.Dense(1, name="y"),
    ])


def residual():
    image = layers.Input((28, 28, 1), name="x")
    x = y = normed(image, 8, "stem", strides=4)
    y = normed(normed(y, 8, "a"), 8, "b", activate=False)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    x = layers.AveragePooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    return tf_keras.Model(image, layers.Dense(10, activation="softmax", name="y")(x))


def normed(x, filters, name, strides=1, activate=True):
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x
'''


class Case:
    """A trained model and its examples.

    Attributes:
        base: Folder of its `Model` artifact.
        examples: The examples.
    """

    def __init__(self, kind: str, base: Path, examples: InMemory, epochs: int):
        self.base, self.examples = base, examples
        self._definition = ModelDefinition("values_beyond_six", {"kind": kind})
        tf_keras.utils.set_random_seed(3)
        model = self._definition.build()
        train = examples.splits["train"]
        model.fit(train.features["x"], train.labels, batch_size=64, epochs=epochs, verbose=0)
        model_files.save(model, str(base), ["x"], StepRecord())

    def step(self, work: Any, base: Path, output: Path, options: Any) -> dict[str, Any]:
        return run_step(work, make_job(base, output, options, self.examples, definition=self._definition))

    def int8(self, base: Path, output: Path) -> np.ndarray:
        """What the deployed file answers for the eval examples."""
        self.step(convert_model, base, output, ConvertOptions(quantization="int8"))
        file = LiteRTModel(model_files.tflite_file(str(output)))
        inputs = self.examples.splits["eval"].features["x"]
        return np.array([next(iter(file.predict({"x": example}).values())) for example in inputs])

    @property
    def labels(self) -> np.ndarray:
        return np.asarray(self.examples.splits["eval"].labels)


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("module")
    (folder / "values_beyond_six.py").write_text(MODULE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def regression(module: None, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Targets from 0 to 95."""
    inputs = np.random.default_rng(0).uniform(-1, 1, (2500, 4)).astype(np.float32)
    targets = 40 * inputs[:, 0] ** 2 + 25 * (inputs[:, 1] + 1) + 5 * np.abs(inputs[:, 2])
    examples = in_memory("x", inputs, targets.astype(np.float32), 2000)
    return Case("regression", tmp_path_factory.mktemp("regression"), examples, epochs=20)


@pytest.fixture(scope="module")
def residual(module: None, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Digits, as pixels from 0 to 255."""
    digits = read_digits(DATA / "train.tfrecord.gz", 2500)
    images = digits.images.reshape(-1, 28, 28, 1).astype(np.float32)
    assert images.max() == 255
    examples = in_memory("x", images, digits.labels, 2000)
    return Case("residual", tmp_path_factory.mktemp("residual"), examples, epochs=6)


def test_a_regression_is_as_exact_as_after_plain_int8(regression: Case, tmp_path: Path) -> None:
    def error(answers: np.ndarray) -> float:
        return float(np.mean(np.abs(answers[:, 0] - regression.labels)))

    plain = error(regression.int8(regression.base, tmp_path / "plain"))
    options = QatOptions(steps=20, learning_rate=1e-4)
    facts = regression.step(train_quantization_aware, regression.base, tmp_path / "qat", options)
    aware = error(regression.int8(tmp_path / "qat", tmp_path / "aware"))

    figures = f"plain int8 {plain}, quantization-aware {aware}"
    assert np.ptp(regression.labels) > 80
    assert plain < 2.5, figures
    assert aware < 1.1 * plain, figures
    ranges = from_property(facts[RANGES])
    assert sorted(ranges) == ["a_relu", "b", "x", "y"]
    assert ranges["y"].high > 80
    assert facts["most_clipped"] == max(one.clipped for one in ranges.values()) < 0.03
    assert StepRecord.read(str(tmp_path / "qat")).ranges["y"].high == pytest.approx(
        ranges["y"].high, abs=1e-4
    )


def test_a_range_that_clips_fails_the_step(regression: Case, tmp_path: Path) -> None:
    limits = {"method": "percentile", "percentile": 80, "max_clipped": 0.05}
    options = QatOptions.model_validate({"steps": 1, "calibration": limits, "freeze_ranges_after": 0})

    with pytest.raises(RangeError, match=r"clips [12]\d\.\d% of the values on eval examples"):
        regression.step(train_quantization_aware, regression.base, tmp_path / "qat", options)
    assert not (tmp_path / "qat" / model_files.SERVING).exists()


STEPS = {"steps": 40, "learning_rate": 0.001}


@pytest.fixture(scope="module")
def clustered(residual: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual network after prune and cluster."""
    folder = tmp_path_factory.mktemp("chain")
    residual.step(prune, residual.base, folder / "pruned", PruneOptions(sparsity=0.3, **STEPS))
    residual.step(cluster, folder / "pruned", folder / "clustered", ClusterOptions(clusters=16, **STEPS))
    return folder / "clustered"


def test_a_residual_network_keeps_its_accuracy_through_prune_cluster_and_qat(
    residual: Case, clustered: Path, tmp_path: Path
) -> None:
    def accuracy(answers: np.ndarray) -> float:
        return float(np.mean(answers.argmax(axis=1) == residual.labels))

    plain = accuracy(residual.int8(clustered, tmp_path / "plain"))
    assert plain > 0.85
    for batch_norm in ("frozen", "moving", "re-estimated"):
        aware = tmp_path / batch_norm
        options = QatOptions.model_validate({"steps": 20, "learning_rate": 1e-4, "batch_norm": batch_norm})
        residual.step(train_quantization_aware, clustered, aware, options)
        found = accuracy(residual.int8(aware, tmp_path / f"{batch_norm}-file"))
        assert found > plain - 0.015, f"{batch_norm}: plain int8 {plain}"
        record = StepRecord.read(str(aware))
        assert record.ranges["x"].high == pytest.approx(255), batch_norm
        assert {one.wrong() for one in record.ranges.values()} == {False}, batch_norm


def test_fine_tuning_after_it_measures_the_ranges_again(residual: Case, tmp_path: Path) -> None:
    residual.step(train_quantization_aware, residual.base, tmp_path / "qat", QatOptions(steps=2))
    options = FineTuneOptions(steps=2, learning_rate=1e-4)
    facts = residual.step(fine_tune, tmp_path / "qat", tmp_path / "tuned", options)

    model = model_files.load(str(tmp_path / "tuned"))
    ends = {found.tensor: found.read() for found in ranges_of(model)}
    assert ends["pool"] == ends["sum_relu"]  # a pooling's two sides
    assert {tensor: one.high for tensor, one in from_property(facts[RANGES]).items()} == pytest.approx(
        {tensor: high for tensor, (_, high) in ends.items()}, abs=1e-4
    )
