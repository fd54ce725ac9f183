"""A faster search for the centroid of each weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.tfmot.library import tfmot

# With at most this many centroids, comparing all weights with each of the middles is faster than bisection.
_COMPARED = 24


class SortedCentroids(tfmot.clustering.keras.ClusteringAlgorithm):
    """TFMOT's clustering of a layer as a whole, by the midpoints between neighbouring centroids.

    TFMOT measures the distance of every weight to every centroid at each step, and adds up the centroids' gradients
    weight by weight. Here a weight's centroid is the number of middles below it, and gradients are added up in a
    histogram. Both give the same result except for the rounding of sums. Indices are those of the centroids in
    ascending order.
    """

    def get_pulling_indices(self, weight: Any, centroids: Any = None) -> Any:
        """Index of the nearest centroid of each weight, int64, in the shape of the weights."""
        ascending = tf.sort(
            tf.convert_to_tensor(self.cluster_centroids if centroids is None else centroids)
        )
        middles = (ascending[:-1] + ascending[1:]) / 2
        if middles.shape[0] >= _COMPARED:
            found = tf.reshape(tf.searchsorted(middles, tf.reshape(weight, [-1])), tf.shape(weight))
        else:
            # As int8, the sums take the least memory and time.
            found = tf.add_n([tf.cast(weight > middle, tf.int8) for middle in tf.unstack(middles)])
        return tf.cast(found, tf.int64)

    def get_clustered_weight(self, pulling_indices: Any, original_weight: Any) -> Any:
        """The centroids at these indices; gradients go to them and, straight through, to the weights."""
        shared = _look_up(tf.convert_to_tensor(self.cluster_centroids), pulling_indices)
        return self.add_gradient_to_original_weight(shared, tf.identity(original_weight))


@tf.custom_gradient
def _look_up(centroids: Any, indices: Any) -> tuple[Any, Callable[[Any], tuple[Any, None]]]:
    order = tf.argsort(centroids)

    def gradient(upstream: Any) -> tuple[Any, None]:
        count = centroids.shape[0]
        sums = tf.math.bincount(
            tf.cast(tf.reshape(indices, [-1]), tf.int32),
            weights=tf.reshape(upstream, [-1]),
            minlength=count,
            maxlength=count,
        )
        return tf.scatter_nd(order[:, tf.newaxis], sums, [count]), None

    return tf.gather(tf.gather(centroids, order), indices), gradient


def search_by_middles(model: tf_keras.Model) -> None:
    """Gives the layers of a model that TFMOT clusters as a whole the search above.

    Args:
        model: Built, with layers of `cluster_weights`.
    """
    for layer in model.layers:
        if getattr(layer, "cluster_per_channel", True):
            continue  # not clustered, or by channel: those kernels are small
        for name, algorithm in layer.clustering_algorithms.items():
            layer.clustering_algorithms[name] = SortedCentroids(
                algorithm.cluster_centroids, algorithm.cluster_gradient_aggregation, algorithm.data_format
            )
