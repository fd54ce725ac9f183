"""The server's arithmetic, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from components.federated_trainer.aggregation import Server, WeightedMean
from components.federated_trainer.params import Strategy


def test_the_mean_is_weighted_by_examples() -> None:
    mean = WeightedMean(2)
    mean.add(np.array([1.0, -2.0], np.float32), 30)
    mean.add(np.array([5.0, 2.0], np.float32), 10)
    assert mean.value().tolist() == [2.0, -1.0]  # (30·1 + 10·5) / 40, (30·−2 + 10·2) / 40


# Changes of one weight by two rounds whose means are 1 and 0.5.
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"kind": "fedavg"}, [1.0, 0.5]),
        ({"kind": "fedprox", "mu": 0.1}, [1.0, 0.5]),
        ({"kind": "fedavg", "learning_rate": 0.5}, [0.5, 0.25]),
        ({"kind": "fedavgm", "momentum": 0.9}, [1.0, 0.9 * 1.0 + 0.5]),
        # m = 0.1, v = 0.99·1e-6 + 0.01; then m = 0.14, v = 0.99·v + 0.0025.
        (
            {"kind": "fedadam"},
            [
                0.01 * 0.1 / (np.sqrt(0.99e-6 + 0.01) + 1e-3),
                0.01 * 0.14 / (np.sqrt(0.99 * (0.99e-6 + 0.01) + 0.0025) + 1e-3),
            ],
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_strategy_changes_the_model_as_its_paper_says(
    strategy: dict[str, object], expected: list[float]
) -> None:
    server = Server(Strategy.model_validate(strategy), trained=1)
    # The second value is a statistic, of which the mean is taken.
    found = [server.change(np.array([mean, 7.0], np.float32)) for mean in (1.0, 0.5)]
    assert [change[0] for change in found] == pytest.approx(expected, rel=1e-6)
    assert [change[1] for change in found] == [7.0, 7.0]
