"""What a candidate's record asks for is looked for in its file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.base.interruption import Interrupted
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.tflite import file_types
from components.evaluator.executor import _Judging
from components.evaluator.params import Gate
from components.measurer.machine import this_machine
from components.measurer.measurement import Measurement
from tests.components.conftest import KERNEL_SHAPES, Step, must_keep, stored_kernels
from tests.components.evaluator.judging import LIMITS, Judge, rounded_down
from tests.conftest import Trained


def lost(candidate: Path | str) -> tuple[list[str], list[str]]:
    """Of the judgements that look into the file alone: figures that do not hold, and all reasons."""
    judging = _Judging(str(candidate), Measurement(this_machine(), {}), Gate.model_validate(LIMITS))
    judging._judge_invariants()
    failed = [j for j in judging._judgements if not j.met]
    return [j.figure for j in failed], [
        *(f.reason for f in judging._failures),
        *(j.reason for j in failed),
    ]


CANDIDATES = [
    ("trained", "int8"),
    ("pruned", "int8"),
    ("pruned_clustered", "dynamic"),
    ("pruned_clustered", "float16"),
    ("clustered", "int8"),
    ("pruned_clustered", "int8"),
    ("quantization_aware", "int8"),
    ("pruned_quantization_aware", "int8"),
    ("clustered_quantization_aware", "int8"),
    ("pruned_clustered_quantization_aware", "int8"),
]


@pytest.mark.parametrize(("base", "quantization"), CANDIDATES)
def test_what_was_asked_for_holds_in_the_file(
    base: str,
    quantization: str,
    request: pytest.FixtureRequest,
    converted: Callable[..., Step],
) -> None:
    uri = converted(request.getfixturevalue(base).uri, quantization).uri

    assert lost(uri) == ([], [])
    wanted = StepRecord.read(uri).layers
    assert (sorted(wanted) == sorted(KERNEL_SHAPES)) is ("pruned" in base or "clustered" in base)


@pytest.fixture
def candidate(
    request: pytest.FixtureRequest, converted: Callable[..., Step], tmp_path: Path
) -> Callable[..., Path]:
    """A copy of a fixture's model, converted to int8."""

    def copy(base: str, **options: Any) -> Path:
        uri = converted(request.getfixturevalue(base).uri, "int8", **options).uri
        return shutil.copytree(uri, tmp_path / "candidate")

    return copy


def change_kernel(uri: Path, layer: str, change: Callable[[np.ndarray], None]) -> None:
    """Rewrites the TFLite file of an artifact with other weights of a layer."""
    from ai_edge_litert.tools import flatbuffer_utils

    path = model_files.tflite_file(str(uri))
    model = flatbuffer_utils.read_model(path)
    (tensor,) = [
        tensor
        for tensor in model.subgraphs[0].tensors
        if tuple(tensor.shape) == KERNEL_SHAPES[layer] and model.buffers[tensor.buffer].data is not None
    ]
    values = np.array(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(tensor.shape)
    change(values)
    model.buffers[tensor.buffer].data = values.ravel().view(np.uint8)
    flatbuffer_utils.write_model(model, path)
    np.testing.assert_array_equal(stored_kernels(uri)[layer], values)


def test_zeros_that_were_lost_in_the_file_are_reported(candidate: Callable[..., Path]) -> None:
    uri = candidate("pruned_clustered")
    sparsity = np.mean(stored_kernels(uri)["dense"] == 0)

    def revive(values: np.ndarray) -> None:
        """One in a hundred of all weights, with a value that the layer has already."""
        dead = np.flatnonzero(values == 0)[:63]
        values.ravel()[dead] = values.max()

    change_kernel(uri, "dense", revive)
    left = sparsity - 63 / 6272
    assert lost(uri) == (
        ["sparsity[dense]"],
        [f"sparsity of layer dense is {rounded_down(left)} in the file, 80.0% was asked for"],
    )


def test_values_that_were_spread_in_the_file_are_reported(candidate: Callable[..., Path]) -> None:
    uri = candidate("clustered_quantization_aware")

    def spread(values: np.ndarray) -> None:
        values.ravel()[:40] = np.arange(-20, 20)

    change_kernel(uri, "probabilities", spread)
    count = len(np.unique(stored_kernels(uri)["probabilities"]))
    assert count >= 40
    assert lost(uri) == (
        ["clusters[probabilities]"],
        [
            f"number of distinct weights of layer probabilities is {count} in the file, at most 16 was asked for"
        ],
    )


def test_a_block_that_lost_its_zeros_is_reported(candidate: Callable[..., Path]) -> None:
    uri = candidate("trained")
    record = StepRecord.read(str(uri))
    record.ask("conv2", *must_keep(m_by_n=(2, 4)))
    record.write(str(uri))

    def two_of_four(values: np.ndarray) -> None:
        values[..., [1, 2]] = 0

    change_kernel(uri, "conv2", two_of_four)
    assert lost(uri) == ([], [])

    def but_one(values: np.ndarray) -> None:
        two_of_four(values)
        values[5, 1, 1] = [0, 1, 2, 3]

    change_kernel(uri, "conv2", but_one)
    assert lost(uri) == (
        ["m_by_n[conv2]"],
        [
            "2:4 sparsity of layer conv2 is kept by 98.6% of the blocks in the file, every block was asked for"
        ],
    )  # 71 of 72


def test_scales_per_channel_lose_clusters_of_the_layer(candidate: Callable[..., Path]) -> None:
    uri = candidate("clustered", granularity="per-channel")
    counts = {name: len(np.unique(values)) for name, values in stored_kernels(uri).items()}
    spread = sorted(name for name, count in counts.items() if count > 16)
    assert spread == ["conv1", "conv2"]

    assert lost(uri) == (
        [f"clusters[{name}]" for name in spread],
        [
            f"number of distinct weights of layer {name} is {counts[name]} in the file, at most 16 was asked for"
            for name in spread
        ],
    )


def test_a_layer_that_is_not_in_the_file_is_reported(candidate: Callable[..., Path]) -> None:
    uri = candidate("trained")
    record = StepRecord.read(str(uri))
    record.ask("gone", *must_keep(sparsity=0.8))
    record.write(str(uri))

    assert lost(uri) == (
        ["sparsity[gone]"],
        ["sparsity of layer gone was not found in the file, 80.0% was asked for"],
    )


def test_a_file_of_another_type_is_reported(
    candidate: Callable[..., Path], converted: Callable[..., Step], trained: Trained
) -> None:
    uri = candidate("trained", io="int8")
    other = model_files.tflite_file(converted(trained.uri, "float32").uri)
    shutil.copy(other, model_files.tflite_file(str(uri)))

    figures, reasons = lost(uri)
    assert sorted(figures) == sorted(
        [*(f"weights[{n}]" for n in KERNEL_SHAPES), "input[image]", "output[probabilities]", "activations"]
    )
    assert "weights of layer conv1 are float32, not int8" in reasons
    assert "input image is float32, not int8" in reasons


@pytest.mark.parametrize("steps", [[], [{"technique": "qat"}], [{"technique": "convert"}]])
def test_a_record_that_does_not_say_how_it_was_converted_fails(
    steps: list[dict[str, Any]], candidate: Callable[..., Path]
) -> None:
    uri = candidate("trained")
    StepRecord(steps=steps).write(str(uri))

    figures, (reason,) = lost(uri)
    assert figures == []
    assert reason == (
        "checking the file's types failed: ValueError: the candidate's record does not say how it was converted"
    )


def test_interruption_passes_through_every_measurement(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    monkeypatch.setattr(file_types, "check", interrupt)
    with pytest.raises(Interrupted):
        lost(judge.candidate)
