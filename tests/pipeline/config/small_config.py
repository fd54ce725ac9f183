"""Configs of a few lines, and changes of them."""

from __future__ import annotations

from tests.project import changed

# `# here` marks the line that a refusal must name.
CONFIG = """\
name: digits
data:
  path: data/mnist
  label: label
model:
  module: configs.mnist.model
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, max_drop: 0.01}
push: {directory: serving}
"""
# The same with hyperparameters and a second limit.
WITH_LIMITS = changed(
    changed(CONFIG, "module: configs.mnist.model", "module: configs.mnist.model\n  hparams: {units: 10}"),
    "push:",
    "  size: {max_ratio: 0.3}\npush:",
)


def change(old: str, new: str) -> str:
    return changed(CONFIG, old, new)


def with_chain(*steps: str) -> str:
    return change("    - convert: {quantization: int8}\n", "".join(f"    - {step}\n" for step in steps))
