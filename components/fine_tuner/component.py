"""The TFX node of the `fine_tune` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from components.fine_tuner import executor


class FineTuner(StepComponent):
    """Trains a model on; see components.fine_tuner.params for its options."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
