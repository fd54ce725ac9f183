"""The TFX node that reads CSV files in which some cells mean missing values."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types import component_spec

from components.common.data.file_example_gen import VersionedExampleGen, VersionedExampleGenSpec
from components.csv_example_gen import executor


class CsvExampleGenSpec(VersionedExampleGenSpec):
    """Spec with the spellings of a missing value, a JSON list, and the feature that gets the name of a row's file."""

    PARAMETERS = {
        **VersionedExampleGenSpec.PARAMETERS,
        "missing": component_spec.ExecutionParameter(type=str),
        "file_feature": component_spec.ExecutionParameter(type=str, optional=True),
    }


class CsvExampleGen(VersionedExampleGen):
    """Makes the examples that TFX's CsvExampleGen makes, without a value for cells that say that it is missing."""

    SPEC_CLASS = CsvExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
