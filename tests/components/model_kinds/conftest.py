"""Trained baselines of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from components.common.models.model_definition import ModelDefinition
from components.trainer.run_fn import train_baseline
from tests.components.model_kinds.kinds import MODULE, TRAINING, Kind, examples


@pytest.fixture(scope="module")
def make_kind(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes data, and trains the baseline."""

    def make(kind: str, label: Any, train: dict, evaluation: dict, **changes: Any) -> Kind:
        folder = tmp_path_factory.mktemp(kind)
        definition = ModelDefinition(MODULE, {"kind": kind, **changes})
        data = examples(folder / "data", train, evaluation, label)
        uri = folder / "baseline"
        history = train_baseline(data, str(uri), str(folder / "logs"), definition, TRAINING, seed=3)
        return Kind(str(uri), data, definition, evaluation, history, folder)

    return make
