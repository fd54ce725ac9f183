"""Examples, and the client that each is of."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError, InputSpec
from components.federated_trainer import client_split
from components.federated_trainer.client_split import Split
from components.federated_trainer.params import Clients

# Examples of a split, and the client of each; of all the same one if no feature names it.
Owned = tuple[Arrays, npt.NDArray[Any]]


def refuse_client_feature(clients: Clients, features: list[str]) -> None:
    """Raises an ExamplesError if a model would see which client an example is of."""
    if clients.feature in features:
        raise ExamplesError(
            f"federated: clients are named by {clients.feature!r}, which is a feature of the model, so the model would "
            "learn who they are; build the model without it, or name another feature in clients.by"
        )


def load(examples: Examples, split: str, specs: Mapping[str, InputSpec], by: str | None) -> Owned:
    """The examples of a split.

    Args:
        examples: All of them.
        split: Name of the split.
        specs: Features of the model.
        by: Feature that names the client; None if none does.

    Raises:
        ExamplesError: If there is no such feature.
    """
    if by is None:
        return of_nobody(examples.load(split, specs))
    feature = examples.feature_spec().get(by)
    if feature is None:
        raise ExamplesError(
            f"federated: the examples have no feature {by!r} that names their client; name one in clients.by, and "
            "return it from preprocessing_fn if there is one"
        )
    # Read together, as examples are sorted by what is read of them.
    loaded = examples.load(split, {**specs, by: InputSpec((), feature.dtype.as_numpy_dtype)})
    features = {name: loaded.features[name] for name in specs}
    return Arrays(features, loaded.labels, loaded.class_weights), np.asarray(loaded.features[by])


def of_nobody(examples: Arrays) -> Owned:
    """Examples whose client no feature names."""
    return examples, np.zeros(len(examples), np.int64)


def divided(asked: Clients, train: Owned, evaluation: Owned, seed: int) -> Split:
    """Which examples are whose.

    Args:
        asked: The rule.
        train: Examples, and the client of each.
        evaluation: The same of the eval split.
        seed: Seed of a simulated division.

    Raises:
        ExamplesError: If they cannot be divided by this rule.
        ClientSplitError: If a client would have no examples.
    """
    if asked.files is not None:
        _refuse_other_files(asked.files, train[1])
    if asked.feature is not None:
        return client_split.by_column(train[1], evaluation[1])
    labels = [split.labels for split, _ in (train, evaluation)]
    if isinstance(labels[0], dict) or labels[0].dtype.kind not in "iub" or labels[0].ndim != 1:
        raise ExamplesError(
            "federated: clients.dirichlet divides by class, and the label is not one class; write clients.by"
        )
    assert asked.dirichlet is not None and asked.count is not None
    return client_split.dirichlet(
        np.asarray(labels[0]), np.asarray(labels[1]), asked.dirichlet, asked.count, seed
    )


def _refuse_other_files(pattern: str, names: npt.NDArray[Any]) -> None:
    found = [value.decode() if isinstance(value, bytes) else str(value) for value in np.unique(names)]
    others = [name for name in found if not fnmatch.fnmatchcase(name, pattern)]
    if others:
        raise ExamplesError(
            f"federated: the file {others[0]} does not match clients.files {pattern!r}, so its examples are of no "
            "client; change the pattern, or data.splits"
        )
