"""A SavedModel whose batch is fixed at 1, as on a device, so that no shape has to be computed there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from components.common.tflite.tflite_file import SIGNATURE


@contextmanager
def of(saved_model: str) -> Iterator[str]:
    """The same model with a batch of 1, in a folder that lasts as long as the context.

    Args:
        saved_model: Folder of a SavedModel, whose `serving_default` takes tensors by name.
    """
    loaded = tf.saved_model.load(saved_model)
    signature = loaded.signatures[SIGNATURE]
    _, inputs = signature.structured_input_signature

    def serve(**tensors: Any) -> Any:
        return signature(**tensors)

    fixed = tf.function(serve).get_concrete_function(
        **{name: tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name) for name, spec in inputs.items()}
    )
    module = tf.Module()
    module.loaded = loaded  # whose variables the function reads
    with tempfile.TemporaryDirectory(prefix="paredown-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: fixed})
        yield folder
