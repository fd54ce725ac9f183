"""The nodes that read, validate and transform the data. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
from dataclasses import dataclass

from components.anomaly_gate.params import Labels
from pipeline.config.data_options import EVALUATED_SPLIT, UNREAD_SPLIT, Data, Splits
from pipeline.plan import data_files, image_nodes
from pipeline.plan.code_version import component_version
from pipeline.plan.node import (
    ANOMALY_GATE,
    EXAMPLE_GENS,
    EXAMPLE_VALIDATOR,
    SCHEMA_GEN,
    STATISTICS_GEN,
    TRANSFORM,
    Node,
    Output,
    Parameter,
    proto_json,
    to_json,
)

_COMPONENTS = {
    "tfrecord": "components.import_example_gen.component.ImportExampleGen",
    "csv": "tfx.components.CsvExampleGen",
    "parquet": "components.parquet_example_gen.component.ParquetExampleGen",
    "images": "components.image_example_gen.component.ImageExampleGen",
}


@dataclass(frozen=True)
class Transformation:
    """The user's preprocessing_fn.

    Attributes:
        function: Its dotted path.
        version: Hash of the module that defines it.
    """

    function: str
    version: str


def data_nodes(
    data: Data, transformation: Transformation | None, classes: bool, file_feature: str = ""
) -> list[Node]:
    """The nodes before those of models, each after what it reads.

    Args:
        data: What to read, and how.
        transformation: The user's preprocessing_fn; None if there is none.
        classes: Whether labels are classes.
        file_feature: Feature that gets the name of each example's file; none if it is empty.
    """
    examples = Output(EXAMPLE_GENS[data.format], "examples")
    schema = Output(SCHEMA_GEN, "schema")
    statistics = {"statistics": Output(STATISTICS_GEN, "statistics")}
    nodes = [
        _example_gen(data, file_feature),
        Node(
            STATISTICS_GEN,
            "components.statistics_gen.component.StatisticsGen",
            {"examples": examples},
            {"code_version": component_version("components.statistics_gen.executor")},
        ),
        Node(SCHEMA_GEN, "tfx.components.SchemaGen", statistics, _schema_parameters(data)),
        Node(
            EXAMPLE_VALIDATOR,
            "tfx.components.ExampleValidator",
            {**statistics, "schema": schema},
            {},
        ),
        _anomaly_gate(data, transformation is not None, classes),
    ]
    if transformation:
        nodes.append(_transform(transformation, examples))
    return nodes


def outputs(data: Data, transformation: Transformation | None) -> dict[str, Output]:
    """Inputs of nodes that train or measure, besides a model: input key → output of a data node."""
    if transformation is None:
        return {
            "examples": Output(EXAMPLE_GENS[data.format], "examples"),
            "schema": Output(ANOMALY_GATE, "schema"),
        }
    return {
        "examples": Output(TRANSFORM, "transformed_examples"),
        "schema": Output(ANOMALY_GATE, "schema"),
        "transform_graph": Output(TRANSFORM, "transform_graph"),
    }


def raw_outputs(data: Data, transformation: Transformation | None) -> dict[str, Output]:
    """Additional inputs of a node that applies the transform graph itself, as serving does."""
    return {"raw_examples": Output(EXAMPLE_GENS[data.format], "examples")} if transformation else {}


def _example_gen(data: Data, file_feature: str) -> Node:
    parameters: dict[str, Parameter] = {
        "input_base": os.path.abspath(data.path),
        "input_config": proto_json(
            {
                "splits": [
                    {"name": split, "pattern": pattern}
                    for split, pattern in data_files.patterns(data).items()
                ]
            }
        ),
        "input_fingerprint": data_fingerprint(data),
    }
    if data.splits.pattern is not None:
        parameters["output_config"] = proto_json(hash_buckets(data.splits))
    span = data_files.chosen_span(data)
    if span is not None:
        parameters["span"] = span.number
        if span.version is not None:
            parameters["version"] = span.version
    component = _COMPONENTS[data.format]
    missing = data.missing_spellings()
    if file_feature:
        parameters["file_feature"] = file_feature
    if missing or file_feature:
        component = "components.csv_example_gen.component.CsvExampleGen"
        parameters["missing"] = to_json(missing)
    if component.startswith("components.") and data.format != "images":
        module = component.rpartition(".component.")[0]
        parameters["code_version"] = component_version(f"{module}.executor")
    if data.format == "images":
        parameters.update(image_nodes.parameters(data))
    return Node(EXAMPLE_GENS[data.format], component, {}, parameters)


def _schema_parameters(data: Data) -> dict[str, Parameter]:
    """The splits that the schema is not made of, if there are others than eval."""
    if UNREAD_SPLIT not in data.splits.hash_buckets():
        return {}
    return {"exclude_splits": to_json([EVALUATED_SPLIT, UNREAD_SPLIT])}


def hash_buckets(splits: Splits) -> dict[str, object]:
    """ExampleGen's `Output` for a single pattern: hash buckets of the splits, and what is hashed."""
    buckets = splits.hash_buckets()
    config: dict[str, object] = {
        "splits": [{"hash_buckets": count, "name": split} for split, count in buckets.items()]
    }
    if splits.hash_by is not None:
        config["partition_feature_name"] = splits.hash_by
    return {"split_config": config}


def _anomaly_gate(data: Data, transformed: bool, classes: bool) -> Node:
    labels = Labels(
        features=data.labels(),
        classes=classes,
        names=data.class_names(),
        perhaps_amounts=transformed or len(data.labels()) > 1,
    )
    return Node(
        ANOMALY_GATE,
        "components.anomaly_gate.component.AnomalyGate",
        {
            "anomalies": Output(EXAMPLE_VALIDATOR, "anomalies"),
            "inferred_schema": Output(SCHEMA_GEN, "schema"),
            "statistics": Output(STATISTICS_GEN, "statistics"),
            "examples": Output(EXAMPLE_GENS[data.format], "examples"),
        },
        {
            "validation": to_json(data.validation.model_dump(mode="json")),
            "labels": to_json(labels.model_dump(mode="json")),
            "code_version": component_version("components.anomaly_gate.executor"),
        },
    )


def _transform(transformation: Transformation, examples: Output) -> Node:
    return Node(
        TRANSFORM,
        "tfx.components.Transform",
        {
            "examples": examples,
            "schema": Output(ANOMALY_GATE, "schema"),
        },
        {
            "preprocessing_fn": transformation.function,
            "custom_config": to_json({"module_version": transformation.version}),
        },
    )


def data_fingerprint(data: Data) -> str:
    """The facts that ExampleGen's driver will record about the files.

    For each split its name, the number of files, their bytes, and the xor and the sum of their times of
    modification in seconds.
    """
    lines = []
    for split, files in data_files.files(data).items():
        total = xor = added = 0
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
