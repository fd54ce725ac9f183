"""Training in stages: what trains, for how long, and at which learning rates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import tf_keras

from components.common.data.arrays import Arrays
from components.common.models import compilation, precision
from components.common.models.pretrained import PretrainedError
from components.common.models.trunk import Trunk
from components.common.models.update_rates import UpdateRates
from components.common.training import fitting
from components.common.training.error import TrainingError
from components.common.training.history import History
from components.trainer.params import TrainOptions


def stages_of(options: TrainOptions) -> list[tuple[TrainOptions, list[str]]]:
    """The options of each stage, and the patterns that it unfreezes; a training without stages is one."""
    if not options.stages:
        return [(options, [])]
    return [(options.of_stage(stage), stage.unfreeze) for stage in options.stages]


def train(
    model: tf_keras.Model,
    trunk: Trunk | None,
    splits: tuple[Arrays, Arrays],
    options: TrainOptions,
    seed: int,
    log_dir: str,
) -> History:
    """Trains a compiled model stage by stage, each with a fresh optimizer.

    Args:
        model: With build_model's loss, metrics and optimizer.
        trunk: Its pretrained layers, if it has some.
        splits: Train and eval examples.
        options: How to train.
        seed: Seed of shuffling and dropout in the first stage; that of each later one is one more.
        log_dir: Gets the learning curves; those of several stages a folder each.

    Returns:
        The metrics of each epoch of all stages.

    Raises:
        TrainingError: If the options do not fit the compiled model, or training diverges.
        PretrainedError: If a stage unfreezes nothing.
    """
    stages = stages_of(options)
    # Of the optimizer that build_model makes: a number, or a schedule as config.
    compiled_rate = precision.plain_optimizer(model.optimizer).get_config()["learning_rate"]
    histories = []
    for index, (stage, unfreeze) in enumerate(stages):
        if trunk:
            trunk.unfreeze(unfreeze)
        asked = stage.learning_rate
        if asked is not None or trunk or len(stages) > 1:
            compilation.compile_like(model, model, compiled_rate if asked is None else asked)
        histories.append(
            fitting.fit(
                model,
                *splits,
                options=stage,
                seed=seed + index,
                log_dir=os.path.join(log_dir, f"stage-{index + 1}") if len(stages) > 1 else log_dir,
                callbacks=_rates(model, trunk, stage, asked or compiled_rate),
            )
        )
    if trunk:
        trunk.release()
    return joined(histories)


def check(trunk: Trunk, options: TrainOptions) -> None:
    """Goes through the stages without training.

    Raises:
        PretrainedError: If a stage unfreezes nothing, or has a learning rate for what does not train.
    """
    for index, (stage, unfreeze) in enumerate(stages_of(options)):
        where = f"stages[{index}]" if options.stages else ""
        try:
            trunk.unfreeze(unfreeze)
        except PretrainedError as error:
            raise PretrainedError(f"{where}: {error}", error.option) from error
        if stage.trunk_learning_rate is not None and not trunk.trained():
            raise PretrainedError(
                f"{where + ': ' if where else ''}trunk_learning_rate is for layers of the trunk, all of which are "
                f"frozen; {'unfreeze some, or' if where else 'write pretrained: {freeze: []}, or'} leave it out",
                "trunk_learning_rate",
            )


def _rates(
    model: tf_keras.Model, trunk: Trunk | None, stage: TrainOptions, head: float | dict[str, Any]
) -> list[tf_keras.callbacks.Callback]:
    own = stage.trunk_learning_rate
    if trunk is None or own is None:
        return []
    if isinstance(head, dict):
        raise TrainingError(
            "build_model compiles with its own learning rate schedule; write learning_rate too, or leave "
            "trunk_learning_rate out"
        )
    rate = own / head
    return [
        UpdateRates((weight, rate) for name in trunk.trained() for weight in model.get_layer(name).weights)
    ]


def joined(histories: Sequence[History]) -> History:
    """The history of stages one after another; the epoch that was kept is one of the last stage."""
    curves = {name: [value for one in histories for value in one[name]] for name in histories[0]}
    before = sum(len(one["loss"]) for one in histories[:-1])
    rates = [rate for one in histories for rate in one.learning_rates]
    return History(curves, sum(one.steps for one in histories), before + histories[-1].kept, rates)
