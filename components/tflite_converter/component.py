"""The TFX node of the `convert` step."""

from tfx.dsl.components.base import executor_spec

from components.common.steps.step_component import StepComponent
from components.tflite_converter import executor


class TFLiteConverter(StepComponent):
    """Converts a model to TFLite; see components.tflite_converter.params."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
