"""Wrapping layers for training is not left to AutoGraph, which rewrites TFMOT's wrappers function by function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
import tf_keras

from components.clusterer import executor as clusterer
from components.clusterer.params import ClusterOptions
from components.common.models.model_files import StepRecord
from components.pruner import executor as pruner
from components.pruner.params import PruneOptions
from components.pruner.schedule import Renewals

layers = tf_keras.layers


class OwnLayer(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


def pruned(model: tf_keras.Model) -> tf_keras.Model:
    return pruner.wrap(model, {"d": 0.5}, PruneOptions(sparsity=0.5), Renewals(1, 10, 1, 10))


def clustered(model: tf_keras.Model) -> tf_keras.Model:
    return clusterer.wrap(model, ["d"], ClusterOptions(clusters=4), StepRecord())


@pytest.mark.parametrize("wrap", [pruned, clustered])
@pytest.mark.parametrize("own", [False, True], ids=["stock layers", "a layer of the user's"])
def test_wrapping_layers(
    wrap: Callable[[tf_keras.Model], tf_keras.Model], own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = [OwnLayer(name="own")] if own else []
    model = tf_keras.Sequential([layers.Input((3,)), *middle, layers.Dense(4, name="d")])
    seen: list[str] = []
    call = layers.Dense.call

    def recording(layer: Any, inputs: Any) -> Any:
        seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
        return call(layer, inputs)

    monkeypatch.setattr(layers.Dense, "call", recording)
    wrap(model)
    assert seen and ("DISABLED" in seen) is not own
