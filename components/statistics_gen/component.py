"""The TFX node that computes statistics."""

from __future__ import annotations

from tfx.components.statistics_gen import component
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.types.channel import BaseChannel, Channel

from components.statistics_gen import executor


class StatisticsGenSpec(standard_component_specs.StatisticsGenSpec):
    """Spec of TFX's StatisticsGen, with the executor's version."""

    PARAMETERS = {
        **standard_component_specs.StatisticsGenSpec.PARAMETERS,
        "code_version": component_spec.ExecutionParameter(type=str),
    }


class StatisticsGen(component.StatisticsGen):
    """TFX's StatisticsGen, with another executor."""

    SPEC_CLASS = StatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, examples: BaseChannel, code_version: str):
        """Declares the node.

        Args:
            examples: Output of ExampleGen.
            code_version: Code version of the executor.
        """
        spec = StatisticsGenSpec(
            examples=examples,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
            exclude_splits="[]",
            code_version=code_version,
        )
        # TFX's constructor would make a spec without the version.
        base_beam_component.BaseBeamComponent.__init__(self, spec=spec)
