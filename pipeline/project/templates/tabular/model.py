"""Predicts whether the tip of a taxi trip is more than a fifth of the fare. Trips in Chicago; some have gaps."""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers

NUMBERS = ("trip_miles", "trip_seconds", "fare")
HOURS, DAYS = 24, 8
# Column → number of its most frequent texts that are classes; all other texts are one more class.
TEXTS = {"payment_type": 4, "company": 12}


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Columns as the model takes them: standardized numbers, and one-hot vectors of hours, days and texts.

    Means, variances and vocabularies come from the training split alone.

    Args:
        inputs: Column → its values, (batch, 1), sparse because a row may have none.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    numbers = [tft.scale_to_z_score(_filled(inputs[name], 0.0)) for name in NUMBERS]
    kinds = [
        _one_hot(_filled(inputs["trip_start_hour"], 0), HOURS),
        _one_hot(_filled(inputs["trip_start_day"], 0), DAYS),
    ]
    for name, count in TEXTS.items():
        index = tft.compute_and_apply_vocabulary(
            _filled(inputs[name], ""), top_k=count, num_oov_buckets=1, vocab_filename=name
        )
        kinds.append(_one_hot(index, count + 1))
    fare, tips = _filled(inputs["fare"], 0.0), _filled(inputs["tips"], 0.0)
    return {
        "numbers": tf.concat(numbers, axis=1),
        "kinds": tf.concat(kinds, axis=1),
        "large_tip": tf.cast(tips > fare * 0.2, tf.int64),
    }


def _filled(values: Any, default: Any) -> Any:
    """Values (batch, 1), with `default` for rows that have none; numbers as float32."""
    import tensorflow as tf

    if isinstance(values, tf.sparse.SparseTensor):
        fill = tf.cast(default, values.dtype) if values.dtype != tf.string else default
        values = tf.sparse.to_dense(tf.sparse.reset_shape(values, [values.dense_shape[0], 1]), fill)
    values = tf.reshape(values, [-1, 1])
    return values if values.dtype == tf.string else tf.cast(values, tf.float32)


def _one_hot(index: Any, depth: int) -> Any:
    import tensorflow as tf

    return tf.reshape(tf.one_hot(tf.cast(index, tf.int64), depth), [-1, depth])


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """The baseline. Inputs `numbers` and `kinds`: (batch, width); output: (batch, 1), a probability."""
    width = HOURS + DAYS + sum(count + 1 for count in TEXTS.values())
    inputs = [layers.Input((len(NUMBERS),), name="numbers"), layers.Input((width,), name="kinds")]
    x = layers.Concatenate(name="columns")(inputs)
    for index, units in enumerate(hparams["units"]):
        x = layers.Dense(units, activation="relu", name=f"dense{index}")(x)
    x = layers.Dense(1, activation="sigmoid", name="probability")(x)
    model = tf_keras.Model(inputs, x, name="tips")
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[tf_keras.metrics.AUC(name="auc")],
    )
    return model
