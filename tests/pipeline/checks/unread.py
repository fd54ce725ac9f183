"""A project whose model module must not be executed, nor its data read: what is found without TensorFlow."""

from __future__ import annotations

from pipeline.config.problem import Problem
from tests.project import Project

CONFIG = """\
name: digits
data:
  path: data
  label: label
  splits:
    train: train*
    eval: test*
model:
  module: my.model
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy:
    metric: SparseCategoricalAccuracy
    max_drop: 0.01
push:
  directory: serving
run:
  pipeline_root: out
"""

MODEL = """\
import tf_keras

def build_model(hparams):
    raise AssertionError("executed")

def build_student(hparams):
    raise AssertionError("executed")

raise AssertionError("executed")
"""


def checked(project: Project, text: str) -> list[Problem]:
    """The problems of a config."""
    project.write_config(text)
    return project.checked()


def refusal(project: Project, text: str) -> Problem:
    """The one problem of a config; it is on the line that is marked."""
    project.write_config(text)
    return project.refusal()
