"""The faster search finds TFMOT's centroids, and gives weights and centroids TFMOT's gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from components.clusterer import executor
from components.clusterer.nearest import SortedCentroids
from components.clusterer.params import ClusterOptions
from components.common.models.model_files import StepRecord


def shared(algorithm: Any, weights: tf.Variable, upstream: np.ndarray) -> list[np.ndarray]:
    """Clustered weights, and the gradients of weights and centroids."""
    with tf.GradientTape() as tape:
        clustered = algorithm.get_clustered_weight(algorithm.get_pulling_indices(weights), weights)
        loss = tf.reduce_sum(clustered * upstream)
    gradients = tape.gradient(loss, [weights, algorithm.cluster_centroids])
    return [tf.convert_to_tensor(value).numpy() for value in (clustered, *gradients)]


@pytest.mark.parametrize("clusters", [3, 16, 24, 25, 64])
def test_values_and_gradients_are_those_of_tfmot(clusters: int) -> None:
    random = np.random.default_rng(clusters)
    weights = tf.Variable(random.normal(size=(30, 40)).astype(np.float32))
    centroids = tf.Variable(random.permutation(random.normal(size=clusters)).astype(np.float32))
    upstream = random.normal(size=(30, 40)).astype(np.float32)

    wanted = shared(tfmot.clustering.keras.ClusteringAlgorithm(centroids), weights, upstream)
    got = shared(SortedCentroids(centroids), weights, upstream)

    np.testing.assert_array_equal(got[0], wanted[0])
    assert len(np.unique(got[0])) == len(np.unique(wanted[0])) > 2
    np.testing.assert_array_equal(got[1], wanted[1])
    np.testing.assert_allclose(got[2], wanted[2], rtol=1e-4, atol=1e-4)


def test_every_layer_that_is_clustered_as_a_whole_is_searched_so() -> None:
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((8, 8, 1)),
            tf_keras.layers.Conv2D(4, 3, name="conv"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(9, name="dense"),
        ]
    )
    options = ClusterOptions(clusters=4, per_channel=True)
    wrapped = executor.wrap(model, ["conv", "dense"], options, StepRecord())
    found = {
        layer.layer.name: type(algorithm)
        for layer in wrapped.layers
        for algorithm in getattr(layer, "clustering_algorithms", {}).values()
    }
    assert found["dense"] is SortedCentroids
    assert set(found) == {"conv", "dense"} and found["conv"] is not SortedCentroids
