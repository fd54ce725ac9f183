"""Takes a kernel back to few values after a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.clusterer.invariants import Clusters


def share_means(asked: Clusters, values: NDArray[Any]) -> Callable[[Any], Any]:
    """Gives weights that share a value now their mean, so that the value itself is trained.

    "Trained quantization and weight sharing" of Han, Mao and Dally, "Deep Compression" (2016),
    https://arxiv.org/abs/1510.00149. See `Invariant.projection`.
    """
    if asked.per_channel:
        # Output channels come last in the kernels that TFMOT clusters per channel.
        channels = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
        pairs = np.stack([channels.ravel(), values.ravel()], axis=1)
        _, found = np.unique(pairs, axis=0, return_inverse=True)
    else:
        _, found = np.unique(values, return_inverse=True)
    groups = tf.constant(found.ravel(), tf.int32)
    count = int(tf.reduce_max(groups)) + 1

    def project(weights: Any) -> Any:
        means = tf.math.unsorted_segment_mean(tf.reshape(weights, [-1]), groups, count)
        return tf.reshape(tf.gather(means, groups), weights.shape)

    return project
