"""Federated training before a run: whether the model can be averaged, and whether the data say whose they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from components.common.base.texts import listed
from components.common.training.error import TrainingError
from components.federated_trainer import payload
from pipeline.config.config import Config
from pipeline.config.problem import Problem

_AT = ("model", "train", "federated")


def check(config: Config, model: Any, features: Collection[str] | None) -> Iterator[Problem]:
    """Problems of the options with the model and the data.

    Args:
        config: The config.
        model: The baseline, as it will be trained.
        features: Features that models get; None if they are not known before the run.
    """
    federated = config.model.train.federated
    if federated is None:
        return
    try:
        payload.refuse_without_rule(model, federated.batch_norm)
    except TrainingError as error:
        yield Problem(str(error).removeprefix("federated: "), _AT)
    by = federated.clients.by
    if by is None:
        return
    if by in model.input_names:
        yield Problem(
            f"{by!r} is a feature of the model, so the model would learn who the clients are; build the model without "
            "it, or name another feature",
            (*_AT, "clients", "by"),
        )
    elif features is not None and by not in features:
        yield Problem(
            f"{by!r} is not a feature of the data, which has {listed(sorted(features))}; name the one that says whose "
            "an example is",
            (*_AT, "clients", "by"),
        )
