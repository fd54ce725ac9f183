"""Rows of taxi trips, clean unless a test changes them, and what is refused in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.components.anomaly_gate.splits import Row

Rows = list[Row]


def rows(count: int, seed: int = 0, **more: Any) -> Rows:
    """Trips: a fare, a way to pay, whole seconds, and a label of three classes; `more` replaces or adds."""
    random = np.random.default_rng(seed)
    made = [
        {
            "fare": [float(random.gamma(2.0, 5.0))],
            "payment": [str(random.choice(["cash", "card", "other"], p=[0.5, 0.4, 0.1]))],
            "seconds": [int(random.integers(60, 3600))],
            "label": [int(random.integers(0, 3))],
        }
        for _ in range(count)
    ]
    for index, row in enumerate(made):
        row.update({name: value(index) if callable(value) else value for name, value in more.items()})
    return made


def refused(found: dict[tuple[str, str, str], Any]) -> set[tuple[str, str, str]]:
    return {key for key, finding in found.items() if finding.state == "refused"}


TRAIN, EVAL = rows(400), rows(200, seed=1)
