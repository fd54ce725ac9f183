"""The examples of each slice, by TFMA's own rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.slicer import slicer_lib

from components.predictor.predictions import Predictions


def examples_of(predictions: Predictions, specs: Iterable[Any]) -> dict[Any, NDArray[np.int64]]:
    """The examples of each slice.

    TFMA finds the slices of an example; it is asked once for each combination of values that there is.

    Args:
        predictions: The examples.
        specs: `tfma.SlicingSpec`, one after another.

    Returns:
        Slice as TFMA writes it (empty for all examples) → indices of its examples, ascending.
    """
    found: dict[Any, NDArray[np.int64]] = {}
    for spec in specs:
        one = slicer_lib.SingleSliceSpec(spec=spec)
        columns = {name: predictions.columns[name] for name in sorted(spec.feature_keys)}
        codes = np.stack([c.codes for c in columns.values()] or [np.zeros(len(predictions), np.int64)], 1)
        combinations, of = np.unique(codes, axis=0, return_inverse=True)
        members: dict[Any, list[int]] = {}
        for index, combination in enumerate(combinations):
            features = {
                name: np.array(column.rows[code])
                for (name, column), code in zip(columns.items(), combination, strict=False)
                if code >= 0
            }
            for key in slicer_lib.get_slices_for_features_dicts([], features, [one]):
                members.setdefault(key, []).append(index)
        for key, inside in members.items():
            found[key] = np.flatnonzero(np.isin(of.ravel(), inside))
    return found
