"""Doing work under a strategy, in this process or in several that are started for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.common.base import progress
from components.common.base.distribution_options import Distribution
from components.common.training import strategies
from components.common.training.worker_group import WorkerGroup


def perform(
    asked: Distribution,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    written: Sequence[str] = (),
) -> Any:
    """Calls a function inside the scope of a strategy.

    A strategy over processes, or over parts of the CPU, has to be made before TensorFlow is used at all:
    the function is then called in separate processes. If TF_CONFIG is set, that is one, which is a
    worker of the cluster that it describes; else there is a process for each worker.

    Args:
        asked: How to distribute.
        function: Function of a module's top level; builds its models, trains and writes them.
        arguments: Its arguments by name.
        written: Names of the arguments that are folders to write; all but the first worker are given others,
            which are thrown away.

    Returns:
        What the function returns: in the first worker, if there are several.

    Raises:
        WorkerError: If a process fails; with the reason.
        DistributionError: If the devices are not there.
    """
    if asked.alone():
        return function(**arguments)
    if asked.devices is None and not asked.processes():
        strategy = strategies.strategy_of(asked)
        progress.note(summary(asked, strategy.num_replicas_in_sync))
        with strategy.scope():
            return function(**arguments)
    with WorkerGroup(asked, os.environ) as group:
        return group.run(function, arguments, written)


def summary(asked: Distribution, replicas: int) -> str:
    """How the training is distributed, in a few words."""
    if asked.kind == "mirrored" and replicas == 1:
        return "distribution: mirrored finds one device and trains on it as a single replica"
    return f"distribution: {asked.kind}, {replicas} replicas"
