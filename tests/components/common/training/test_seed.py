"""Which seed a node works with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.common.steps.step_executor import StepExecutor, StepJob
from components.fine_tuner.params import FineTuneOptions
from components.tflite_converter.params import ConvertOptions
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE


@pytest.mark.parametrize(
    ("options", "seed"),
    [
        pytest.param(FineTuneOptions(), 3, id="the run's"),
        pytest.param(FineTuneOptions(seed=0), 0, id="its own"),
        pytest.param(ConvertOptions(quantization="int8"), 3, id="a step that has none"),
    ],
)
def test_a_step_is_seeded_with_its_own_or_the_runs(options: Any, seed: int, tmp_path: Path) -> None:
    seen: list[tuple[StepJob[Any], float, bytes]] = []

    class Recorder(StepExecutor[Any]):
        OPTIONS = type(options)

        def run(self, job: StepJob[Any]) -> dict[str, Any]:
            seen.append((job, float(np.random.random()), tf.random.normal((4,)).numpy().tobytes()))
            return {}

    def artifact(kind: Any, name: str) -> list[Any]:
        made = kind()
        made.uri = str(tmp_path / name)
        return [made]

    inputs = {
        "base_model": artifact(standard_artifacts.Model, "base"),
        "examples": artifact(standard_artifacts.Examples, "examples"),
        "schema": artifact(standard_artifacts.Schema, "schema"),
    }
    properties = {
        "params": options.canonical_json(), "model_module": MNIST_MODULE, "label": "label", "seed": 3,
        "label_options": LABEL_OPTIONS,
        "hparams": json.dumps(MNIST_HPARAMS), "model_source": "{}", "code_version": "1",
    }  # fmt: skip
    for _ in range(2):
        Recorder().Do(inputs, {"model": artifact(standard_artifacts.Model, "out")}, properties)

    assert [job.seed for job, *_ in seen] == [seed, seed]
    assert seen[0][1:] == seen[1][1:]
    assert seen[0][1] == np.random.RandomState(seed).random_sample()
