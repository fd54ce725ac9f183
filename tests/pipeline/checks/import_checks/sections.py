"""Configs that import a model."""

from __future__ import annotations

from pathlib import Path

from tests.project import Project

CANDIDATES = """
  int8:
    - convert: {quantization: int8}
  pruned:
    - STEP
    - convert: {quantization: int8}
"""


def written(project: Project, model: str, step: str = "prune: {sparsity: 0.5}") -> Path:
    """The config of an import."""
    project.write_config(name="imported", model=f"\n  {model}", candidates=CANDIDATES.replace("STEP", step))
    return project.config


def problems(project: Project, model: str, step: str = "prune: {sparsity: 0.5}") -> list[str]:
    """`key: message` of each mistake."""
    written(project, model, step)
    return [f"{'.'.join(map(str, problem.location))}: {problem.message}" for problem in project.checked()]
