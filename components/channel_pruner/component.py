"""The TFX node of the `prune_channels` step."""

from tfx.dsl.components.base import executor_spec

from components.channel_pruner import executor
from components.common.steps.step_component import StepComponent


class ChannelPruner(StepComponent):
    """Removes channels of a model; see components.channel_pruner.params for its options."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
