"""The TFX node of the `prune` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from components.pruner import executor


class Pruner(StepComponent):
    """Prunes a model; see components.pruner.params for its options."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
