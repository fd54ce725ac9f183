"""A config with a space, and outcomes of its trials that a formula makes."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.config_file import ConfigFile, load
from pipeline.store.search_record import Fate, Outcome, Trial

CONFIG = """\
name: digits
data: {path: data/mnist, label: label}
model: {module: configs.mnist.model}
gate: {accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}}
push: {directory: serving}
"""
SPACE = """\
search:
  space:
    - {prune_channels: {ratio: {between: [0.1, 0.6]}}, optional: true}
    - {prune: {sparsity: {between: [0.5, 0.9]}}, optional: true}
    - {cluster: {clusters: {choose: [8, 16, 32]}}, optional: true}
    - {qat: , optional: true}
    - {convert: {quantization: int8}}
  trials: 8
"""


def config(folder: Path, space: str = SPACE) -> ConfigFile:
    path = folder / "config.yaml"
    path.write_text(CONFIG + space, encoding="utf-8")
    return load(path)


def outcome(trial: Trial, number: int, objectives: int = 1) -> Outcome:
    """Smaller with each step; too much of it costs accuracy."""
    values = trial.values
    sparsity, ratio = float(values.get("prune.sparsity", 0)), float(values.get("prune_channels.ratio", 0))
    size = 100 * (1 - 0.7 * sparsity) * (1 - ratio)
    accuracy = 1 - 0.5 * max(0.0, sparsity - 0.8) - 0.3 * max(0.0, ratio - 0.3)
    passed = accuracy > 0.97
    return Outcome(
        Fate.PASSED if passed else Fate.MISSED,
        (size, -accuracy)[:objectives],
        0.0 if passed else 0.97 - accuracy,
        {"accuracy": accuracy, "size": size},
        "" if passed else "accuracy",
        number,
        f"run-{number}",
    )
