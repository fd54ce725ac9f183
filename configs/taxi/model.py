"""Will a passenger of a Chicago taxi tip more than a fifth of the fare?

A wide and deep model (Cheng et al., 2016, https://arxiv.org/abs/1606.07792): a linear part on one-hot
columns and their crosses, a deep part on numbers and one-hot columns. All encoding is `preprocessing_fn`'s,
so that the model is dense layers alone, and all of it can be pruned, trained for int8 and quantized. A dense
layer on one-hot columns is what an embedding is.
"""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers

NUMBERS = ("fare", "trip_miles", "trip_seconds")
COORDINATES = ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
CLIP = 4.0  # standard deviations
QUANTILES = 10
# Feature → how many values it can have, 0 included.
COUNTED = {"trip_start_hour": 24, "trip_start_day": 8, "trip_start_month": 13}
AREAS = ("pickup_community_area", "dropoff_community_area")
AREA_COUNT = 78
# Vocabulary → how many of its most frequent words have a column; all others share one more.
WORDS = {"payment_type": 6, "company": 24}
TIP_SHARE = 0.2


def widths() -> dict[str, int]:
    """Columns of each of the model's inputs."""
    places = len(COORDINATES) * QUANTILES + len(AREAS) * AREA_COUNT
    payments = WORDS["payment_type"] + 1
    return {
        "numbers": len(NUMBERS),
        "places": places,
        "categories": sum(COUNTED.values()) + sum(count + 1 for count in WORDS.values()),
        "crosses": payments * COUNTED["trip_start_hour"] + payments * AREA_COUNT,
    }


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """The baseline. Inputs: (batch, width) each, as `widths` has them; output: (batch, 1), a probability."""
    inputs = {name: layers.Input((width,), name=name) for name, width in widths().items()}
    deep = layers.Concatenate(name="deep_columns")([inputs[n] for n in ("numbers", "places", "categories")])
    for index, units in enumerate(hparams["units"], start=1):
        deep = layers.Dense(units, activation="relu", name=f"deep{index}")(deep)
        deep = layers.Dropout(hparams["dropout"], name=f"dropout{index}")(deep)
    wide = layers.Concatenate(name="wide_columns")([inputs[n] for n in ("places", "categories", "crosses")])
    # One layer on both parts is the sum of a layer on each.
    both = layers.Concatenate(name="wide_and_deep")([wide, deep])
    tip = layers.Dense(1, activation="sigmoid", name="big_tip")(both)
    model = tf_keras.Model(list(inputs.values()), tip, name="taxi")
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="binary_crossentropy",
        metrics=[tf_keras.metrics.AUC(name="auc")],
    )
    return model


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Raw trips as the model's inputs, and the label.

    Args:
        inputs: Column of the CSV file → (batch, 1) tensor, or a sparse one if values are missing.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    # Clipped, as a trip of 1,710 miles would leave int8 two steps for all others.
    numbers = [
        tf.clip_by_value(tft.scale_to_z_score(_filled(inputs[name], 0.0)), -CLIP, CLIP) for name in NUMBERS
    ]
    places = [
        # A missing coordinate is in no bucket: index -1, a row of zeros.
        _one_hot(_filled(tft.bucketize(inputs[name], QUANTILES), -1), QUANTILES)
        for name in COORDINATES
    ]
    places += [_one_hot(_filled(inputs[name], -1), AREA_COUNT) for name in AREAS]
    categories = [_one_hot(_filled(inputs[name], -1), count) for name, count in COUNTED.items()]
    words = {}
    for name, count in WORDS.items():
        text = _filled(inputs[name], "")
        words[name] = tft.compute_and_apply_vocabulary(
            text, top_k=count, num_oov_buckets=1, vocab_filename=name
        )
        # The column of other words is the one behind the vocabulary's, which may have fewer than `count`.
        categories.append(_one_hot(words[name], count + 1))
    payments, payment = WORDS["payment_type"] + 1, words["payment_type"]
    hours = COUNTED["trip_start_hour"]
    crosses = [
        _one_hot(payment * hours + _filled(inputs["trip_start_hour"], 0), payments * hours),
        _one_hot(payment * AREA_COUNT + _filled(inputs["pickup_community_area"], 0), payments * AREA_COUNT),
    ]
    fare, tips = _filled(inputs["fare"], 0.0), _filled(inputs["tips"], 0.0)
    return {
        "numbers": tf.concat(numbers, axis=1),
        "places": tf.concat(places, axis=1),
        "categories": tf.concat(categories, axis=1),
        "crosses": tf.concat(crosses, axis=1),
        "big_tip": tf.cast(tips > fare * TIP_SHARE, tf.int64),
    }


def _filled(values: Any, default: Any) -> Any:
    """A column as (batch, 1), with `default` for missing values; other values unchanged."""
    import tensorflow as tf

    if isinstance(values, tf.sparse.SparseTensor):
        shape = [values.dense_shape[0], 1]
        values = tf.sparse.SparseTensor(values.indices, values.values, shape)
        values = tf.sparse.to_dense(values, tf.cast(default, values.dtype) if default != "" else "")
        values = tf.reshape(values, [-1, 1])
    if isinstance(default, float):
        values = tf.cast(values, tf.float32)
    return values


def _one_hot(indices: Any, depth: int) -> Any:
    """Indices (batch, 1) as (batch, depth); zeros for what is not 0 to depth - 1."""
    import tensorflow as tf

    return tf.reshape(tf.one_hot(tf.cast(indices, tf.int64), depth), [-1, depth])
