"""The TFX node of a step: reads a model and examples, writes a model."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel


class StepSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of every step's node. All parameters are primitives."""

    PARAMETERS = {
        "params": component_spec.ExecutionParameter(type=str),
        "model_module": component_spec.ExecutionParameter(type=str),
        "hparams": component_spec.ExecutionParameter(type=str),
        "model_source": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "label_options": component_spec.ExecutionParameter(type=str),
        "seed": component_spec.ExecutionParameter(type=int),
        "federated": component_spec.ExecutionParameter(type=str, optional=True),
        "code_modules": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "base_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "teacher": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
    }
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class StepComponent(base_component.BaseComponent):
    """Base of the steps' components; a subclass names its executor."""

    SPEC_CLASS = StepSpec

    def __init__(
        self,
        base_model: BaseChannel,
        examples: BaseChannel,
        schema: BaseChannel,
        transform_graph: BaseChannel | None = None,
        teacher: BaseChannel | None = None,
        **parameters: Any,
    ):
        """Declares the node.

        Args:
            base_model: Channel of the `Model` that the step begins with.
            examples: Channel of the `Examples` that it trains or calibrates on.
            schema: Channel of the `Schema` of the data.
            transform_graph: Channel of the `TransformGraph` that made the examples, if one did.
            teacher: Channel of the `Model` whose outputs it trains on, if that is not `base_model`.
            **parameters: As in `StepSpec.PARAMETERS`, each given explicitly: a default would be left
                out of the cache key.
        """
        super().__init__(
            StepSpec(
                base_model=base_model,
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                teacher=teacher,
                model=Channel(type=standard_artifacts.Model),
                **parameters,
            )
        )
