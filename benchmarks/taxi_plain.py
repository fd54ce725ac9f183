"""configs/taxi as a plain script: pandas for the features, tf_keras for the model.

Uses none of Paredown, Transform or TFMA: features, split and AUC are computed here again, so that its AUC is
what `paredown run configs/taxi/pipeline.yaml` should give for the baseline.

    .venv/bin/python benchmarks/taxi_plain.py
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[1] / "data/taxi/data.csv"
NUMBERS = ["fare", "trip_miles", "trip_seconds"]
COORDINATES = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"]
COUNTED = {"trip_start_hour": 24, "trip_start_day": 8, "trip_start_month": 13}
AREAS = ["pickup_community_area", "dropoff_community_area"]
WORDS = {"payment_type": 6, "company": 24}


def in_eval(timestamps: pd.Series) -> np.ndarray:
    """The last of five of TFX's hash buckets: SHA-256 of the serialized tf.train.Feature."""
    import tensorflow as tf

    def bucket(value: int) -> int:
        feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return int(hashlib.sha256(feature.SerializeToString(deterministic=True)).hexdigest(), 16) % 5

    buckets = {value: bucket(int(value)) for value in timestamps.unique()}
    return timestamps.map(buckets).to_numpy() == 4


def one_hot(indices: pd.Series | np.ndarray, depth: int) -> np.ndarray:
    """(n,) indices as (n, depth); zeros if an index is missing or out of range."""
    found = np.zeros((len(indices), depth), np.float32)
    values = pd.Series(np.asarray(indices)).fillna(-1).to_numpy().astype(int)
    rows = np.flatnonzero((values >= 0) & (values < depth))
    found[rows, values[rows]] = 1
    return found


def features(frame: pd.DataFrame, train: pd.DataFrame) -> dict[str, np.ndarray]:
    """The model's inputs for rows of the file, with statistics of the train split."""
    numbers = []
    for name in NUMBERS:
        seen = train[name].fillna(0).to_numpy(np.float64)
        z_scores = (frame[name].fillna(0).to_numpy(np.float64) - seen.mean()) / seen.std()
        numbers.append(np.clip(z_scores, -4, 4))
    places = []
    for name in COORDINATES:
        borders = np.quantile(train[name].dropna(), np.arange(1, 10) / 10)
        bucket = np.searchsorted(borders, frame[name], side="right")
        places.append(one_hot(np.where(frame[name].isna(), -1, bucket), 10))
    places += [one_hot(frame[name], 78) for name in AREAS]
    categories = [one_hot(frame[name], depth) for name, depth in COUNTED.items()]
    words = {}
    for name, count in WORDS.items():
        counts = train[name].fillna("").value_counts()
        counts = counts[counts.index != ""]  # Transform leaves empty words out
        # Of words as frequent, Transform takes the last one of the alphabet first.
        known = sorted(counts.index, key=lambda word: (counts[word], word.encode()), reverse=True)[:count]
        places_of = {word: place for place, word in enumerate(known)}
        words[name] = frame[name].fillna("").map(lambda w, p=places_of: p.get(w, len(p))).to_numpy()
        categories.append(one_hot(words[name], count + 1))
    payment = words["payment_type"]
    area = frame["pickup_community_area"].fillna(0).to_numpy(int)
    crosses = [
        one_hot(payment * 24 + frame["trip_start_hour"].to_numpy(int), 7 * 24),
        one_hot(payment * 78 + area, 7 * 78),
    ]
    return {
        "numbers": np.stack(numbers, axis=1).astype(np.float32),
        "places": np.concatenate(places, axis=1),
        "categories": np.concatenate(categories, axis=1),
        "crosses": np.concatenate(crosses, axis=1),
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the share of pairs in the right order (Mann and Whitney, 1947)."""
    ranks = pd.Series(scores).rank().to_numpy()
    positive = labels == 1
    count, rest = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def build(widths: dict[str, int], units: list[int], dropout: float):
    """The wide and deep model."""
    import tf_keras
    from tf_keras import layers

    inputs = {name: layers.Input((width,), name=name) for name, width in widths.items()}
    deep = layers.Concatenate()([inputs["numbers"], inputs["places"], inputs["categories"]])
    for count in units:
        deep = layers.Dropout(dropout)(layers.Dense(count, activation="relu")(deep))
    wide = layers.Concatenate()([inputs["places"], inputs["categories"], inputs["crosses"]])
    output = layers.Dense(1, activation="sigmoid")(layers.Concatenate()([wide, deep]))
    return tf_keras.Model(inputs, output)


def main() -> None:
    """Trains, and prints the AUC of the eval split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--units", type=int, nargs="+", default=[512, 256])
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    import tf_keras

    tf_keras.utils.set_random_seed(options.seed)
    frame = pd.read_csv(DATA, dtype={"company": str, "payment_type": str})
    held_out = in_eval(frame["trip_start_timestamp"])
    train, evaluated = frame[~held_out], frame[held_out]
    labels = {
        name: (rows["tips"] > rows["fare"] * 0.2).to_numpy(int)
        for name, rows in (("train", train), ("eval", evaluated))
    }
    inputs = features(train, train)
    model = build({name: v.shape[1] for name, v in inputs.items()}, options.units, options.dropout)
    model.compile(tf_keras.optimizers.Adam(options.learning_rate), "binary_crossentropy")
    model.fit(inputs, labels["train"], batch_size=128, epochs=options.epochs, verbose=0)
    scores = model.predict(features(evaluated, train), batch_size=1024, verbose=0)[:, 0]
    print(f"train {len(train):,}, eval {len(evaluated):,} trips, {model.count_params():,} parameters")
    print(f"AUC {auc(labels['eval'], scores):.4f}")
    card = (evaluated["payment_type"] == "Credit Card").to_numpy()
    print(
        f"AUC of payment_type=Credit Card {auc(labels['eval'][card], scores[card]):.4f} ({card.sum()} trips)"
    )


if __name__ == "__main__":
    main()
