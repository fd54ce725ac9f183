"""Whether what is served, from raw features on, is what the pipeline trained on and the gate has measured.

Two things may come apart between raw features and a prediction: the transform graph that is served may give
other features than Transform gave the pipeline, and the model behind it may be another than the one that the
file was converted from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.common.data.arrays import content_digests
from components.common.data.examples import Examples
from components.common.models import model_files, served_model
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflite_file import SIGNATURE
from components.measurer.measured import Skew

# Kernels of TensorFlow's logarithm, exponential function and others differ in a value's last bits by its place
# in a batch: 3 of 2^-24 were measured.
_ROUNDING = 1e-6
# Examples that are predicted one by one.
_PREDICTED = 200
_PAIRINGS = 4


def measure(candidate: str, raw: Examples, examples: Examples) -> Skew:
    """Compares on the eval split.

    Args:
        candidate: Folder of the candidate's `Model` artifact.
        raw: The raw examples.
        examples: The same after Transform.

    Raises:
        ValueError: If the candidate has no SavedModel for raw features, or the splits differ in length.
        LiteRTError: If the file does not run.
    """
    directory = model_files.serving_dir(candidate)
    if not served_model.exists(directory):
        raise ValueError("there is no SavedModel for raw features beside the file")
    signatures = tf.saved_model.load(directory).signatures
    file = LiteRTModel(model_files.tflite_file(candidate))
    expected = examples.load("eval", file.inputs).feature_arrays()
    records = list(raw.records("eval"))
    served = _batched(signatures[served_model.TRANSFORM_FEATURES], records)
    count = len(records)
    if count != len(next(iter(expected.values()))):
        raise ValueError(
            f"{count} raw examples became {len(next(iter(expected.values())))} transformed ones"
        )
    pairs = pair(served, expected)
    chosen = _to_predict(served_model.compared(expected), pairs.kind)
    rows = [
        (
            file.predict({name: values[pairs.served[index]] for name, values in served.items()}),
            file.predict({name: values[index] for name, values in expected.items()}),
        )
        for index in chosen
    ]
    predicted = signatures[SIGNATURE](tf.constant([records[pairs.served[index]] for index in chosen]))
    by_file, by_pipeline = (
        {n: np.stack([row[side][n] for row in rows]) for n in rows[0][0]} for side in (0, 1)
    )
    return Skew(
        examples=count,
        differing=int(np.sum(pairs.kind == _DIFFERS)),
        rounded=int(np.sum(pairs.kind == _ROUNDED)),
        predicted=len(chosen),
        file_error=_difference(by_file, by_pipeline),
        model_error=_difference({n: values.numpy() for n, values in predicted.items()}, by_file),
        conversion_error=served_model.read_error(candidate),
        tolerance=served_model.TOLERANCE
        * max(1.0, *(float(np.abs(v).max()) for v in by_pipeline.values())),
    )


_EQUAL, _ROUNDED, _DIFFERS = 0, 1, 2


@dataclass(frozen=True)
class Pairs:
    """Matches served examples with the pipeline's.

    Attributes:
        served: Example of the pipeline's → index of the served one.
        kind: Example of the pipeline's → _EQUAL, _ROUNDED or _DIFFERS.
    """

    served: NDArray[Any]
    kind: NDArray[Any]


def pair(served: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> Pairs:
    """Finds for each example the served one, by its features: Transform does not keep their order.

    Args:
        served: Feature → (examples, …).
        expected: The same features of as many examples.

    Returns:
        Pairs, each example in one: first of those that are equal, then of those that are but for their last
        bits, then of what is left.
    """
    names = sorted(expected)
    count = len(expected[names[0]])
    found = np.full(count, -1)
    kind = np.full(count, _DIFFERS)
    waiting: dict[bytes, list[int]] = {}
    for index, digest in enumerate(content_digests({name: served[name] for name in names})):
        waiting.setdefault(digest, []).append(index)
    for index, digest in enumerate(content_digests({name: expected[name] for name in names})):
        if waiting.get(digest):
            found[index], kind[index] = waiting[digest].pop(), _EQUAL
    left = np.array(sorted(index for group in waiting.values() for index in group), int)
    # Examples that differ in last bits alone are neighbours wherever all are put on a line; which others come
    # between them depends on the line.
    rng = np.random.default_rng(0)
    ours, theirs = _flat(served, names), _flat(expected, names)
    for _ in range(_PAIRINGS):
        open_ = np.flatnonzero(found < 0)
        if not len(open_):
            break
        line = rng.normal(size=ours.shape[1])
        left = left[np.argsort(ours[left] @ line, kind="stable")]
        open_ = open_[np.argsort(theirs[open_] @ line, kind="stable")]
        same = np.isclose(ours[left], theirs[open_], rtol=_ROUNDING, atol=_ROUNDING).all(axis=1)
        found[open_[same]], kind[open_[same]] = left[same], _ROUNDED
        left = left[~same]
    found[found < 0] = left
    return Pairs(found, kind)


def _flat(columns: dict[str, NDArray[Any]], names: list[str]) -> NDArray[Any]:
    return np.concatenate(
        [columns[n].reshape(len(columns[n]), -1).astype(np.float64) for n in names], axis=1
    )


def _to_predict(compared: NDArray[Any], kind: NDArray[Any]) -> list[int]:
    """Examples to predict: of what the converter has compared, and those that differ first, as they show most.

    Last bits may tip an integer over; if there are others, those examples are left out, so that equal
    means equal.
    """
    differing = np.flatnonzero(kind == _DIFFERS)
    equal = compared[kind[compared] == _EQUAL]
    chosen = np.concatenate([differing, equal])[:_PREDICTED]
    return list(chosen) or list(compared[:_PREDICTED])


def _batched(signature: object, records: list[bytes]) -> dict[str, NDArray[Any]]:
    parts = [
        signature(tf.constant(records[start : start + 1024]))  # type: ignore[operator]
        for start in range(0, len(records), 1024)
    ]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}


def _difference(ours: dict[str, NDArray[Any]], theirs: dict[str, NDArray[Any]]) -> float:
    """Greatest absolute difference; NaN if a value is NaN."""
    return float(
        np.max(
            [
                np.max(np.abs(ours[name].astype(np.float64).reshape(values.shape) - values))
                for name, values in theirs.items()
            ]
        )
    )
