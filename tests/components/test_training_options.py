"""Options that every step that trains has: each step goes by them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.registry import TECHNIQUES
from tests.components.conftest import make_job
from tests.conftest import Trained

NEEDED = {"prune": {"sparsity": 0.5}, "prune_channels": {"ratio": 0.5}}
TRAINING = [name for name, technique in TECHNIQUES.items() if technique.trains]


@pytest.mark.parametrize("technique", TRAINING)
def test_a_step_takes_its_steps_by_its_schedule(
    technique: str, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    options = TECHNIQUES[technique].options(
        **NEEDED.get(technique, {}),
        steps=45,
        batch_size=50,  # 30 steps an epoch
        learning_rate=0.001,
        learning_rate_schedule={"kind": "linear", "warmup": 0.1, "end": 0.2},
        early_stopping={"monitor": "val_accuracy", "patience": 5},
        seed=9,
    )
    module = importlib.import_module(TECHNIQUES[technique].executor)
    job = make_job(trained.uri, tmp_path, options, mnist_examples, seed=9)
    facts = module.Executor().run(job)

    assert (facts["trained_steps"], facts["trained_epochs"]) == (45, 2)
    curves = EventAccumulator(str(tmp_path / "logs/train")).Reload()
    rates = [float(tf.make_ndarray(e.tensor_proto)) for e in curves.Tensors("epoch_learning_rate")]
    # 4 steps of warm-up, then 41 down to a fifth.
    assert rates == pytest.approx([0.001 * (1 - 0.8 * 26 / 41), 0.0002], rel=1e-4)
    curves = EventAccumulator(str(tmp_path / "logs/validation")).Reload()
    accuracies = [float(tf.make_ndarray(e.tensor_proto)) for e in curves.Tensors("epoch_accuracy")]
    assert facts["final_val_accuracy"] == accuracies[facts["kept_epoch"] - 1]
    if technique == "prune":
        assert facts["least_layer_sparsity"] >= 0.495
