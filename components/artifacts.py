"""Artifact types of Paredown's own."""

from tfx.dsl.components.base import base_component  # noqa: F401  (registers TFX's own types first)
from tfx.types import artifact


class OptimizationReport(artifact.Artifact):
    """Outcome of every candidate of a run: verdicts, headline figures, the winner.

    The artifact's folder holds `report.json`, as `components.selector.report.SelectorReport`
    writes it. Facts that lineage queries for (`winner`, `candidates`, `passed`) are custom properties: an
    artifact type that declares PROPERTIES does not compile for Kubeflow.
    """

    TYPE_NAME = "components.OptimizationReport"


class ModelMeasurement(artifact.Artifact):
    """Measurements of a candidate and the baseline: `components.measurer.measurement` lists the files.

    Custom properties: `cpu`, `cores` and `runtime` (of LiteRT) that it was measured on, `latency_ratio`, `failures`.
    """

    TYPE_NAME = "components.ModelMeasurement"


class BaselinePredictions(artifact.Artifact):
    """The baseline's predictions on the eval split: `components.predictor.baseline` lists the files."""

    TYPE_NAME = "components.BaselinePredictions"
