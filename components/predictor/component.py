"""The TFX node that predicts the eval split by the baseline."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.artifacts import BaselinePredictions
from components.predictor import executor


class PredictorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of the predictor."""

    PARAMETERS = {
        "features": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "label_options": component_spec.ExecutionParameter(type=str),
        # JSON of what predictions are made on; not given if that is LiteRT.
        "runtime": component_spec.ExecutionParameter(type=str, optional=True),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
        # The transform graph is applied to these, as in serving; given together with it.
        "raw_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"predictions": component_spec.ChannelParameter(type=BaselinePredictions)}


class Predictor(base_component.BaseComponent):
    """Predicts the eval split by the converted baseline, for all candidates."""

    SPEC_CLASS = PredictorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: BaseChannel,
        examples: BaseChannel,
        schema: BaseChannel,
        transform_graph: BaseChannel | None = None,
        raw_examples: BaseChannel | None = None,
        **parameters: Any,
    ):
        super().__init__(
            PredictorSpec(
                model=model,
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                raw_examples=raw_examples,
                predictions=Channel(type=BaselinePredictions),
                **parameters,
            )
        )
