"""What is said of a training while it goes, by readings of a clock that the test makes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from components.common.base import progress
from components.common.base.progress import Kind, Report
from components.common.training.epoch_progress import EpochProgress
from components.common.training.error import TrainingError


def reported(
    epochs: int,
    passes: float,
    seconds: list[float],
    logs: Mapping[str, float],
    batches_have_logs: bool = True,
) -> list[Report]:
    """Reports of a training of 40 batches an epoch; each epoch takes the same number of seconds."""
    now = 0.0
    said: list[Report] = []
    callback = EpochProgress(epochs, passes, batches_have_logs, clock=lambda: now)
    callback.set_params({"steps": 40})
    with progress.listening(said.append):
        for epoch, took in enumerate(seconds):
            callback.on_epoch_begin(epoch)
            for batch in range(40):
                now += took / 40
                callback.on_train_batch_end(batch, logs)
            callback.on_epoch_end(epoch, {**logs, **{f"val_{name}": 2 * logs[name] for name in logs}})
    return said


LOGS = {"loss": 0.123456, "digit_loss": 0.1, "accuracy": 0.98765, "auc": 0.5}


def test_loss_and_the_first_metric_are_shown_with_their_values_on_eval() -> None:
    said = reported(2, 2, [100.0, 100.0], LOGS)
    assert said[0] == Report("epoch 1/2")
    assert said[1] == Report("epoch 1/2, 5 %", figures="loss 0.1235, accuracy 0.9877")
    ended = [one for one in said if one.kind is not Kind.STEP]
    assert [(one.line(), one.kind) for one in ended] == [
        ("epoch 1/2, loss 0.1235 (eval 0.2469), accuracy 0.9877 (eval 1.975)", Kind.EPOCH),
        ("epoch 2/2, loss 0.1235 (eval 0.2469), accuracy 0.9877 (eval 1.975)", Kind.LAST_EPOCH),
    ]
    assert len(said) == 2 * 22


def test_what_is_left_is_known_after_an_epoch_and_the_first_one_counts_no_longer_than_it_has_to() -> None:
    said = reported(4, 3.5, [30.0, 10.0, 10.0], LOGS)
    by_text = {one.text: one.left for one in said if one.kind is Kind.STEP}
    assert by_text["epoch 1/4"] is None and by_text["epoch 1/4, 95 %"] is None
    assert by_text["epoch 2/4"] == pytest.approx(2.5 * 30)
    assert by_text["epoch 2/4, 50 %"] == pytest.approx(2.0 * 30)
    assert by_text["epoch 3/4"] == pytest.approx(1.5 * 10)
    assert [one.left for one in said if one.kind is Kind.EPOCH] == pytest.approx([75.0, 15.0, 5.0])


def test_batches_whose_figures_are_not_there_yet_are_not_waited_for() -> None:
    said = reported(1, 1, [1.0], LOGS, batches_have_logs=False)
    assert said[1] == Report("epoch 1/1, 5 %") and "loss 0.1235" in said[-1].figures


def test_a_loss_that_is_not_a_number_ends_the_training() -> None:
    with pytest.raises(TrainingError, match="loss became nan in epoch 1; lower the learning rate"):
        reported(1, 1, [1.0], {"loss": float("nan")})
