"""The model, the options and a client's examples: what server and clients have in common."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np

from components.common.data.arrays import Arrays
from components.common.models import compilation, grafting
from components.common.training import seeding
from components.federated_trainer.params import Federated

SETTINGS: dict[str, Any] = json.loads(Path(__file__).with_name("settings.json").read_text(encoding="utf-8"))
OPTIONS = Federated.from_canonical(json.dumps(SETTINGS["federated"]))
SEED: int = SETTINGS["seed"]

# Records and keys of messages.
WEIGHTS, UPDATE, ASKED, FIGURES = "weights", "update", "asked", "figures"


def build() -> Any:
    """The model with the weights that training begins with: the same everywhere."""
    seeding.seed_everything(SEED)
    module = importlib.import_module(SETTINGS["module"])
    objects = {name: value for name, value in vars(module).items() if callable(value)}
    model = grafting.flattened(module.build_model(dict(SETTINGS["hparams"])), objects)
    compilation.compile_like(model, model, SETTINGS["learning_rate"])
    return model


def load(path: str, inputs: list[str]) -> Arrays:
    """The examples of a client.

    Args:
        path: An .npz file with an array of shape (examples, …) for each input of the model, and one of labels as the
            loss takes them.
        inputs: Names of the inputs.

    Raises:
        ValueError: If an array is missing, or arrays do not have as many examples.
    """
    label = SETTINGS["label"]
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in (*inputs, label) if name not in file.files]
        if missing:
            raise ValueError(f"{path} has no array {missing[0]!r}; it has {sorted(file.files)}")
        features = {name: file[name] for name in inputs}
        labels = file[label]
    counts = {len(values) for values in (*features.values(), labels)}
    if len(counts) != 1 or not len(labels):
        raise ValueError(
            f"{path}: its arrays have {sorted(counts)} examples, and need the same number, at least 1"
        )
    return Arrays(features, labels)
