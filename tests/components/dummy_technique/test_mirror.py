"""A technique of another package: what it achieves is measured in Keras and in the file, and later steps keep it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components import registry
from components.common.models import invariants, layer_weights, model_files
from components.common.models.invariants import LostInvariantError
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import StepJob
from components.common.tflite import tflite_file
from components.pruner.technique import PRUNE
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import Step, make_job, run_step, stored_kernels
from tests.components.dummy_technique.executor import mirror
from tests.components.dummy_technique.invariants import Mirrored
from tests.components.dummy_technique.params import MirrorOptions
from tests.components.dummy_technique.technique import MIRROR
from tests.conftest import Trained

CONVOLUTIONS = ("conv1", "conv2")


@pytest.fixture(scope="module")
def mirrored(trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Step:
    """The baseline with symmetric convolutions."""
    output = tmp_path_factory.mktemp("mirrored")
    job = make_job(trained.uri, output, MirrorOptions(steps=5, batch_size=50), mnist_examples)
    return Step(str(output), run_step(mirror, job))


def kernel(uri: str, layer: str) -> np.ndarray:
    """A kernel of the Keras model: (height, width, input channels, output channels)."""
    (found,) = [la for la in model_files.load(uri).layers if layer_weights.inner_layer(la).name == layer]
    return layer_weights.kernel_of(found).numpy()


def test_it_trains_symmetric_kernels(mirrored: Step, trained: Trained) -> None:
    for layer in CONVOLUTIONS:
        before, after = kernel(trained.uri, layer), kernel(mirrored.uri, layer)
        assert not np.array_equal(before, before[:, ::-1])
        np.testing.assert_array_equal(after, after[:, ::-1])
        # Its training went on from the mean of both sides.
        assert not np.array_equal(after, (before + before[:, ::-1]) / 2)
    assert mirrored.facts["least_mirrored"] == 1.0
    assert '"figures": {"mirrored": 1.0}' in mirrored.facts["layers"]
    assert StepRecord.read(mirrored.uri).layers == {layer: [Mirrored()] for layer in CONVOLUTIONS}


def test_later_steps_and_the_file_keep_it(mirrored: Step, mnist_examples: Any, tmp_path: Path) -> None:
    aware, converted = tmp_path / "aware", tmp_path / "int8"
    options = QatOptions(steps=3, batch_size=50, learning_rate=0.001)
    run_step(train_quantization_aware, make_job(mirrored.uri, aware, options, mnist_examples))
    job = make_job(aware, converted, ConvertOptions(quantization="int8"), mnist_examples)
    facts = run_step(convert_model, job)

    assert not np.array_equal(kernel(str(aware), "conv1"), kernel(mirrored.uri, "conv1"))
    for layer in CONVOLUTIONS:
        stored = stored_kernels(converted)[layer]  # (output channels, height, width, input channels)
        assert stored.dtype == np.int8
        np.testing.assert_array_equal(stored, stored[:, :, ::-1])
    assert facts["least_mirrored"] == 1.0


def test_what_the_file_lost_is_found(mirrored: Step, mnist_examples: Any, tmp_path: Path) -> None:
    record = StepRecord.read(mirrored.uri)
    job = make_job(mirrored.uri, tmp_path, ConvertOptions(quantization="float32"), mnist_examples)
    run_step(convert_model, job)
    file = tflite_file.read(Path(model_files.tflite_file(str(tmp_path))))
    found = file.layer_kernels(record.layers)
    assert all(check.met for check in invariants.check(found, record.layers))

    values = found["conv1"][0].values.copy()
    values[0, 0, 0, 0] += 1  # 1 of 36 weights, and so its mirror image
    found["conv1"] = [dataclasses.replace(found["conv1"][0], values=values)]
    (lost,) = [check for check in invariants.check(found, record.layers) if not check.met]
    assert lost.got == 34 / 36
    assert lost.reason(" in the file") == (
        "symmetry of layer conv1 is 94.4% in the file, 100.0% was asked for"
    )
    with pytest.raises(
        LostInvariantError, match=r"^symmetry of layer conv1 is 94\.4%, 100\.0% was asked for$"
    ):
        invariants.refuse_lost([lost])


def test_its_node_reads_its_options_back() -> None:
    assert MIRROR.trains and MIRROR.executor == "tests.components.dummy_technique.executor"
    assert MIRROR.modules() == (
        "tests.components.dummy_technique.invariants",
        "tests.components.dummy_technique.projection",
    )
    options = MirrorOptions(include=["conv*"], steps=3)
    assert MirrorOptions.from_canonical(options.canonical_json()) == options
    assert StepJob("", "", options, None, None, 1).options.include == ["conv*"]  # type: ignore[arg-type]


def test_a_technique_that_comes_twice_or_too_late_is_refused() -> None:
    import pipeline.config.chain  # noqa: F401

    with pytest.raises(ValueError, match="there is a technique 'prune' already"):
        registry.register(PRUNE)
    with pytest.raises(ValueError, match="register the technique 'mirror' before anything of `pipeline`"):
        registry.register(MIRROR)
    assert "mirror" not in registry.TECHNIQUES
