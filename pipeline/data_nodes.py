"""The nodes that read the data, validate them and transform them. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline import image_folders
from pipeline.checks import split_files
from pipeline.code_version import component_version
from pipeline.data_options import Data
from pipeline.node import (
    ANOMALY_GATE,
    EVALUATED_SPLIT,
    EXAMPLE_GEN,
    EXAMPLE_VALIDATOR,
    SCHEMA_GEN,
    STATISTICS_GEN,
    TRAINED_SPLIT,
    TRANSFORM,
    Node,
    Output,
    proto_json,
    to_json,
)


@dataclass(frozen=True)
class Transformation:
    """The user's preprocessing_fn.

    Attributes:
        function: Its dotted path.
        version: Hash of the module that defines it.
    """

    function: str
    version: str


def data_nodes(data: Data, transformation: Transformation | None) -> list[Node]:
    """The nodes up to where models begin, each after what it reads."""
    schema = Output(SCHEMA_GEN, "schema")
    statistics = {"statistics": Output(STATISTICS_GEN, "statistics")}
    nodes = [
        _example_gen(data),
        Node(
            STATISTICS_GEN,
            "tfx.components.StatisticsGen",
            {"examples": Output(EXAMPLE_GEN, "examples")},
            {},
        ),
        Node(SCHEMA_GEN, "tfx.components.SchemaGen", statistics, {}),
        Node(
            EXAMPLE_VALIDATOR,
            "tfx.components.ExampleValidator",
            {**statistics, "schema": schema},
            {},
        ),
        Node(
            ANOMALY_GATE,
            "components.anomaly_gate.component.AnomalyGate",
            {"anomalies": Output(EXAMPLE_VALIDATOR, "anomalies"), "inferred_schema": schema},
            {"code_version": component_version("components.anomaly_gate.executor")},
        ),
    ]
    if transformation:
        nodes.append(_transform(transformation))
    return nodes


def outputs(transformation: Transformation | None) -> dict[str, Output]:
    """What nodes that train or measure read besides a model: input key → output of a data node."""
    if transformation is None:
        return {
            "examples": Output(EXAMPLE_GEN, "examples"),
            "schema": Output(ANOMALY_GATE, "schema"),
        }
    return {
        "examples": Output(TRANSFORM, "transformed_examples"),
        "schema": Output(ANOMALY_GATE, "schema"),
        "transform_graph": Output(TRANSFORM, "transform_graph"),
    }


def _example_gen(data: Data) -> Node:
    component, own = "tfx.components.ImportExampleGen", {}
    if data.format == "images":
        component, own = image_folders.COMPONENT, image_folders.parameters(data)
    return Node(
        EXAMPLE_GEN,
        component,
        {},
        {
            **own,
            "input_base": os.path.abspath(data.path),
            "input_config": proto_json(
                {
                    "splits": [
                        {"name": TRAINED_SPLIT, "pattern": data.splits.train},
                        {"name": EVALUATED_SPLIT, "pattern": data.splits.eval},
                    ]
                }
            ),
            "input_fingerprint": data_fingerprint(data),
        },
    )


def _transform(transformation: Transformation) -> Node:
    return Node(
        TRANSFORM,
        "tfx.components.Transform",
        {
            "examples": Output(EXAMPLE_GEN, "examples"),
            "schema": Output(ANOMALY_GATE, "schema"),
        },
        {
            "preprocessing_fn": transformation.function,
            "custom_config": to_json({"module_version": transformation.version}),
        },
    )


def data_fingerprint(data: Data) -> str:
    """What ImportExampleGen's driver will record of the files, computed as it does.

    Name, count, total bytes, and the xor and sum of the times of modification, in seconds.
    """
    lines = []
    splits = data.splits
    for split, pattern in ((TRAINED_SPLIT, splits.train), (EVALUATED_SPLIT, splits.eval)):
        total = xor = added = 0
        files = split_files(os.path.abspath(data.path), pattern)
        for file in files:
            status = file.stat()
            total += status.st_size
            xor ^= int(status.st_mtime)
            added += int(status.st_mtime)
        lines.append(
            f"split:{split},num_files:{len(files)},total_bytes:{total},"
            f"xor_checksum:{xor},sum_checksum:{added}"
        )
    return "\n".join(lines)
