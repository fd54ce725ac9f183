"""Layers that a step leaves as they are, whatever wraps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

from components.clusterer.executor import cluster
from components.clusterer.params import ClusterOptions
from components.common.models import layer_weights, model_files
from components.common.models.freezing import FreezingError, Frozen, layers_matching
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.pruner.executor import prune
from components.pruner.params import PruneOptions
from components.quantization_aware_trainer.executor import train_quantization_aware
from components.quantization_aware_trainer.params import QatOptions
from tests.components.conftest import make_job, run_step
from tests.conftest import Trained

QUICK: dict[str, Any] = {"steps": 4, "batch_size": 50, "learning_rate": 0.01, "freeze": ["conv1*"]}
WORK: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "fine_tune": (fine_tune, FineTuneOptions(**QUICK)),
    "prune": (prune, PruneOptions(sparsity=0.5, **QUICK)),
    "cluster": (cluster, ClusterOptions(clusters=16, include=["dense"], **QUICK)),
    # Whose training makes the model better: it would be as before otherwise.
    "qat": (train_quantization_aware, QatOptions(**{**QUICK, "learning_rate": 0.0003})),
}


def weights_by_layer(model: tf_keras.Model) -> dict[str, dict[str, np.ndarray]]:
    """Plain name of a layer → last part of the name of each of its weights → value."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for layer in model.layers:
        values = {weight.name.split("/")[-1].split(":")[0]: weight.numpy() for weight in layer.weights}
        found[layer_weights.inner_layer(layer).name] = values
    return found


@pytest.mark.parametrize("technique", WORK)
def test_a_step_leaves_frozen_layers_and_trains_the_others(
    technique: str, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    work, options = WORK[technique]

    run_step(work, make_job(trained.uri, tmp_path / "out", options, mnist_examples))

    before = weights_by_layer(model_files.load(trained.uri))
    model = model_files.load(str(tmp_path / "out"))
    after = weights_by_layer(model)
    kept = after["conv1"]["kernel"]
    where = kept != 0 if technique == "prune" else np.full(kept.shape, True)
    assert np.count_nonzero(where) >= kept.size // 2
    np.testing.assert_array_equal(kept[where], before["conv1"]["kernel"][where])
    for name, value in before["conv1_bn"].items():
        np.testing.assert_array_equal(after["conv1_bn"][name], value)
    for layer in ("conv2", "probabilities"):
        assert not np.array_equal(after[layer]["kernel"], before[layer]["kernel"]), layer
    # Nothing of it goes on into the next step.
    assert all(layer.trainable for layer in model._flatten_layers())


def test_what_was_not_trainable_before_stays_so_when_the_others_thaw() -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((3,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")])
    model.get_layer("a").trainable = False
    frozen = Frozen(model)

    frozen.freeze(["a", "b"])
    assert frozen.names() == ["b"] and model.trainable_weights == []
    frozen.thaw_all()

    assert [layer.trainable for layer in model.layers] == [False, True]


def test_patterns_that_fit_no_layer_or_all_are_refused() -> None:
    layers = tf_keras.layers
    cluster_weights = tfmot.clustering.keras.cluster_weights
    linear = tfmot.clustering.keras.CentroidInitialization.LINEAR
    model = tf_keras.Sequential(
        [
            layers.Input((3,)),
            cluster_weights(layers.Dense(2, name="a"), 2, linear),
            layers.ReLU(name="r"),
            layers.Dense(2, name="b"),
        ]
    )

    assert layers_matching(model, ["a"]) == ["cluster_a"]
    assert layers_matching(model, []) == []
    with pytest.raises(FreezingError, match=r"^pattern 'r' matches no layer with weights; those are a, b$"):
        layers_matching(model, ["a", "r"])
    with pytest.raises(FreezingError, match=r"^freeze \['\?'\] leaves no layer to train"):
        layers_matching(model, ["?"])


def test_the_first_half_of_a_split_convolution_goes_by_the_name_of_the_whole() -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.DepthwiseConv2D(2, name="quant_sep_depthwise"),
            layers.Conv2D(2, 1, name="quant_sep"),
            layers.DepthwiseConv2D(2, name="quant_other_depthwise"),
        ]
    )

    assert layers_matching(model, ["sep"]) == ["quant_sep_depthwise", "quant_sep"]
    with pytest.raises(FreezingError, match="'other'"):
        layers_matching(model, ["other"])
