"""Zeros from training to the deployed file: as many, in the layers and in the structure that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from tests.components.conftest import Step, make_job, must_keep, run_step
from tests.conftest import Trained

LAYERS = ["conv1", "conv2", "dense", "probabilities"]
QUANTIZATIONS = ["float32", "int8"]


@pytest.fixture(scope="module")
def pruned_as(
    trained: Trained, mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Step]:
    """Prunes the baseline for an epoch of 15 steps; the same way only once."""
    done: dict[str, Step] = {}

    def run(**written: Any) -> Step:
        options = PruneOptions(epochs=1, batch_size=100, **written)
        key = options.canonical_json()
        if key not in done:
            output = tmp_path_factory.mktemp("pruned-as")
            facts = run_step(prune, make_job(trained.uri, output, options, mnist_examples))
            done[key] = Step(str(output), facts)
        return done[key]

    return run


def in_keras(step: Step) -> dict[str, np.ndarray]:
    """Layer → where its kernel is zero, with the axes as in a TFLite file: output channels first."""
    model = model_files.load(step.uri)
    kernels = {name: model.get_layer(name).get_weights()[0] for name in LAYERS}
    return {name: np.moveaxis(kernel == 0, -1, 0) for name, kernel in kernels.items()}


def in_file(step: Step) -> dict[str, np.ndarray]:
    """The same of a converted model."""
    found = tflite_file.read(Path(step.uri) / "Format-Serving" / "tflite").layer_kernels(LAYERS)
    assert {name: len(kernels) for name, kernels in found.items()} == dict.fromkeys(LAYERS, 1)
    return {name: kernels[0].values == kernels[0].zero_points[0] for name, kernels in found.items()}


def everywhere(step: Step, converted: Callable[..., Step]) -> list[dict[str, np.ndarray]]:
    """The zeros of a pruned model and of the files that it becomes."""
    return [in_keras(step), *(in_file(converted(step.uri, kind)) for kind in QUANTIZATIONS)]


def least_in_blocks(zeros: np.ndarray, length: int) -> int:
    """Fewest zeros in a block of a number of weights along the last axis; a rest at its end is not a block."""
    rows = zeros.reshape(-1, zeros.shape[-1])
    whole = rows.shape[1] // length * length
    return int(rows[:, :whole].reshape(-1, length).sum(axis=1).min())


def test_two_of_four(pruned_as: Callable[..., Step], converted: Callable[..., Step]) -> None:
    step = pruned_as(m_by_n="2:4")

    record = StepRecord.read(step.uri).layers
    assert record == dict.fromkeys(("conv2", "dense", "probabilities"), must_keep(m_by_n=(2, 4)))
    kernel = model_files.load(step.uri).get_layer("dense").get_weights()[0]
    # No more zeros than that: exactly half of the weights live.
    assert np.all((kernel.reshape(98, 4, 16) == 0).sum(axis=1) == 2)
    for zeros in everywhere(step, converted):
        assert {name: least_in_blocks(zeros[name], 4) for name in record} == dict.fromkeys(record, 2)
        assert zeros["conv1"].mean() < 0.1  # one input channel: left dense


def test_remaining_input_channels_that_are_not_a_block_are_kept(
    pruned_as: Callable[..., Step], converted: Callable[..., Step]
) -> None:
    # conv2 has 4 input channels, one block of 3 and a rest; of dense's 392 the rest is 2.
    step = pruned_as(m_by_n=[2, 3], exclude=["prob*"])

    for zeros in everywhere(step, converted):
        for name, rest in (("conv2", 1), ("dense", 2)):
            assert least_in_blocks(zeros[name], 3) == 2
            assert zeros[name][..., -rest:].mean() < 0.6, name
    assert in_keras(step)["conv2"][..., -1].sum() == 0


def test_two_of_four_outlives_quantization_aware_training(
    pruned_as: Callable[..., Step],
    converted: Callable[..., Step],
    mnist_examples: Any,
    tmp_path: Path,
) -> None:
    options = QatOptions(epochs=1, batch_size=100)
    job = make_job(pruned_as(m_by_n="2:4").uri, tmp_path, options, mnist_examples)
    run_step(train_quantization_aware, job)

    file = converted(str(tmp_path), "int8")
    kernels = tflite_file.read(Path(file.uri) / "Format-Serving" / "tflite").layer_kernels(LAYERS)
    assert {kernel.dtype for (kernel,) in kernels.values()} == {"int8"}
    for name in ("conv2", "dense", "probabilities"):
        assert least_in_blocks(in_file(file)[name], 4) == 2, name
        assert kernels[name][0].m_by_n(2, 4) == 1.0


def test_blocks(pruned_as: Callable[..., Step], converted: Callable[..., Step]) -> None:
    step = pruned_as(sparsity=0.75, block=[4, 2])

    assert set(StepRecord.read(step.uri).layers) == {"dense", "probabilities"}
    for zeros in everywhere(step, converted):
        # (outputs, inputs): a block has 2 rows and 4 columns here.
        dense = zeros["dense"].reshape(8, 2, 98, 4).sum(axis=(1, 3))
        last = zeros["probabilities"].reshape(5, 2, 4, 4).sum(axis=(1, 3))
        # 75 % of 784 and of 20 blocks; quantization may round small weights of others to zero.
        assert (dense == 8).sum() == 588
        assert (last == 8).sum() == 15
        assert zeros["conv1"].mean() < 0.1 and zeros["conv2"].mean() < 0.1
    partly = in_keras(step)["dense"].reshape(8, 2, 98, 4).sum(axis=(1, 3))
    assert set(np.unique(partly)) == {0, 8}


def test_a_target_for_each_layer_by_a_schedule(
    pruned_as: Callable[..., Step], converted: Callable[..., Step]
) -> None:
    targets = {"conv1": 0.25, "conv*": 0.75, "dense": 0.9}
    times = {"begin": "3 steps", "end": "0.8 epochs", "frequency": "4 steps"}
    step = pruned_as(sparsity=0.5, per_layer=targets, **times)

    wanted = {"conv1": 9, "conv2": 216, "dense": 5645, "probabilities": 80}
    assert {name: int(zeros.sum()) for name, zeros in in_keras(step).items()} == wanted
    for zeros in everywhere(step, converted):
        assert all(zeros[name].sum() >= count for name, count in wanted.items())
        assert all(
            abs(zeros[name].mean() - count / zeros[name].size) < 0.06 for name, count in wanted.items()
        )
