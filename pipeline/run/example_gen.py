"""The component of TFX that reads the data."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from tfx.dsl.components.base import base_component
from tfx.proto import example_gen_pb2, range_config_pb2

from pipeline.config.data_options import Data
from pipeline.plan import data_files
from pipeline.plan.node import Node

# Parameters that ExampleGen's driver adds, or that the component takes in another form.
_NOT_GIVEN = ("input_base", "input_config", "output_config", "input_fingerprint", "span", "version")


def build(node: Node, data: Data, component_class: Any, on_cluster: bool) -> base_component.BaseComponent:
    """Builds the component.

    Args:
        node: Node of the plan, which has chosen the span.
        data: The section that the node was planned from.
        component_class: An ExampleGen.
        on_cluster: Whether it will run on a cluster, where ExampleGen's driver does not fill in span and version.
    """
    input_config = json_format.Parse(str(node.parameters["input_config"]), example_gen_pb2.Input())
    options: dict[str, Any] = {name: v for name, v in node.parameters.items() if name not in _NOT_GIVEN}
    if "span" in node.parameters and not on_cluster:
        # The driver records span and version in the artifact. It finds the span that the plan has chosen,
        # because its range is that span.
        number = int(node.parameters["span"])
        options["range_config"] = range_config_pb2.RangeConfig(
            static_range=range_config_pb2.StaticRange(start_span_number=number, end_span_number=number)
        )
        input_config = example_gen_pb2.Input(
            splits=[
                example_gen_pb2.Input.Split(name=split, pattern=pattern)
                for split, pattern in data_files.written_patterns(data).items()
            ]
        )
    return component_class(
        input_base=node.parameters["input_base"],
        input_config=input_config,
        output_config=json_format.Parse(
            str(node.parameters.get("output_config", "{}")), example_gen_pb2.Output()
        ),
        **options,
    )
