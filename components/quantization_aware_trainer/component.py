"""The TFX node of the `qat` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from components.quantization_aware_trainer import executor


class QuantizationAwareTrainer(StepComponent):
    """Trains a model for int8; see components.quantization_aware_trainer.params."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
