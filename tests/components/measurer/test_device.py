"""Which predictions of two runtimes are the same: classes, sigmoids, numbers, and several outputs at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.measurer.device import share_of_same
from components.predictor.predictions import Predictions


def share(litert: Any, device: Any, baseline: Any) -> float:
    mine, theirs = (Predictions(np.zeros(0), {"candidate": one}, {}) for one in (device, litert))
    return share_of_same(mine, theirs, "candidate", baseline)


def table(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("litert", "device", "baseline", "expected"),
    [
        # Integers of a softmax do not add up to 1; those of the baseline say that they are classes.
        (table([0.4, 0.3], [0.4, 0.3]), table([0.3, 0.2], [0.2, 0.3]), table([0.6, 0.4], [0.5, 0.5]), 0.5),
        (table([0.6], [0.4]), table([0.9], [0.5]), table([0.7], [0.3]), 0.5),
        # Each of several sigmoids has to be on the same side of 0.5.
        (table([0.9, 0.9], [0.9, 0.1]), table([0.8, 0.4], [0.8, 0.2]), table([0.9, 0.9], [0.8, 0.1]), 0.5),
        # Numbers: within 1 % of the range of all, here 0.1.
        (table([0.0], [10.0], [5.0]), table([0.09], [10.0], [5.2]), table([0.0], [10.0], [5.0]), 2 / 3),
    ],
    ids=["classes", "a sigmoid", "sigmoids", "numbers"],
)
def test_predictions_are_the_same(litert: Any, device: Any, baseline: Any, expected: float) -> None:
    assert share(litert, device, baseline) == pytest.approx(expected)
    assert share(litert, litert, baseline) == 1


def test_an_example_counts_if_all_of_its_outputs_are_the_same() -> None:
    side, gap = table([0.9, 0.1], [0.9, 0.1], [0.1, 0.9]), table([0.0], [10.0], [5.0])
    litert = {"side": side, "gap": gap}
    # The second example has another class, the third one another number.
    device = {"side": side[[0, 2, 2]], "gap": table([0.0], [10.0], [8.0])}
    assert share(litert, device, litert) == pytest.approx(1 / 3)
