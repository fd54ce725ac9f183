"""Makes a Keras kernel (height, width, input channels, output channels) symmetric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def keep_symmetry(*_: Any) -> Callable[[Any], Any]:
    """The mean of a kernel and its mirror image; see `Invariant.projection`."""
    return lambda weights: (weights + tf.reverse(weights, [1])) / 2
