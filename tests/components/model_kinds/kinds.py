"""A kind of model from its training to the gate. Predictions are those of plain LiteRT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.tflite.litert import LiteRTModel
from components.evaluator.params import Gate
from components.evaluator.verdict import Verdict
from components.tflite_converter.executor import convert_model
from components.tflite_converter.params import ConvertOptions
from components.trainer.params import TrainOptions
from tests.components.conftest import make_job, run_step
from tests.components.evaluating import evaluate
from tests.conftest import to_example, write_examples

MODULE = "tests.components.model_kinds.models"
TRAINING = TrainOptions(epochs=8, batch_size=32)


@dataclass
class Kind:
    """A trained baseline on data of its own.

    Attributes:
        columns: Feature → the eval split's values.
    """

    uri: str
    examples: Examples
    definition: ModelDefinition
    columns: dict[str, np.ndarray]
    history: dict[str, list[float]]
    folder: Path

    def job(self, name: str, options: Any, base: str | None = None) -> Any:
        job = make_job(base or self.uri, self.folder / name, options, self.examples)
        return type(job)(**{**vars(job), "definition": self.definition})

    def converted(self, name: str, base: str | None = None, **options: Any) -> str:
        job = self.job(name, ConvertOptions(calibration_examples=100, **options), base)
        if not Path(job.output).exists():
            run_step(convert_model, job)
        return job.output

    def judged(self, candidate: str, accuracy: Any) -> Verdict:
        gate = Gate.model_validate({"accuracy": accuracy, "latency": {"repetitions": 20, "warmup": 2}})
        baseline = self.converted("float32", quantization="float32")
        return evaluate(candidate, baseline, self.examples, gate, f"{candidate}-judged", 1, [])

    def predicted(self, uri: str) -> dict[str, np.ndarray]:
        """Output → LiteRT's predictions for the eval split, (examples, …)."""
        model = LiteRTModel(model_files.tflite_file(uri))
        count = len(next(iter(self.columns.values())))
        rows = [model.predict({n: self.columns[n][i] for n in model.inputs}) for i in range(count)]
        return {name: np.stack([row[name] for row in rows]).astype(np.float64) for name in rows[0]}

    def by_keras(self, uri: str) -> dict[str, np.ndarray]:
        """The same by the Keras model of an artifact, fed by the names of its inputs."""
        model = model_files.load(uri)
        names = [
            name.removeprefix("quant_").removeprefix("prune_low_magnitude_") for name in model.output_names
        ]
        outputs = model({name: self.columns[name] for name in model.input_names}, training=False)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return {name: value.numpy() for name, value in zip(names, outputs, strict=True)}


def examples(folder: Path, train: dict, evaluation: dict, label: Any) -> Examples:
    schema = "".join(
        f'feature {{ name: "{name}" type: {"FLOAT" if values.dtype.kind == "f" else "INT"} '
        f"presence {{ min_fraction: 1 }} shape {{ dim {{ size: {values[0].size} }} }} }}\n"
        for name, values in train.items()
    )
    splits = {
        split: [
            to_example({name: values[index] for name, values in columns.items()})
            for index in range(len(next(iter(columns.values()))))
        ]
        for split, columns in (("train", train), ("eval", evaluation))
    }
    written = write_examples(folder, schema, **splits)
    return Examples(str(written / "examples"), str(written / "schema"), None, label)


def points(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
