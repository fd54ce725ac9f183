"""Keras's losses, and what they say of the labels that they compare outputs with."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

MULTICLASS, MULTILABEL, REGRESSION = "multiclass", "multilabel", "regression"

# Keras's losses by the name of their function.
TASKS = {
    "sparse_categorical_crossentropy": MULTICLASS,
    "categorical_crossentropy": MULTICLASS,
    "categorical_focal_crossentropy": MULTICLASS,
    "kl_divergence": MULTICLASS,
    "binary_crossentropy": MULTILABEL,
    "binary_focal_crossentropy": MULTILABEL,
    "mean_squared_error": REGRESSION,
    "mean_absolute_error": REGRESSION,
    "mean_absolute_percentage_error": REGRESSION,
    "mean_squared_logarithmic_error": REGRESSION,
    "huber": REGRESSION,
    "log_cosh": REGRESSION,
    "poisson": REGRESSION,
    "cosine_similarity": REGRESSION,
}


def keras_function(loss: Any) -> tuple[str, Any]:
    """A loss that a model was compiled with, and the name of its function.

    Args:
        loss: A name, an object or a function; None for an output without a loss.

    Returns:
        The name as in `TASKS`, empty if the loss is not one of Keras's own; and the loss as an object.

    Raises:
        ValueError: If Keras has no loss of this name.
    """
    if loss is None:
        return "", None
    loss = tf_keras.losses.get(loss)
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", "")
    if name not in TASKS or getattr(tf_keras.losses, name, None) is not function:
        return "", loss
    return name, loss


def task_of(loss: Any) -> tuple[str | None, bool]:
    """Properties of a model's outputs that follow from the compiled loss.

    Args:
        loss: What a model with one output was compiled with: a name, an object, a function, or one of
            these in a list or a dictionary.

    Returns:
        multiclass, multilabel or regression, None if the loss is none of Keras's own; and whether
        the loss takes logits.
    """
    given = [loss for loss in tf.nest.flatten(loss) if loss is not None]
    if len(given) != 1:
        return None, False
    name, loss = keras_function(given[0])
    if not name:
        return None, False
    from_logits = isinstance(loss, tf_keras.losses.Loss) and loss.get_config().get("from_logits", False)
    return TASKS[name], bool(from_logits)
