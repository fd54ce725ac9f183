"""Zeros that the server makes before clients train: TFMOT's, without a step of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import layer_weights
from components.common.models.model_files import StepRecord
from components.pruner.executor import ask, zero_now
from components.pruner.params import PruneOptions


@pytest.mark.parametrize(
    ("asked", "zeros"),
    [({"sparsity": 0.75}, 0.75), ({"m_by_n": "2:4"}, 0.5), ({"sparsity": 0.5, "block": [4, 1]}, 0.5)],
)
def test_the_smallest_weights_become_zero_at_once(asked: dict[str, Any], zeros: float) -> None:
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential([tf_keras.Input((16,)), tf_keras.layers.Dense(8, name="dense")])
    options = PruneOptions(**asked, federated=True)
    pruned = zero_now(model, {"dense": options.target("dense")}, options)
    before, after = model.get_layer("dense").kernel.numpy(), pruned.get_layer("dense").kernel.numpy()
    assert (after == 0).mean() == zeros
    kept = after != 0
    assert (after[kept] == before[kept]).all()
    if "sparsity" in asked and "block" not in asked:
        assert np.abs(before[~kept]).max() <= np.abs(after[kept]).min()
    record = StepRecord()
    ask(record, pruned, {"dense": options.target("dense")}, options)
    (invariant,) = record.asked("dense")
    (kernel,) = layer_weights.kernels(pruned)["dense"]
    measured = invariant.measure(kernel)
    assert measured is not None and invariant.met(measured)
