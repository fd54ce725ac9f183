"""The TFX node that judges a candidate."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.artifacts import ModelMeasurement
from components.evaluator import executor


class EvaluatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of the evaluator."""

    PARAMETERS = {
        "gate": component_spec.ExecutionParameter(type=str),
        "code_modules": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "measurement": component_spec.ChannelParameter(type=ModelMeasurement),
        # The baseline as it was trained; given if that was federated.
        "trained": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_component.BaseComponent):
    """Judges a candidate by what was measured of it; see components.evaluator.params."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: BaseChannel,
        baseline: BaseChannel,
        measurement: BaseChannel,
        trained: BaseChannel | None = None,
        **parameters: Any,
    ):
        super().__init__(
            EvaluatorSpec(
                model=model,
                baseline=baseline,
                measurement=measurement,
                trained=trained,
                evaluation=Channel(type=standard_artifacts.ModelEvaluation),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                **parameters,
            )
        )
