"""The TFX node of the `cluster` step."""

from tfx.dsl.components.base import executor_spec

from components.clusterer import executor
from components.common.steps.step_component import StepComponent


class Clusterer(StepComponent):
    """Clusters a model's weights; see components.clusterer.params for its options."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
