"""Files that are clients: whether they all have such a name. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from components.common.base.texts import listed
from pipeline.config.config import Config
from pipeline.config.problem import Problem
from pipeline.plan import data_files
from pipeline.plan.spans import SpanError


def check(config: Config) -> Iterator[Problem]:
    """Problems of `clients.files` with the files that are there."""
    federated = config.model.train.federated
    pattern = federated.clients.files if federated else None
    if pattern is None:
        return
    at = ("model", "train", "federated", "clients", "files")
    try:
        found = sorted({path.name for path in data_files.trained_files(config.data)})
    except (OSError, SpanError):
        return  # what is wrong with the data is said there
    others = [name for name in found if not fnmatch.fnmatchcase(name, pattern)]
    drawn = federated.clients_per_round or 1 if federated else 1
    if others:
        yield Problem(
            f"{pattern!r} does not match {listed(others, 3)}, so that their examples are of no client; change the "
            "pattern, or data.splits",
            at,
        )
    elif found and len(found) < drawn:
        yield Problem(
            f"clients_per_round ({drawn}) is more than the {len(found)} files, each of which is a client; lower it",
            (*at[:3], "clients_per_round"),
        )
