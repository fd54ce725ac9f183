"""The TFX node that pushes the selected model."""

from __future__ import annotations

from typing import Any

from tfx.components.pusher import component as tfx_component
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.types.channel import BaseChannel, Channel
from tfx.utils import json_utils

from components.pusher import executor


class PusherSpec(standard_component_specs.PusherSpec):
    """TFX's, with the examples that one is pushed of beside the model, if that is asked for."""

    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "transform_graph": component_spec.ChannelParameter(
            type=standard_artifacts.TransformGraph, optional=True
        ),
    }


class Pusher(tfx_component.Pusher):
    """TFX's Pusher with an executor of our own.

    Its `custom_config` holds `code_version`, which is in the cache key.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, push_destination: Any, custom_config: dict[str, Any], **inputs: BaseChannel):
        """Declares the node.

        Args:
            push_destination: A tfx.proto.PushDestination.
            custom_config: As the executor takes it.
            **inputs: `model`, `model_blessing`, and what `PusherSpec` adds.
        """
        # TFX's own constructor makes a spec of TFX's own.
        base_component.BaseComponent.__init__(
            self,
            PusherSpec(
                push_destination=push_destination,
                custom_config=json_utils.dumps(custom_config),
                pushed_model=Channel(type=standard_artifacts.PushedModel),
                **inputs,
            ),
        )
