"""What clustering and pruning achieved, in the TFLite file: read by LiteRT's interpreter, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.components.conftest import KERNEL_SHAPES, Step, make_job, run_step, stored_kernels
from tests.conftest import Trained

# The largest layer is the only one with enough weights for dynamic-range quantization.
DTYPES = {
    "float32": dict.fromkeys(KERNEL_SHAPES, "float32"),
    "float16": dict.fromkeys(KERNEL_SHAPES, "float16"),
    "dynamic": {**dict.fromkeys(KERNEL_SHAPES, "float32"), "dense": "int8"},
    "int8": dict.fromkeys(KERNEL_SHAPES, "int8"),
}
CASES = [
    ("clustered", "int8"),
    *(("pruned_clustered", quantization) for quantization in DTYPES),
    ("clustered_quantization_aware", "int8"),
    ("pruned_clustered_quantization_aware", "int8"),
]


@pytest.fixture
def stored(
    request: pytest.FixtureRequest, converted: Callable[..., Step]
) -> Callable[..., dict[str, np.ndarray]]:
    """Converts the model of a fixture and reads the kernels of the file."""

    def read(base: str, quantization: str, **options: Any) -> dict[str, np.ndarray]:
        return stored_kernels(converted(request.getfixturevalue(base).uri, quantization, **options).uri)

    return read


@pytest.mark.parametrize(("base", "quantization"), CASES)
def test_16_clusters_are_16_values_in_the_file(
    base: str, quantization: str, stored: Callable[..., dict[str, np.ndarray]]
) -> None:
    kernels = stored(base, quantization)

    assert {name: values.dtype.name for name, values in kernels.items()} == DTYPES[quantization]
    counts = {name: len(np.unique(values)) for name, values in kernels.items()}
    assert max(counts.values()) <= 16, counts
    assert counts["dense"] >= 12  # and are not one value


@pytest.mark.parametrize(
    ("base", "quantization"),
    [
        *(("pruned_clustered", quantization) for quantization in DTYPES),
        ("pruned", "int8"),
        ("pruned_quantization_aware", "int8"),
        ("pruned_clustered_quantization_aware", "int8"),
    ],
)
def test_80_percent_sparsity_is_80_percent_in_the_file(
    base: str, quantization: str, stored: Callable[..., dict[str, np.ndarray]]
) -> None:
    for name, values in stored(base, quantization).items():
        sparsity = np.mean(values == 0)
        # Of few weights a single one is more than half a point; int8 rounds the smallest of them to 0.
        one = 1 / values.size
        assert sparsity >= 0.8 - max(0.005, one), name
        if name == "dense":
            assert sparsity == pytest.approx(0.8, abs=0.005)


def test_scales_per_channel_spread_the_values(stored: Callable[..., dict[str, np.ndarray]]) -> None:
    """Why `granularity: auto` is per-tensor after clustering."""
    counts = {
        name: len(np.unique(values))
        for name, values in stored("clustered", "int8", granularity="per-channel").items()
    }

    assert counts["conv2"] > 30


def test_2_of_4_weights_are_zero_in_every_block_of_the_file(
    trained: Trained, mnist_examples: Any, converted: Callable[..., Step], tmp_path: Path
) -> None:
    """After prune 2:4, cluster and qat, in this order."""
    from components.clusterer.executor import cluster
    from components.clusterer.params import ClusterOptions
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions
    from components.quantization_aware_trainer.executor import train_quantization_aware
    from components.quantization_aware_trainer.params import QatOptions

    training = {"steps": 10, "batch_size": 50, "learning_rate": 0.001}
    chain: list[tuple[Any, Any]] = [
        (prune, PruneOptions(m_by_n=(2, 4), **training)),
        (cluster, ClusterOptions(**training)),
        (train_quantization_aware, QatOptions(**training)),
    ]
    base = trained.uri
    for work, options in chain:
        output = tmp_path / options.technique
        run_step(work, make_job(base, output, options, mnist_examples))
        base = str(output)
    kernels = stored_kernels(converted(base, "int8").uri)

    for name in ("conv2", "dense", "probabilities"):
        # Input channels are the last axis of these operators' kernels.
        blocks = kernels[name].reshape(-1, 4)
        assert np.all(np.sum(blocks == 0, axis=1) >= 2), name
        assert np.mean(blocks == 0) == pytest.approx(0.5, abs=0.03)
        assert len(np.unique(kernels[name])) <= 16
    # One input channel makes no block of four.
    assert np.mean(kernels["conv1"] == 0) < 0.2
