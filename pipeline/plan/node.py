"""A node of a plan, and the ids of those that every plan has."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

# Format of the data → id of the node that reads them.
EXAMPLE_GENS = {
    "tfrecord": "ImportExampleGen",
    "csv": "CsvExampleGen",
    "parquet": "ParquetExampleGen",
    "images": "ImageExampleGen",
}
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
ANOMALY_GATE = "AnomalyGate"
TRANSFORM = "Transform"
TRAINER = "Trainer"
MODEL_IMPORTER = "ModelImporter"
SELECTOR = "Selector"
PUSHER = "Pusher"

# Parameter of nodes whose results depend on the machine that they run on, and its value if that is not known.
MACHINE = "machine"
ELSEWHERE = "unknown"


Parameter = str | int | float

_LONGEST_ID = 63 - len("-evaluate")


@dataclass(frozen=True)
class Output:
    """An output of another node, as an input of this one."""

    node: str
    key: str


@dataclass(frozen=True)
class Node:
    """One node of the pipeline.

    Attributes:
        id: Unique in the plan; made from content, so that other candidates do not change it.
        component: Dotted path of the component class.
        inputs: Input key → what is read.
        parameters: Execution properties as ML Metadata records them; for TFX's own components those that
            distinguish one configuration from another.
        trains: Whether the node trains a model, which takes long.
        candidates: Candidates that need the node; empty if all do.
    """

    id: str
    component: str
    inputs: dict[str, Output]
    parameters: dict[str, Parameter]
    trains: bool = False
    candidates: tuple[str, ...] = ()

    @property
    def executor(self) -> str:
        """Dotted name of the module that does its work."""
        return f"{self.component.rsplit('.', 2)[0]}.executor"


def proto_json(value: object) -> str:
    """JSON in the layout in which TFX records protocol buffers."""
    return json.dumps(value, indent=2, sort_keys=True)


def to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def bounded(node_id: str) -> str:
    """An id short enough to name, with `-evaluate` behind it, a Kubernetes object: 63 characters."""
    if len(node_id) <= _LONGEST_ID:
        return node_id
    digest = hashlib.sha256(node_id.encode()).hexdigest()[:8]
    return f"{node_id[: _LONGEST_ID - 9].rstrip('-')}-{digest}"


def input_key(candidate: str) -> str:
    """A candidate's name as part of the key of an input, which Python must take as a name."""
    return candidate.replace("-", "_")
