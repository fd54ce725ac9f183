"""The TFX node of the `distill` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from components.distiller import executor


class Distiller(StepComponent):
    """Trains a student on a model's outputs; see components.distiller.params."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
