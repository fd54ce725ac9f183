"""The TFX node that reads TFRecord files."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.common.data.file_example_gen import VersionedExampleGen
from components.import_example_gen import executor


class ImportExampleGen(VersionedExampleGen):
    """Takes examples as they are, in random order."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
