"""A project whose models and data are checked with TensorFlow."""

from __future__ import annotations

import pytest

from tests.project import MODEL, Project

CANDIDATES = """
  pruned:
    - prune: {sparsity: 0.5}
    - convert: {quantization: int8}
  student:
    - distill: {student: build_student}
    - convert: {quantization: int8}
"""
# The line of the model module that compiles the model.
COMPILED = next(line for line in MODEL.splitlines(keepends=True) if ".compile(" in line)


@pytest.fixture
def project(project: Project) -> Project:
    """One with a step that trains the baseline on, and a student."""
    project.write_config(candidates=CANDIDATES)
    return project
