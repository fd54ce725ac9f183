"""The TFX node that measures a candidate."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.artifacts import BaselinePredictions, ModelMeasurement
from components.measurer import executor


class MeasurerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of the measurer."""

    PARAMETERS = {
        "measures": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "label_options": component_spec.ExecutionParameter(type=str),
        # JSON of what predictions are made on; not given if that is LiteRT.
        "runtime": component_spec.ExecutionParameter(type=str, optional=True),
        # JSON of an `Npu`, with Vela's version; not given if the target has none.
        "npu": component_spec.ExecutionParameter(type=str, optional=True),
        # JSON of a `LoadOptions`, and of the modules that only the measurement of a server runs; not given for others.
        "load": component_spec.ExecutionParameter(type=str, optional=True),
        "code_modules": component_spec.ExecutionParameter(type=str, optional=True),
        "seed": component_spec.ExecutionParameter(type=int),
        # Not read: it makes the cache of one machine no other's.
        "machine": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "predictions": component_spec.ChannelParameter(type=BaselinePredictions),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
        # The transform graph is applied to these, as in serving; given together with it.
        "raw_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {"measurement": component_spec.ChannelParameter(type=ModelMeasurement)}


class Measurer(base_beam_component.BaseBeamComponent):
    """Measures a converted candidate beside the converted baseline; see components.measurer.params."""

    SPEC_CLASS = MeasurerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        model: BaseChannel,
        baseline: BaseChannel,
        predictions: BaseChannel,
        examples: BaseChannel,
        schema: BaseChannel,
        transform_graph: BaseChannel | None = None,
        raw_examples: BaseChannel | None = None,
        **parameters: Any,
    ):
        super().__init__(
            MeasurerSpec(
                model=model,
                baseline=baseline,
                predictions=predictions,
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                raw_examples=raw_examples,
                measurement=Channel(type=ModelMeasurement),
                **parameters,
            )
        )
