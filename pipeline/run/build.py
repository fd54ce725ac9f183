"""Turns a plan into a TFX pipeline. Nodes are wired nowhere else."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format
from tfx import components as tfx_components
from tfx.dsl.components.base import base_component
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto import pusher_pb2, trainer_pb2

from pipeline.config.config import Config
from pipeline.config.data_options import EVALUATED_SPLIT, TRAINED_SPLIT
from pipeline.plan import node as node_ids
from pipeline.plan.node import Node, to_json
from pipeline.plan.plan import Plan
from pipeline.run import example_gen

Channels = dict[str, Any]


def build(
    plan: Plan, config: Config, cluster_root: str | None = None, names: Mapping[str, str] | None = None
) -> tfx_pipeline.Pipeline:
    """Builds the pipeline.

    Args:
        plan: Its nodes.
        config: Where it runs.
        cluster_root: Where artifacts go on a cluster; None for a run on this machine.
        names: Node's id in the plan → its id in the pipeline; None if they are the same.

    Returns:
        A pipeline that caches, without a connection to a metadata store.
    """
    built: dict[str, base_component.BaseComponent] = {}
    for node in plan.nodes:
        channels = {key: built[source.node].outputs[source.key] for key, source in node.inputs.items()}
        if node.id == plan.example_gen:
            component = example_gen.build(
                node, config.data, _component_class(node), cluster_root is not None
            )
        elif node.id in _TFX_BUILDERS:
            component = _TFX_BUILDERS[node.id](node, channels)
        else:
            component = _component_class(node)(**channels, **node.parameters)
        built[node.id] = component.with_id(names[node.id] if names else node.id)
    return tfx_pipeline.Pipeline(
        pipeline_name=plan.name,
        pipeline_root=cluster_root or os.path.abspath(config.pipeline_root),
        components=list(built.values()),
        enable_cache=True,
        beam_pipeline_args=list(config.run.beam_args),
    )


def _component_class(node: Node) -> Any:
    module, _, name = node.component.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _schema_gen(node: Node, channels: Channels) -> base_component.BaseComponent:
    # From the training split alone: what only the eval split has is an anomaly, not a new normal.
    excluded = json.loads(str(node.parameters.get("exclude_splits", to_json([EVALUATED_SPLIT]))))
    return tfx_components.SchemaGen(infer_feature_shape=True, exclude_splits=excluded, **channels)


def _transform(node: Node, channels: Channels) -> base_component.BaseComponent:
    return tfx_components.Transform(
        preprocessing_fn=node.parameters["preprocessing_fn"],
        custom_config=json.loads(str(node.parameters["custom_config"])),
        **channels,
    )


def _trainer(node: Node, channels: Channels) -> base_component.BaseComponent:
    return _component_class(node)(
        run_fn=node.parameters["run_fn"],
        custom_config=json.loads(str(node.parameters["custom_config"])),
        train_args=trainer_pb2.TrainArgs(splits=[TRAINED_SPLIT]),
        eval_args=trainer_pb2.EvalArgs(splits=[EVALUATED_SPLIT]),
        **channels,
    )


def _pusher(node: Node, channels: Channels) -> base_component.BaseComponent:
    destination = json_format.Parse(str(node.parameters["push_destination"]), pusher_pb2.PushDestination())
    return _component_class(node)(
        push_destination=destination,
        custom_config=json.loads(str(node.parameters["custom_config"])),
        **channels,
    )


_TFX_BUILDERS: dict[str, Callable[[Node, Channels], base_component.BaseComponent]] = {
    node_ids.SCHEMA_GEN: _schema_gen,
    node_ids.EXAMPLE_VALIDATOR: lambda node, channels: tfx_components.ExampleValidator(**channels),
    node_ids.TRANSFORM: _transform,
    node_ids.TRAINER: _trainer,
    node_ids.PUSHER: _pusher,
}
