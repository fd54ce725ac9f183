"""The TFX node that reads Parquet files."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.common.data.file_example_gen import VersionedExampleGen
from components.parquet_example_gen import executor


class ParquetExampleGen(VersionedExampleGen):
    """Makes an example of each row, with a feature for each column."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
