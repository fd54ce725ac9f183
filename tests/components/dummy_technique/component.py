"""The TFX node of the `mirror` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from tests.components.dummy_technique import executor


class Mirrorer(StepComponent):
    """Makes a model's convolutions symmetric."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
