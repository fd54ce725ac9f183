"""The TFX node that imports an existing model as the baseline."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.model_importer import executor


class ModelImporterSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of the node. All parameters are primitives."""

    PARAMETERS = {
        "model_module": component_spec.ExecutionParameter(type=str),
        "hparams": component_spec.ExecutionParameter(type=str),
        "model_source": component_spec.ExecutionParameter(type=str),
        "module_version": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "label_options": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
    }
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class ModelImporter(base_component.BaseComponent):
    """Imports a model; see components.model_importer.params.

    TFX's own Importer registers a folder as it is. This node gives the model the layout that every step reads,
    and has the content of the file in its cache key.
    """

    SPEC_CLASS = ModelImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: BaseChannel,
        schema: BaseChannel,
        transform_graph: BaseChannel | None = None,
        **parameters: Any,
    ):
        """Declares the node.

        Args:
            examples: Channel of the `Examples` that the model is tried on.
            schema: Channel of the `Schema` of the data.
            transform_graph: Channel of the `TransformGraph` that made the examples, if one did.
            **parameters: As in `ModelImporterSpec.PARAMETERS`, each given explicitly.
        """
        super().__init__(
            ModelImporterSpec(
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                model=Channel(type=standard_artifacts.Model),
                **parameters,
            )
        )
